# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs every group of a configuration on this machine, as the agent would; a program of its own.

Usage: page_run.py FILE NODE. Prints one line of JSON: by group and resource what it read while the
group was held, and after it was stopped.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import structlog

from haagent.admission import Admission
from haagent.config import Configuration, load
from haagent.core.events import Event
from haagent.netlink import Netlink
from haagent.services import Services
from haagent.vip.frames import FrameShelf
from haagent.vip.holder import VipHolder

Read = dict[str, dict[str, str]]


async def run(configuration: Configuration) -> dict[str, Read]:
    """Start everything, look at it, and stop everything."""
    netlink = Netlink()
    await netlink.open()
    vips = [vip for group in configuration.groups for vip in group.vips]
    shelf = FrameShelf(netlink, vips)
    await shelf.open()
    lost: list[Event] = []
    holder = VipHolder(netlink, shelf, lambda vip, reason: lost.append((vip, reason)))  # type: ignore[arg-type]  # only counted
    holder.open()
    disks = Admission((), frozenset(), lambda _reason: None, lambda: None)
    services = Services(
        configuration.groups, holder, disks, lambda _event: None, lambda *_moment: None
    )
    services.open()
    groups = range(len(configuration.groups))
    try:
        for index in groups:
            await services.start(index)
        held = [await looked_at(services, index) for index in groups]
        for index in groups:
            await services.stop(index)
        await services.retire()
        stopped = [await looked_at(services, index) for index in groups]
    finally:
        await services.close()
        holder.close()
        shelf.close()
        netlink.close()
    assert not lost, lost
    names = [group.name for group in configuration.groups]
    return {
        "held": dict(zip(names, held, strict=True)),
        "stopped": dict(zip(names, stopped, strict=True)),
    }


async def looked_at(services: Services, index: int) -> dict[str, str]:
    """What each resource of a group is now, by its own monitor."""
    resources = services._services[index].parts.resources
    return {each.name: (await each.monitor()).condition.value for each in resources}


def main() -> None:
    """The output is for the test alone; what is logged goes to stderr."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    file, node = sys.argv[1:]
    print(json.dumps(asyncio.run(run(load(Path(file), node)))))  # noqa: T201  # a program


if __name__ == "__main__":
    main()
