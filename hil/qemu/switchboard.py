# SPDX-License-Identifier: GPL-2.0-or-later
"""The ports of the bench's switches as an operator has them: a command takes one down or up."""

from __future__ import annotations

import threading
from pathlib import Path

from hil.errands import Errands
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
        self.command = directory / "port"
        """The program."""
        self._errands = Errands(self.command, _SCRIPT)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more."""
        self._errands.orders.write(b"\n")
        self._thread.join()
        self._errands.close()

    def _serve(self) -> None:
        while line := self._errands.orders.readline().decode().split():
            server, wire, state = line
            act = self._lab.wiring.cut if state == "down" else self._lab.wiring.plug
            act(self._lab.machines[server], wire)
            self._errands.answer("done")
