# SPDX-License-Identifier: GPL-2.0-or-later
"""What the interview found out: everything that the file says, and nothing of how it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Literal

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class LinkAnswer:
    """One heartbeat path; both ends in the order of the nodes."""

    name: str
    kind: Literal["switched", "direct"]
    interfaces: tuple[str, str]
    addresses: tuple[Address, Address]
    multicast: bool


@dataclass(frozen=True, slots=True)
class BmcAnswer:
    """The BMC of one node."""

    node: str
    driver: Literal["ipmi", "redfish"]
    address: Address
    user: str
    password: str = field(repr=False)
    fingerprint: str = ""
    """SHA-256 of a Redfish service's certificate."""


@dataclass(frozen=True, slots=True)
class PduAnswer:
    """Outlets that feed one node, switched over the other node's serial line."""

    node: str
    line: str
    dialect: str
    outlets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GroupAnswer:
    """What the pair carries."""

    name: str
    units: tuple[str, ...]
    vip: IPv4Interface | IPv6Interface
    interfaces: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answers:
    """The whole pair."""

    cluster: str
    nodes: tuple[str, str]
    links: tuple[LinkAnswer, ...]
    references: tuple[Address, ...]
    bmcs: tuple[BmcAnswer, ...]
    pdus: tuple[PduAnswer, ...]
    group: GroupAnswer
    watchdog: str
    """Identity of the one to use; "" for the first that is hardware."""
