# SPDX-License-Identifier: GPL-2.0-or-later
"""A watchdog for machines in namespaces, whose kernel has none: a file, and who looks at it.

`python -m hil.dog run ...` is `haagent run ...` with that file in the place of the kernel's device.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from haagent import agent, watchdog
from haagent.__main__ import main
from haagent.watchdog import Watchdog, WatchdogSettings
from hil.machine import Machine
from hil.power import PowerSwitch

FILE = "watchdog"
"""On the machine's disk: when it fires, monotonic ns, which is one clock in all namespaces."""
DISK = Path("/run/disk")
LOOK_S = 0.02


class FileDevice:
    """See haagent.watchdog.Device; writes down when it fires.

    Args:
        path: Of the device's node; not used.
    """

    def __init__(self, path: Path) -> None:
        del path
        self._timeout_ns = 0

    def arm(self, timeout_s: int, *, runs: bool) -> int:
        """See `Device`."""
        del runs
        self._timeout_ns = timeout_s * 1_000_000_000
        self.feed()
        return timeout_s

    def feed(self) -> None:
        """See `Device`."""
        fresh = DISK / f"{FILE}.new"
        fresh.write_text(str(time.monotonic_ns() + self._timeout_ns))
        fresh.replace(DISK / FILE)

    def close(self, *, disarm: bool) -> None:
        """See `Device`."""
        if disarm:
            (DISK / FILE).unlink(missing_ok=True)


class Guarded(Watchdog):
    """The agent's watchdog, of a kernel that knows this one."""

    def __init__(self, settings: WatchdogSettings, may_feed: object) -> None:
        assert callable(may_feed)
        place = DISK / "sysfs"
        (place / "watchdog0").mkdir(parents=True, exist_ok=True)
        (place / "watchdog0" / "identity").write_text("bench")
        super().__init__(settings, may_feed, sysfs=place)


class Dogs:
    """The hardware of both machines: cuts the power of one whose file is out of date.

    Args:
        switches: By machine.
        machines: These.
    """

    def __init__(self, switches: dict[str, PowerSwitch], machines: Sequence[Machine]) -> None:
        self.fired_ns: dict[str, int] = {}
        """When each fired first."""
        self._switches = switches
        self._machines = machines
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ends.wait(LOOK_S):
            for machine in self._machines:
                self._look(machine)

    def _look(self, machine: Machine) -> None:
        file = machine.disk / FILE
        if not machine.is_on:
            file.unlink(missing_ok=True)
            return
        try:
            fires_ns = int(file.read_text())
        except FileNotFoundError:
            return
        if time.monotonic_ns() >= fires_ns:
            self._switches[machine.name].switch(on=False)
            self.fired_ns.setdefault(machine.name, time.monotonic_ns())
            file.unlink(missing_ok=True)


if __name__ == "__main__":
    # The edge of this bench.
    vars(watchdog)["KernelDevice"], vars(agent)["Watchdog"] = FileDevice, Guarded
    main()
