# SPDX-License-Identifier: GPL-2.0-or-later
"""The ports of the bench's switches as an operator has them: a command takes one down or up."""

from __future__ import annotations

import os
import shlex
import threading
from pathlib import Path

from hil.qemu.lab import VirtualLab

_SCRIPT = """\
#!/bin/sh
# Usage: port SERVER WIRE down|up
echo "$*" >{orders}
read -r done <{answers}
"""


class Switchboard:
    """Carries such commands out, from its making to `close`."""

    def __init__(self, lab: VirtualLab, directory: Path) -> None:
        self._lab = lab
        directory.mkdir()
        orders, answers = directory / "orders", directory / "answers"
        os.mkfifo(orders)
        os.mkfifo(answers)
        self.command = directory / "port"
        """The program."""
        names = {"orders": orders, "answers": answers}
        quoted = {key: shlex.quote(str(path)) for key, path in names.items()}
        self.command.write_text(_SCRIPT.format(**quoted))
        self.command.chmod(0o755)
        # Open for both, so that neither side of a pipe ever waits for the other or sees its end.
        self._orders = os.fdopen(os.open(orders, os.O_RDWR), "r+b", buffering=0)
        self._answers = os.open(answers, os.O_RDWR)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more."""
        self._orders.write(b"\n")
        self._thread.join()
        self._orders.close()
        os.close(self._answers)

    def _serve(self) -> None:
        while line := self._orders.readline().decode().split():
            server, wire, state = line
            act = self._lab.wiring.cut if state == "down" else self._lab.wiring.plug
            act(self._lab.machines[server], wire)
            os.write(self._answers, b"done\n")
