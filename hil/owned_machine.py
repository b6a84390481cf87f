# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that its BMC starts and ends by itself: one process, which is the truth of the power.

For `ipmi_sim` in its other mode (IpmiSim.machine): it sends SIGTERM to cut the power and, to a
machine that hangs, SIGKILL later; until then it acknowledged the order and the power is on.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from hil.processes import runs

START_LIMIT_S = 20.0
"""It takes milliseconds; the rest is for a busy machine."""
_POLL_S = 0.01
_MACHINE = """\
#!/bin/sh
cd {directory} || exit 1
echo $$ >> boots
exec sleep 86400
"""


@dataclass(frozen=True, slots=True)
class OwnedMachine:
    """One machine, in a folder of its own."""

    directory: Path

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        script = self.directory / "machine.sh"
        script.write_text(_MACHINE.format(directory=shlex.quote(str(self.directory))))
        script.chmod(0o755)

    @property
    def program(self) -> str:
        """What IpmiSim.machine is to be."""
        return str(self.directory / "machine.sh")

    @property
    def boots(self) -> tuple[int, ...]:
        """The process id of each time that it was switched on."""
        path = self.directory / "boots"
        return tuple(int(line) for line in path.read_text().split()) if path.exists() else ()

    @property
    def running(self) -> bool:
        """Whether its power is on, whatever the BMC says."""
        boots = self.boots
        return bool(boots) and runs(boots[-1])

    def started(self) -> None:
        """Return when it runs: the BMC tells nobody.

        Raises:
            RuntimeError: The BMC has not started it in START_LIMIT_S.
        """
        end_s = time.monotonic() + START_LIMIT_S
        while not self.running:
            if time.monotonic() > end_s:
                raise RuntimeError("the BMC does not start its machine")
            time.sleep(_POLL_S)

    def freeze(self) -> None:
        """Have it hang: it does not hear SIGTERM."""
        os.kill(self.boots[-1], signal.SIGSTOP)

    def end(self) -> None:
        """Have nothing of it left."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.boots[-1], signal.SIGKILL)
