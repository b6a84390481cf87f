# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeat paths between the two nodes."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address


@dataclass(frozen=True, slots=True)
class Link:
    """One heartbeat path as this node uses it; same index on both nodes."""

    name: str
    interface: str
    address: IPv4Address | IPv6Address
    """Our own address on the interface."""
    peer_address: IPv4Address | IPv6Address
    group: IPv4Address | IPv6Address | None
    """Multicast group, or None: frames go to peer_address by unicast."""
    port: int
    switched: bool
    """False for a direct cable between the two nodes."""
