# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose power is it: comparing system UUIDs although firmware disagrees about their byte order."""

from __future__ import annotations

from uuid import UUID

_SAYS_NOTHING = frozenset({bytes(16), b"\xff" * 16})
"""What firmware without an identity answers (SMBIOS 3.7, 7.2.1: not present, not set)."""
_ORDERS_DEEP = 3
"""Device, SMBIOS table and kernel may each have turned the bytes once."""


def from_bytes(raw: bytes) -> UUID | None:
    """Take a device's 16 bytes as they came; None if they identify nothing."""
    if len(raw) != 16 or raw in _SAYS_NOTHING:
        return None
    return UUID(bytes=raw)


def orders(identity: UUID) -> frozenset[UUID]:
    """All UUIDs that the same machine may be known by, `identity` among them.

    Two things turn bytes around: IPMI sends the whole GUID backwards, and SMBIOS since 2.6 has
    the first three fields little-endian. Vendors do either, both or none of it.

    Source: IPMI 2.0, 20.8 "Get Device GUID Command"; SMBIOS 3.7, 7.2.1 "System - UUID".
    """
    found = {identity}
    for _ in range(_ORDERS_DEEP):
        found |= {UUID(bytes=known.bytes[::-1]) for known in found}
        found |= {UUID(bytes=known.bytes_le) for known in found}
    return frozenset(found)


def same(answer: UUID, expected: UUID) -> bool:
    """Whether a device's answer can be the expected machine in some plausible byte order."""
    return answer in orders(expected)
