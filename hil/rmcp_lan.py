# SPDX-License-Identifier: GPL-2.0-or-later
"""The channels of our own BMC that are of a LAN, and what is set there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

_OK, _PARAMETER_NOT_SUPPORTED, _OUT_OF_RANGE, _NOT_IN_REQUEST = 0x00, 0x80, 0xC9, 0xCC
_CURRENT_CHANNEL, _FIRST = 0x0E, 1
_REVISION = 0x11
_IN_PROGRESS, _ADDRESS, _MAC, _MASK = 0, 3, 5, 6
_V6_STATIC, _V6_DYNAMIC = 56, 59
"""Parameters (tables 23-4)."""
_ENABLED, _SLAAC, _ACTIVE, _DISABLED = 0x80, 0x01, 0, 1
_PREFIX_BITS = 64
_UNSET = IPv4Address(0)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a LAN."""

    v4: IPv4Address = _UNSET
    static: tuple[IPv6Address, ...] = ()
    """IPv6 by hand; one that is unspecified is not enabled."""
    dynamic: tuple[IPv6Address, ...] = ()
    """IPv6 by router advertisements."""


def information(channels: Mapping[int, Channel], data: bytes) -> tuple[int, bytes]:
    """Get Channel Info (22.24): 802.3 LAN, IPMB protocol, sessions on all."""
    number = _FIRST if data[0] & 0x0F == _CURRENT_CHANNEL else data[0] & 0x0F
    if number not in channels:
        return _NOT_IN_REQUEST, b""
    return _OK, bytes((number, 0x04, 0x01, 0x80, 0xF2, 0x1B, 0x00, 0, 0))


def parameter(channels: Mapping[int, Channel], mac: bytes | None, data: bytes) -> tuple[int, bytes]:
    """Get LAN Configuration Parameters (23.2).

    Args:
        channels: By number.
        mac: Of them all; None if it is not told.
        data: Channel, parameter, which of a set, which block.
    """
    number = _FIRST if data[0] & 0x0F == _CURRENT_CHANNEL else data[0] & 0x0F
    channel = channels.get(number)
    if channel is None:
        return _NOT_IN_REQUEST, b""
    selector, which = data[1], data[2]
    if selector in (_V6_STATIC, _V6_DYNAMIC):
        addresses = channel.static if selector == _V6_STATIC else channel.dynamic
        if not addresses:
            return _PARAMETER_NOT_SUPPORTED, b""
        if which >= len(addresses):
            return _OUT_OF_RANGE, b""
        return _OK, bytes([_REVISION]) + _v6(selector, which, addresses[which])
    plain = {
        _IN_PROGRESS: b"\0",
        _ADDRESS: channel.v4.packed,
        _MAC: mac,
        _MASK: IPv4Address("255.255.255.0").packed,
    }.get(selector)
    if plain is None:
        return _PARAMETER_NOT_SUPPORTED, b""
    return _OK, bytes([_REVISION]) + plain


def _v6(selector: int, which: int, address: IPv6Address) -> bytes:
    in_use = not address.is_unspecified
    by_hand = _ENABLED if in_use else 0
    source = _SLAAC if selector == _V6_DYNAMIC else by_hand
    status = _ACTIVE if in_use else _DISABLED
    return bytes((which, source, *address.packed, _PREFIX_BITS, status))
