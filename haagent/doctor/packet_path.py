# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows one heartbeat through the rules of nftables: does it pass, and if not, where does it end?

Three answers, because not every rule can be judged from outside: a rule whose condition is not
understood may match or not, and then both ways are followed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from haagent.links import Link

Json = Mapping[str, Any]
DEPTH_MAX = 16
"""As deep as the kernel lets chains jump. Source: Linux, NFT_JUMP_STACK_SIZE."""
TERMINAL = ("accept", "drop", "reject", "queue")
SILENT = frozenset({"counter", "log", "comment", "notrack", "mangle", "ct helper", "set"})
"""Statements that let a packet go on."""


class Passage(Enum):
    """Whether the packet passes a chain."""

    NO = "no"
    PERHAPS = "perhaps"


@dataclass(frozen=True, slots=True)
class Stop:
    """Where it ends, or may end."""

    passage: Passage
    where: str

    def __str__(self) -> str:
        return self.where


@dataclass(frozen=True, slots=True)
class Packet:
    """A heartbeat as the rules see it."""

    incoming: bool
    interface: str
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    port: int

    @property
    def family(self) -> str:
        """Of tables that see it beside those of "inet"."""
        return "ip" if self.source.version == 4 else "ip6"

    @property
    def hooks(self) -> frozenset[str]:
        """Where chains meet it."""
        ours = {"ingress", "prerouting", "input"} if self.incoming else {"output", "postrouting"}
        return frozenset(ours if self.incoming else ours | {"egress"})


def incoming(link: Link) -> Packet:
    """The peer's heartbeat on its way in."""
    to = link.group or link.address
    return Packet(True, link.interface, link.peer_address, to, link.port)  # noqa: FBT003  # its name is in the type


def outgoing(link: Link) -> Packet:
    """Ours on its way out."""
    to = link.group or link.peer_address
    return Packet(False, link.interface, link.address, to, link.port)  # noqa: FBT003  # same


def rules(listed: str) -> Sequence[Json]:
    """The objects in what `nft --json list ruleset` prints."""
    found: Sequence[Json] = json.loads(listed)["nftables"]
    return found


def stops(objects: Sequence[Json], packet: Packet) -> Iterator[Stop]:
    """The chains that do, or may, end it.

    Args:
        objects: Chains, rules and sets, in the form of nftables' own listing.
        packet: What is followed.
    """
    rules = _Rules(objects, packet)
    for chain in rules.bases():
        ends = rules.ends(chain, 0)
        bad = sorted(end for end in ends if end)
        if bad:
            yield Stop(Passage.PERHAPS if "" in ends else Passage.NO, " or ".join(bad))


