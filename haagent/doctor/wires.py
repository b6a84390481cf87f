# SPDX-License-Identifier: GPL-2.0-or-later
"""What is heard on the links themselves: the peer, the switches, the querier, our own broadcast."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from haagent.cli.verdict import rows
from haagent.doctor import Line, Subject, bad, ok, unknown, warning
from haagent.doctor.listening import Heard, listen
from haagent.links import Link

LLDP_EVERY_S = 30
"""Source: IEEE 802.1AB-2016, 9.2.5.7, msgTxInterval."""
QUERY_EVERY_S = 125
"""Source: RFC 3376, 8.2; RFC 3810, 9.2."""


def look(subject: Subject) -> Iterator[Line]:
    """Listen once to all links, then judge each, and each two of them."""
    configuration = subject.configuration
    heard = listen(configuration, subject.listen_s, frames=not subject.status)
    for number, link in enumerate(configuration.links):
        if subject.status:
            yield _by_agent(subject, link)
        else:
            yield _by_ear(subject, link, heard.frames.get(number, 0), heard.refused)
        if link.group is not None and link.switched:
            yield _querier(link, heard, subject.listen_s)
        if not link.switched:
            yield _cable(link, heard, subject.listen_s)
    for one, other in combinations(configuration.links, 2):
        yield _apart(one, other, heard, subject.listen_s)


def _by_agent(subject: Subject, link: Link) -> Line:
    """What the running agent hears, and what the peer's frames say that it hears of us."""
    what = f"heartbeat on {link.name}"
    row = next((row for row in rows(subject.status, "links") if row.get("name") == link.name), None)
    if row is None:
        return unknown(what, "the running agent does not know this link", "haagent reload")
    way = "by unicast" if link.group is None else f"by multicast to {link.group}"
    if row.get("state") == "up":
        return ok(what, f"{subject.peer} is heard here {way}, and hears us")
    text = f"{row.get('detail') or row.get('state')}"
    if link.group is not None and row.get("state") == "degraded":
        remedy = (
            'look for multicast filters on the switch (IGMP snooping), or use transport = "unicast"'
        )
    else:
        remedy = f"look at the cable, the VLAN, and whether {subject.peer}'s agent runs"
    return (bad if _none_up(subject) else warning)(what, text, remedy)


def _none_up(subject: Subject) -> bool:
    return all(row.get("state") != "up" for row in rows(subject.status, "links"))


def _by_ear(subject: Subject, link: Link, frames: int, refused: frozenset[str]) -> Line:
    """No agent runs here, so its ports are free and this command can listen itself."""
    what = f"heartbeat on {link.name}"
    if frames:
        way = "unicast" if link.group is None else "multicast"
        return ok(
            what, f"{subject.peer} is heard here by {way}; whether it hears us, its doctor says"
        )
    if refused:
        text = f"what arrives is refused: {', '.join(sorted(refused))}"
        remedy = "key, cluster name and version must be the same on both nodes"
        return bad(what, text, remedy)
    text = f"nothing of {subject.peer} in {subject.listen_s:g} s"
    return unknown(what, text, f"start the agent on {subject.peer}, then ask again here")


def _querier(link: Link, heard: Heard, listen_s: float) -> Line:
    """A switch that snoops forgets a group that nobody asks for, minutes after all looked well."""
    what = f"querier on {link.name}"
    if asker := heard.queriers.get((link.interface, link.address.version)):
        return ok(what, f"{asker} asks who wants multicast")
    if listen_s > QUERY_EVERY_S:
        text = f"nobody asked for members in {listen_s:g} s: a switch that snoops will stop it"
        remedy = 'switch a querier on (or snooping off), or use transport = "unicast"'
        return warning(what, text, remedy)
    text = f"not heard in {listen_s:g} s; they ask every {QUERY_EVERY_S} s"
    return unknown(what, text, "haagent doctor --listen 130")


def _cable(link: Link, heard: Heard, listen_s: float) -> Line:
    what = f"cable {link.name}"
    if switch := heard.switches.get(link.interface):
        text = f"it is called direct, but {switch.name} is heard on it"
        return warning(what, text, 'if that is a switch: kind = "switched"')
    if listen_s > LLDP_EVERY_S:
        return ok(what, f"no switch spoke (LLDP) in {listen_s:g} s")
    text = f"no switch was heard (LLDP) in {listen_s:g} s; they speak every {LLDP_EVERY_S} s"
    return unknown(what, text, "haagent doctor --listen 31")


def _apart(one: Link, other: Link, heard: Heard, listen_s: float) -> Line:
    """Whether two links share a network or a switch."""
    what = f"{one.name} apart from {other.name}"
    if heard.joined(one.interface, other.interface):
        text = "what is sent on one arrives on the other: one network, and one fault takes both"
        return warning(
            what, text, "give each link a VLAN and a switch of its own, or a direct cable"
        )
    mine, its = heard.switches.get(one.interface), heard.switches.get(other.interface)
    if mine and its and mine.chassis == its.chassis:
        text = f"both hang on one switch, {mine.name}, which takes both with it"
        return warning(what, text, "plug one into another switch, or use a direct cable")
    if mine and its:
        return ok(what, f"two networks on two switches, {mine.name} and {its.name}")
    text = f"two networks; whether one switch carries both cannot be told (LLDP, {listen_s:g} s)"
    remedy = "haagent doctor --listen 31, with LLDP on at the switches"
    if not (one.switched and other.switched):
        text = "two networks, and one of them is a direct cable by configuration"
        remedy = "look at the cable once"
    return unknown(what, text, remedy)
