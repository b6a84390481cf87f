# SPDX-License-Identifier: GPL-2.0-or-later
"""Which hardware the heartbeat links run over: two links on one cable are one link."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from haagent.links import Link


def cables_of(interface: str) -> set[str]:
    """The lowest interfaces that carry this one, such as eth0 for eth0.12 or the ports of a bond.

    Source: Linux, Documentation/ABI/testing/sysfs-class-net, "lower_*".
    """
    lower = [
        path.name.removeprefix("lower_")
        for path in Path(f"/sys/class/net/{interface}").glob("lower_*")
    ]
    return set().union(*map(cables_of, lower)) if lower else {interface}


def not_redundant(links: Sequence[Link]) -> str:
    """What the loss of one cable would take besides one link; "" if nothing."""
    if len(links) == 1:
        return "there is only one heartbeat link: nothing would be left"
    cables: dict[str, list[str]] = {}
    for link in links:
        for cable in cables_of(link.interface):
            cables.setdefault(cable, []).append(link.name)
    shared = [
        f"links {' and '.join(names)} share {cable}"
        for cable, names in sorted(cables.items())
        if len(names) > 1
    ]
    return "; ".join(shared)
