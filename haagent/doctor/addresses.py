# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual addresses: in the interface's subnet, and answered by nobody but their holder."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import pairwise

from haagent.asking import output
from haagent.cli.verdict import rows
from haagent.doctor import Line, Subject, bad, ok, unknown, warning
from haagent.netlink import Netlink
from haagent.vip import Vip
from haagent.vip.frames import FrameShelf
from haagent.vip.prober import Answer, VipProber

WINDOW_S = 0.3
"""Ten times and more what one segment needs; a sleeping neighbour gets its chance."""


def look(subject: Subject) -> Iterator[Line]:
    """Each address of each group."""
    by_group = subject.configuration.vips
    everything = [vip for vips in by_group.values() for vip in vips]
    if not everything:
        return
    local, answers, obstacles = asyncio.run(_ask(everything))
    held = {str(row.get("name")): row for row in rows(subject.status, "groups")}
    for group, vips in by_group.items():
        row = held.get(group, {})
        for vip in vips:
            yield from _place(vip, obstacles.get(vip, ""))
            if vip in obstacles:
                continue
            macs = sorted({one.mac.hex(":") for one in answers if one.vip == vip})
            if not row and vip not in local and macs and set(macs) <= _peers_macs(subject, vip):
                yield ok(f"holder of {vip.address.ip}", f"{subject.peer}, by its MAC {macs[0]}")
            else:
                yield _holder(vip, macs, here=vip in local, row=row, peer=subject.peer)


async def _ask(vips: Sequence[Vip]) -> tuple[set[Vip], Sequence[Answer], dict[Vip, str]]:
    """Which are here, who answers for the others' sake, and for which nothing can be asked."""
    netlink = Netlink()
    await netlink.open()
    shelf = FrameShelf(netlink, vips)
    prober = VipProber(netlink, shelf)
    try:
        local, obstacles = set(), {}
        for vip in vips:
            interface = netlink.interface(vip.interface)
            if any(vip.address.ip == address.ip for address in interface.addresses):
                local.add(vip)
            if not interface.index:
                obstacles[vip] = f"there is no interface {vip.interface}"
            elif not (interface.up and interface.carrier):
                obstacles[vip] = f"{vip.interface} is down or has no carrier"
            elif not any(
                address.ip in vip.address.network
                for address in interface.addresses
                if address.ip != vip.address.ip
            ):
                obstacles[vip] = f"{vip.interface} has no address in {vip.address.network}"
        askable = [vip for vip in vips if vip not in obstacles]
        answers: Sequence[Answer] = ()
        if askable:
            await shelf.open()
            prober.start(askable)
            answers = await prober.probe(askable, WINDOW_S)
        return local, answers, obstacles
    finally:
        prober.close()
        shelf.close()
        netlink.close()


def _peers_macs(subject: Subject, vip: Vip) -> frozenset[str]:
    """Hardware addresses by which the kernel knows the peer on that interface."""
    found = set()
    for link in subject.configuration.links:
        if link.interface == vip.interface:
            shown = output("ip", "neighbour", "show", str(link.peer_address), "dev", vip.interface)
            words = (shown or "").split()
            found |= {after for word, after in pairwise(words) if word == "lladdr"}
    return frozenset(found)


def _place(vip: Vip, obstacle: str) -> Iterator[Line]:
    what = f"address {vip.address.ip}"
    if not obstacle:
        yield ok(what, f"{vip.interface} has an address in {vip.address.network}")
    elif "has no address" in obstacle:
        text = f"{obstacle}: neighbours and the default route may not find it"
        yield warning(what, text, "give the interface a fixed address there, or correct the prefix")
    else:
        yield bad(what, obstacle, "correct [[group.vip]] interface, or look at the cable")


def _holder(vip: Vip, macs: Sequence[str], *, here: bool, row: object, peer: str) -> Line:
    """Who answers, beside who ought to."""
    what = f"holder of {vip.address.ip}"
    roles = row if isinstance(row, dict) else {}
    remedy = "find that machine by its MAC in the switch, and take the address off it"
    said = ", ".join(macs)
    if len(macs) > 1 or (here and macs):
        return bad(what, f"more than one: {said}{' and this node' if here else ''}", remedy)
    if here:
        if roles and roles.get("role") not in {"active", "releasing", "taking_over"}:
            text = "this node has it, although its group is not active here"
            return bad(what, text, "haagent tidy, while no agent runs")
        return ok(what, "this node, and nobody else answers for it")
    if not macs:
        if roles.get("peer_role") == "active":
            text = f"nobody answers, although {peer} has the group"
            return warning(what, text, f"ip address on {peer}; is it one network?")
        return ok(what, "nobody answers for it")
    if not roles:
        text = f"{macs[0]} answers; whether that is {peer} is not known while no agent runs here"
        return unknown(what, text, f"if it is not {peer}: {remedy}")
    if roles.get("peer_role") in {"active", "releasing", "taking_over"}:
        return ok(what, f"one machine answers, {macs[0]}; {peer} has the group")
    return bad(what, f"{macs[0]} answers, and the group is active on neither node", remedy)
