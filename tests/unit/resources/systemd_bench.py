# SPDX-License-Identifier: GPL-2.0-or-later
"""A systemd resource on a bench: with a fake systemd on a private bus, or the real one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from haagent.resources import Condition, Times
from haagent.resources.pid1 import Systemd
from haagent.resources.systemctl import ThroughSystemctl
from haagent.resources.systemd import SystemdResource
from haagent.resources.unit_bus import OverBus
from hil.dbus import PrivateBus, private_bus
from hil.pid1 import Pid1
from hil.systemd import FakeSystemd, fake_systemd

DEADLINE_S = 15.0
"""For anything that must happen; generous, so that only a fault reaches it."""
SHORT = Times(start_s=1.0, stop_s=1.0, monitor_s=1.0, interval_s=0.0)
"""For what must not succeed."""
LONG = Times(start_s=DEADLINE_S, stop_s=DEADLINE_S, monitor_s=DEADLINE_S, interval_s=0.0)
"""For what must."""
DB = "db.service"
NO_SYSTEMCTL = ("false",)
"""A host on which systemctl does not work either."""


async def until(happened: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait for something that must happen."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = happened()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.01)


@dataclass
class FakeBench:
    """A fake systemd and ours, connected."""

    bus: PrivateBus
    systemd: FakeSystemd
    ours: Systemd

    def resource(self, times: Times = LONG, unit: str = DB) -> SystemdResource:
        """A resource for a unit."""
        return SystemdResource("db", unit, times, self.ours)

    @property
    def unit(self) -> str:
        """What the unit is."""
        return self.systemd.units[DB].active


@contextmanager
def no_bug_reported() -> Iterator[None]:
    """Fails if the loop is told of an exception that nobody took: the agent dies of such a one."""
    reported: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(str(context)))
    yield
    gc.collect()
    assert not reported, reported


@asynccontextmanager
async def faking(
    folder: Path, systemctl: tuple[str, ...] = NO_SYSTEMCTL
) -> AsyncIterator[FakeBench]:
    """Our code and a fake systemd with one unit, on a real bus."""
    with private_bus(folder) as bus:
        async with fake_systemd(bus.address, DB) as fake:
            ours = Systemd(OverBus(bus.address), ThroughSystemctl(systemctl))
            ours.open()
            await ours.state(DB)
            with no_bug_reported():
                try:
                    yield FakeBench(bus, fake, ours)
                finally:
                    await ours.close()


@asynccontextmanager
async def asking(pid1: Pid1, *, bus: bool = True) -> AsyncIterator[Systemd]:
    """Our code and a real systemd; without `bus`, through systemctl alone."""
    command = (*pid1.enter, "systemctl")
    ours = Systemd(OverBus(pid1.address), ThroughSystemctl(command, pid1.root / "sys/fs/cgroup"))
    if bus:
        ours.open()
    with no_bug_reported():
        try:
            yield ours
        finally:
            await ours.close()


async def condition(resource: SystemdResource) -> Condition:
    """What the resource is now."""
    return (await resource.monitor()).condition


Play = Callable[[FakeBench], Awaitable[None]]
Run = Callable[[Play], None]


def player(folder: Path) -> Run:
    """Runs one scene, on a bench of its own."""

    def run(scene: Play) -> None:
        async def whole() -> None:
            async with faking(folder) as bench:
                await scene(bench)

        asyncio.run(whole())

    return run
