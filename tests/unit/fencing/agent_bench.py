# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of fence agents share: devices of them, and who runs on this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from fence_bench import PASSWORD, Watched

from fencing import DeviceSettings, Option, Secret
from fencing.level import FenceReport
from hil.bmc import IpmiSim
from hil.fence_agent import BenchAgent

WAIT_S = 10.0
_POLL_S = 0.005


def settings(
    agent: BenchAgent | str, options: Mapping[str, Option] | None = None, **changes: object
) -> DeviceSettings:
    """A device of an agent; an honest emulator needs no settling."""
    name = agent if isinstance(agent, str) else str(agent.program)
    made = DeviceSettings(
        name="by-agent",
        driver="agent",
        user="haagent",
        password=Secret(PASSWORD.encode()),
        off_settle_s=0.0,
        deadline_s=5.0,
        options={"agent": name, **(options or {})},
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # names and types are the caller's


def ipmilan(bmc: IpmiSim, **changes: object) -> DeviceSettings:
    """Debian's fence_ipmilan for a BMC of the bench."""
    options: dict[str, Option] = {"ip": bmc.address, "ipport": bmc.port}
    options |= {"lanplus": True, "cipher": 3, "privlvl": "operator"}
    return settings("fence_ipmilan", options, **changes)


def off(*devices: DeviceSettings) -> FenceReport:
    """A fence by these devices, with no check of theirs in its way."""

    async def fence() -> FenceReport:
        watched = Watched(*devices)
        try:
            return await watched.fence.off()
        finally:
            await watched.fence.close()

    return asyncio.run(fence())


def command_lines() -> list[str]:
    """The command line of every process of this machine, namespaces below ours included."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # It has ended.
    return found


def runs(word: str) -> bool:
    """Whether a process has this word in its command line."""
    return any(word in line for line in command_lines())


def until(true: Callable[[], bool]) -> None:
    """Return as soon as it is true."""
    end_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end_s, "it did not become true"
        time.sleep(_POLL_S)
