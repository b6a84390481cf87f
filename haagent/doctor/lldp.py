# SPDX-License-Identifier: GPL-2.0-or-later
"""Who speaks LLDP: a switch tells its chassis and its name (IEEE 802.1AB-2016, clause 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

END, CHASSIS, PORT, SYSTEM_NAME = 0, 1, 2, 5
"""Types of TLV. Source: table 8-1."""
NAME_MAX = 64


@dataclass(frozen=True, slots=True)
class Switch:
    """The other end of a cable, by its own words."""

    chassis: bytes
    """Equal for all ports of one switch, or of one stack."""
    name: str


def switch(payload: bytes) -> Switch | None:
    """Who sent it; None if that is no LLDP.

    Args:
        payload: What follows the Ethernet header; any bytes at all.
    """
    found = dict(_values(payload))
    chassis = found.get(CHASSIS, b"")
    if len(chassis) < 2:
        return None
    name = found.get(SYSTEM_NAME, b"").decode(errors="replace")[:NAME_MAX]
    shown = "".join(one if one.isprintable() else "?" for one in name)
    return Switch(chassis, shown or chassis[1:].hex(":"))


def _values(payload: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(payload):
        header = int.from_bytes(payload[at : at + 2], "big")
        kind, length = header >> 9, header & 0x1FF
        if kind == END or at + 2 + length > len(payload):
            return
        yield kind, payload[at + 2 : at + 2 + length]
        at += 2 + length
