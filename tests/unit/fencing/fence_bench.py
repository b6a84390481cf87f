# SPDX-License-Identifier: GPL-2.0-or-later
"""What the fencing tests share: devices of real `ipmi_sim` processes, and a fence under way."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fencing import DeviceSettings, Secret
from fencing.drivers.ipmi import IpmiDevice
from fencing.levels import Fence
from fencing.readiness import Readiness
from hil.bmc import IpmiSim
from hil.ports import free_port

PASSWORD = "t0p-secret-word"  # noqa: S105  # of a BMC that lives for one test
WAIT_S = 10.0


def simulator(directory: Path) -> IpmiSim:
    """A BMC not started yet."""
    return IpmiSim(directory, port=free_port(), password=PASSWORD)


def device(bmc: IpmiSim, **changes: object) -> DeviceSettings:
    """The settings that reach this BMC; an honest emulator needs no settling."""
    settings = DeviceSettings(
        name=bmc.directory.name,
        driver="ipmi",
        address=bmc.address,
        user=bmc.user,
        password=Secret(bmc.password.encode()),
        off_settle_s=0.0,
        deadline_s=5.0,
        options={"port": bmc.port},
    )
    return replace(settings, **changes)  # type: ignore[arg-type]  # names and types are the caller's


class Watched:
    """A fence, all that it told of its devices, and its workers' process ids."""

    def __init__(self, *devices: DeviceSettings, **how: Any) -> None:
        self.told: list[Readiness] = []
        self._news = asyncio.Event()
        self.fence = Fence(devices, on_readiness=self._hear, **how)

    def pid(self, number: int = 0) -> int:
        """The present worker of one device."""
        worker = self.fence._clients[number]._worker
        assert worker is not None
        return worker.pid

    async def until(self, wanted: Callable[[tuple[Readiness, ...]], bool]) -> None:
        """Return as soon as the readiness is as wanted."""
        async with asyncio.timeout(WAIT_S):
            while not wanted(self.fence.readiness):
                self._news.clear()
                await self._news.wait()

    async def ready(self) -> None:
        """Return as soon as every device is warm."""
        await self.until(lambda readiness: all(one.ready for one in readiness))

    def _hear(self, readiness: Readiness) -> None:
        self.told.append(readiness)
        self._news.set()


@asynccontextmanager
async def fencing(
    *devices: DeviceSettings, ready: bool = True, **how: Any
) -> AsyncIterator[Watched]:
    """A started fence, warm if wanted, closed afterwards; `how` is for Fence itself."""
    watched = Watched(*devices, **how)
    await watched.fence.start()
    try:
        if ready:
            await watched.ready()
        yield watched
    finally:
        await watched.fence.close()


def sessions(bmc: IpmiSim) -> int:
    """How many sessions the BMC has open, besides the one that asks (Get Session Info)."""
    asking = IpmiDevice(device(bmc))
    try:
        return asking._command(0x06, 0x3D, (0,))[2] - 1
    finally:
        asking.close()


async def gone(pid: int) -> None:
    """Return when a process has ended."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    event = asyncio.Event()
    asyncio.get_running_loop().add_reader(ended, event.set)
    try:
        async with asyncio.timeout(WAIT_S):
            await event.wait()
    finally:
        asyncio.get_running_loop().remove_reader(ended)
        os.close(ended)
