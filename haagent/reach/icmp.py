# SPDX-License-Identifier: GPL-2.0-or-later
"""Echo requests and the sockets that hear the replies (RFC 792, RFC 4443)."""

from __future__ import annotations

import socket
import struct

from haagent.errors import EdgeError

TOKEN_BYTES = 16
"""Random, so that an answer to an earlier question is never taken for one to this."""
QUEUED_MAX = 256
DATAGRAM_BYTES = 1024

ECHO = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence number."""
ICMP_FILTER = 1
"""On level SOL_RAW (255). Source: Linux, include/uapi/linux/icmp.h."""
SOL_RAW = 255
ICMP6_FILTER = 1
"""On level IPPROTO_ICMPV6. Source: Linux, include/uapi/linux/icmpv6.h."""
V4_REQUEST, V4_REPLY = 8, 0
V6_REQUEST, V6_REPLY = 128, 129


def open_receiver(version: int) -> socket.socket:
    """A raw socket that hears echo replies only.

    Args:
        version: 4 or 6.

    Raises:
        EdgeError: not permitted to open raw sockets, or there is no such IP version here.
    """
    family, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP)
        if version == 4
        else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    )
    try:
        opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    except OSError as error:
        raise EdgeError(f"cannot ask the references: {error.strerror}") from error
    try:
        if version == 4:
            blocked = 0xFFFFFFFF & ~(1 << V4_REPLY)
            opened.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("@I", blocked))
        else:
            words = [0xFFFFFFFF] * 8
            words[V6_REPLY >> 5] &= ~(1 << (V6_REPLY & 31))
            opened.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("@8I", *words))
    except OSError as error:
        opened.close()
        raise EdgeError(f"cannot ask the references: {error.strerror}") from error
    return opened


def echo_request(version: int, sequence: int, token: bytes) -> bytes:
    """One echo request; the kernel adds the IPv6 checksum itself (RFC 3542, section 3.1)."""
    kind = V4_REQUEST if version == 4 else V6_REQUEST
    identifier = int.from_bytes(token[:2], "big")
    packet = ECHO.pack(kind, 0, 0, identifier, sequence) + token
    if version == 4:
        packet = ECHO.pack(kind, 0, checksum(packet), identifier, sequence) + token
    return packet


def checksum(packet: bytes) -> int:
    """The internet checksum of an even number of bytes. Source: RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
