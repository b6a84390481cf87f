# SPDX-License-Identifier: GPL-2.0-or-later
"""The status of a node on the core's bench, with devices and paths to choose."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from core.harness import Bench, says

from fencing import Power
from fencing.findings import Finding, Trouble
from fencing.readiness import Readiness
from haagent.config import Configuration, Keys, LogSettings
from haagent.core.events import FenceReadied
from haagent.core.settings import S
from haagent.core.wire import Role
from haagent.links import Link
from haagent.links.linkset import LinkState as PathState
from haagent.status.snapshot import snapshot
from haagent.status.sources import Sources
from haagent.vip import Vip

READY = Readiness("alpha-bmc", 1, Power.ON, 90 * S)
DEAD = replace(READY, power=Power.UNKNOWN, seen=(Finding(Trouble.UNREACHABLE, "no answer"),))


def status(
    bench: Bench, *, device: Readiness = READY, up: bool = True, **more: Any
) -> dict[str, Any]:
    """The status of the node on the bench."""
    bench.feed(FenceReadied(device.ready, device.detail))
    pair = bench.state.settings
    links = tuple(
        Link(
            link.name,
            f"eth{number}",
            IPv4Address("192.0.2.1"),
            IPv4Address("192.0.2.2"),
            None,
            7072,
            link.switched,
        )
        for number, link in enumerate(pair.links)
    )
    vip = Vip(IPv4Interface("192.0.2.10/24"), "eth0")
    configuration = Configuration(
        cluster="test",
        node_names=("alpha", "beta"),
        pair=pair,
        links=links,
        keys=Keys(1, {1: b"k" * 32}),
        vips={group.name: (vip,) for group in pair.groups},
        devices=((), ()),
        hedge_after_s=2.0,
        state_dir=Path("unused"),
        control_socket=Path("unused"),
        log=LogSettings(),
    )
    paths = [PathState(link.name, up=up, reason="" if up else "no carrier") for link in pair.links]
    return snapshot(Sources(configuration, bench.state, paths, [device], {}, bench.now_ns, **more))


def settled(bench: Bench) -> Bench:
    """Frames on every link for a second, as on an ordinary day."""
    reports = [
        says(Role.ACTIVE, name=g.settings.name, term=1, held_term=1)
        if bench.state.settings.me
        else says(Role.STANDBY, name=g.settings.name, term=1)
        for g in bench.state.groups
    ]
    bench.pass_time(1 * S, *reports)
    for link in range(len(bench.state.links)):
        bench.hear(*reports, link=link)
    return bench
