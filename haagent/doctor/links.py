# SPDX-License-Identifier: GPL-2.0-or-later
"""The heartbeat's links: interface, address, MTU, filters, and whether two of them are two."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from haagent.asking import output
from haagent.cli.verdict import rows
from haagent.doctor import Line, Subject, bad, iptables, ok, packet_path, unknown, warning
from haagent.doctor.hardware import SYSFS, ports, shared_card
from haagent.doctor.packet_path import Passage, incoming, outgoing, stops
from haagent.doctor.path_mtu import answers
from haagent.links import Link

MTU_MIN = 1280
"""Frames of 1,200 bytes with their headers. Source: haagent.core.wire; RFC 8200, section 5."""


def look(subject: Subject) -> Iterator[Line]:
    """Each link, then each two of them."""
    links = subject.configuration.links
    heard = heard_both_ways(subject)
    for link in links:
        yield from _interface(link)
        if Path(SYSFS, "class/net", link.interface).exists():
            yield mtu_of(link, _number(SYSFS / "class/net" / link.interface / "mtu"))
            yield _firewall(link, heard=link.name in heard)
            yield from _source_check(link)
    for one, other in combinations(links, 2):
        yield _cards(one, other)
    if len(links) == 1:
        text = "there is only one: when it fails, nodes must shoot on no other evidence"
        yield warning("links", text, "add a second network, best a direct cable")


def heard_both_ways(subject: Subject) -> frozenset[str]:
    """Names of the links on which the running agent hears the peer and is heard."""
    return frozenset(
        str(row.get("name")) for row in rows(subject.status, "links") if row.get("state") == "up"
    )


def _interface(link: Link) -> Iterator[Line]:
    what, folder = f"link {link.name}", SYSFS / "class/net" / link.interface
    if not folder.exists():
        text = f"there is no interface {link.interface}"
        yield bad(what, text, "correct the link's interface; ip link shows what there is")
        return
    try:
        carrier = (folder / "carrier").read_text().strip() == "1"
    except OSError:  # An interface that is down has no carrier to tell of.
        yield bad(what, f"{link.interface} is down", f"ip link set {link.interface} up")
        return
    if not carrier:
        yield bad(what, f"{link.interface} has no carrier", "look at the cable and its other end")
        return
    speed = _number(folder / "speed")
    yield ok(what, f"{link.interface} has a carrier" + (f", {speed} Mb/s" if speed > 0 else ""))


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return -1


def mtu_of(link: Link, mtu: int) -> Line:
    """What fits through a link, by what comes back from the peer.

    Args:
        link: Asked over this one.
        mtu: Of its interface here.
    """
    what = f"MTU of {link.name}"
    if mtu < MTU_MIN:
        text = f"{mtu} on {link.interface}: heartbeats of up to 1,200 bytes do not fit"
        return bad(what, text, f"ip link set {link.interface} mtu 1500")
    if not answers(link, MTU_MIN // 2):
        text = f"{mtu} here; {link.peer_address} does not answer ping, so its end is not known"
        return unknown(what, text)
    if answers(link, mtu):
        return ok(what, f"{mtu}, all the way to {link.peer_address}")
    text = f"packets of {mtu} bytes do not come back from {link.peer_address}, small ones do"
    return warning(what, text, "set one MTU on both nodes, and at least that on the switch")


def _firewall(link: Link, *, heard: bool) -> Line:
    what = f"firewall on {link.name}"
    port = f"UDP port {link.port} on {link.interface}"
    if heard:
        return ok(what, f"heartbeats pass in both directions ({port})")
    accept = (
        f"let {port} in and out, e.g. nft: iifname {link.interface} udp dport {link.port} accept"
    )
    doubts, objects = [], list[packet_path.Json]()
    listed = output("nft", "--json", "list", "ruleset")
    if listed is None:
        doubts.append("nft is not installed or may not be asked")
    else:
        objects += packet_path.rules(listed)
    if iptables.loaded(link.address.version):
        legacy = iptables.rules(link.address.version)
        if legacy is None:
            doubts.append("rules of legacy iptables are loaded, and cannot be listed")
        objects += legacy or ()
    for packet in (incoming(link), outgoing(link)):
        for stop in stops(objects, packet):
            if stop.passage is Passage.NO:
                return bad(what, f"{_way(packet.incoming)} {port} is dropped by {stop}", accept)
            doubts.append(f"{_way(packet.incoming)}: {stop}")
    if doubts:
        return unknown(what, f"it depends: {'; '.join(doubts)}", accept)
    return ok(what, f"no rule of nftables or iptables stops {port}")


def _way(incoming_one: bool) -> str:  # noqa: FBT001  # a word for either
    return "incoming" if incoming_one else "outgoing"


def _source_check(link: Link) -> Iterator[Line]:
    """Strict reverse-path filtering drops what comes in where its sender is not routed to."""
    if link.address.version != 4:
        return
    folder = Path("/proc/sys/net/ipv4/conf")
    strict = max(_number(folder / name / "rp_filter") for name in ("all", link.interface))
    if strict != 1:
        return
    route = output("ip", "-o", "route", "get", str(link.peer_address)) or ""
    if route and f" dev {link.interface} " not in f"{route} ":
        text = f"rp_filter drops what comes in on {link.interface}: the peer is routed elsewhere"
        remedy = "give every link a subnet of its own, or set net.ipv4.conf.*.rp_filter to 2"
        yield bad(f"routes of {link.name}", text, remedy)


def _cards(one: Link, other: Link) -> Line:
    what = f"{one.name} and {other.name}"
    mine, its = ports(one.interface), ports(other.interface)
    if mine is None or its is None:
        which = one.interface if mine is None else other.interface
        return unknown(what, f"{which} has no hardware of its own: cards cannot be compared")
    if common := shared_card(mine, its):
        text = f"{one.interface} and {other.interface} are {common}: they fail together"
        return warning(what, text, "use ports of two cards, e.g. one on the mainboard")
    return ok(what, f"{one.interface} and {other.interface} are two pieces of hardware")
