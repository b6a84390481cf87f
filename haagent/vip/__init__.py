# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual addresses: held, announced, watched, and probed for a foreign holder."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from haagent.errors import EdgeError


class VipError(EdgeError):
    """An address could not be added, removed, announced or probed."""


@dataclass(frozen=True, slots=True)
class Vip:
    """One virtual address on this node."""

    address: IPv4Interface | IPv6Interface
    """With its prefix length, e.g. 192.0.2.10/24."""
    interface: str