class _Rules:
    """One ruleset, seen by one packet. An end is where it was dropped, or "" if it goes on."""

    def __init__(self, objects: Sequence[Json], packet: Packet) -> None:
        self._packet = packet
        self._chains = [item["chain"] for item in objects if "chain" in item]
        self._rules = [item["rule"] for item in objects if "rule" in item]
        self._sets = {
            (item["set"]["family"], item["set"]["table"], item["set"]["name"]): item["set"]
            for item in objects
            if "set" in item
        }

    def bases(self) -> Iterator[Json]:
        """The chains that the kernel hands the packet to."""
        for chain in self._chains:
            device = chain.get("dev", self._packet.interface)
            devices = device if isinstance(device, list) else [device]
            if (
                chain.get("hook") in self._packet.hooks
                and chain.get("type") == "filter"
                and chain["family"] in {"inet", "netdev", self._packet.family}
                and self._packet.interface in devices
            ):
                yield chain

    def ends(self, chain: Json, depth: int) -> set[str]:
        """Of a chain: all that may become of the packet: "" is passing, "return" going back."""
        found: set[str] = set()
        own = [
            rule
            for rule in self._rules
            if (rule["family"], rule["table"], rule["chain"])
            == (chain["family"], chain["table"], chain["name"])
        ]
        for rule in own:
            sure, became = self._rule(rule, chain, depth)
            found |= became
            if sure:
                return found
        return found | _end(chain)

    def _rule(self, rule: Json, chain: Json, depth: int) -> tuple[bool, set[str]]:
        """Whether the packet certainly goes no further than this rule, and what becomes of it."""
        sure = True
        for part in rule.get("expr", []):
            ((kind, body),) = part.items()
            if kind == "match":
                matches = self._match(body, chain)
                if matches is False:
                    return False, set()
                sure = sure and matches is True
            elif kind in TERMINAL:
                passes = kind in {"accept", "queue"}
                return sure, {"" if passes else f"a rule of chain {_name(chain)} ({kind})"}
            elif kind == "return":
                return sure, _end(chain)
            elif kind in {"jump", "goto"}:
                ended, became = self._visit(body["target"], chain, depth)
                returned, became = "return" in became, became - {"return"}
                if kind == "goto" and returned:
                    return sure, became | _end(chain)
                return sure and ended, became
            elif kind == "vmap":
                return self._map(body, chain, depth)
            elif kind not in SILENT:
                sure = False
        return False, set()

    def _visit(self, name: str, chain: Json, depth: int) -> tuple[bool, set[str]]:
        key = (chain["family"], chain["table"], name)
        target = [one for one in self._chains if (one["family"], one["table"], one["name"]) == key]
        if not target or depth >= DEPTH_MAX:
            return False, {"return"}
        became = self.ends(target[0], depth + 1)
        return "return" not in became, became

    def _map(self, body: Json, chain: Json, depth: int) -> tuple[bool, set[str]]:
        """As `_rule`, of a verdict map: the entry that fits, or all that may."""
        data = body.get("data")
        entries = data.get("set", []) if isinstance(data, dict) else []
        value = self._value(body.get("key", {}))
        found: set[str] = set()
        for wanted, verdict in (entry for entry in entries if len(entry) == 2):
            fits = None if value is None else _fits(value, wanted)
            if fits is not False:
                sure, became = self._rule({"expr": [verdict]}, chain, depth)
                found |= became
                if fits:
                    return sure, found
        return False, found

    def _match(self, body: Json, chain: Json) -> bool | None:
        value = self._value(body["left"])
        if value is None:
            return None
        right = body["right"]
        if isinstance(right, str) and right.startswith("@"):
            key = (chain["family"], chain["table"], right[1:])
            right = {"set": self._sets[key].get("elem", [])} if key in self._sets else None
        fits = _fits(value, right)
        if fits is None or body["op"] not in {"==", "!=", "in"}:
            return None
        return not fits if body["op"] == "!=" else fits

    def _value(self, left: Json) -> Any:
        """What the packet has there; None if that is not known here."""
        packet = self._packet
        if "payload" in left:
            key = (left["payload"].get("protocol"), left["payload"].get("field"))
            return {
                ("udp", "dport"): packet.port,
                ("udp", "sport"): packet.port,
                ("th", "dport"): packet.port,
                ("tcp", "dport"): "no tcp",
                ("tcp", "sport"): "no tcp",
                (packet.family, "saddr"): packet.source,
                (packet.family, "daddr"): packet.destination,
                ("ip", "protocol"): "udp" if packet.family == "ip" else "no ip",
                ("ip6", "nexthdr"): "udp" if packet.family == "ip6" else "no ip6",
            }.get(key)
        if "meta" in left:
            mine, others = ("iifname", "oifname") if packet.incoming else ("oifname", "iifname")
            multicast = packet.destination.is_multicast
            return {
                mine: packet.interface,
                mine.removesuffix("name"): packet.interface,
                others: "no interface",
                others.removesuffix("name"): "no interface",
                "l4proto": "udp",
                "protocol": packet.family,
                "nfproto": "ipv4" if packet.family == "ip" else "ipv6",
                "pkttype": "multicast" if multicast else "host",
            }.get(left["meta"].get("key"))
        if "ct" in left and left["ct"].get("key") == "state":
            return "new"  # Nothing answers a heartbeat: of multicast no packet is ever a reply.
        return None


def _end(chain: Json) -> set[str]:
    """What becomes of a packet at the end of a chain, or at a `return` in it."""
    if "hook" not in chain:
        return {"return"}
    return {f"the policy of chain {_name(chain)}" if chain.get("policy") == "drop" else ""}


def _fits(value: object, right: Any) -> bool | None:
    """Whether a value is, or is among, what stands on the right; None if that is not understood."""
    if isinstance(right, dict) and "elem" in right:
        return _fits(value, right["elem"].get("val"))
    if isinstance(right, dict) and "set" in right:
        return _fits(value, right["set"])
    if isinstance(right, list):
        answers = [_fits(value, one) for one in right]
        return True if True in answers else None if None in answers else False
    if isinstance(right, dict) and "range" in right:
        low, high = right["range"]
        if isinstance(value, int) and isinstance(low, int):
            return low <= value <= int(high)
        if isinstance(value, (IPv4Address, IPv6Address)):
            return int(ip_address(low)) <= int(value) <= int(ip_address(high))
        return False if isinstance(value, str) else None
    if isinstance(right, dict) and "prefix" in right:
        prefix = right["prefix"]
        network = ip_network(f"{prefix['addr']}/{prefix['len']}", strict=False)
        return isinstance(value, (IPv4Address, IPv6Address)) and value in network
    if isinstance(right, (str, int)):
        if isinstance(right, str) and right.endswith("*"):
            return str(value).startswith(right[:-1])
        return str(value) == str(right)
    return None


def _name(chain: Json) -> str:
    return f"{chain['family']} {chain['table']} {chain['name']}"
