# SPDX-License-Identifier: GPL-2.0-or-later
"""Am I connected? Asks addresses that answer whenever the network is well (echo, RFC 792, 4443)."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address

from haagent.errors import EdgeError

REPEAT_S = 0.1
"""Between two rounds of requests: a single lost frame must not look like isolation."""
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

IpAddress = IPv4Address | IPv6Address


async def reachable(
    addresses: Sequence[IpAddress], timeout_s: float, interfaces: Sequence[str] = ()
) -> bool:
    """Whether any of these answers an echo request now; True with the first answer.

    Args:
        addresses: Whom to ask; all at once, again every 0.1 s. None at all: False.
        timeout_s: How long to wait for the first answer, seconds.
        interfaces: Through which interfaces; empty leaves it to the routing table. One that is
            absent or down counts as silent.

    Raises:
        EdgeError: not permitted to open raw sockets.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[None] = loop.create_future()
    asking = asyncio.create_task(_ask(addresses, interfaces, answered))
    try:
        done, _ = await asyncio.wait(
            (answered, asking), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        asking.cancel()
        await asyncio.wait((asking,))
    if asking in done:
        asking.result()
    return answered.done()


async def _ask(
    addresses: Sequence[IpAddress], interfaces: Sequence[str], answered: asyncio.Future[None]
) -> None:
    """Ask for ever; only its cancellation or an EdgeError ends it."""
    loop = asyncio.get_running_loop()
    token = os.urandom(TOKEN_BYTES)
    with ExitStack() as stack:
        senders: dict[tuple[int, str], socket.socket] = {}
        for version in {address.version for address in addresses}:
            for interface in interfaces or ("",):
                sender = _open(version, interface)
                if sender is not None:
                    senders[version, interface] = stack.enter_context(sender)
                    loop.add_reader(sender, _hear, sender, token, frozenset(addresses), answered)
                    stack.callback(loop.remove_reader, sender)
        sequence = 0
        while True:
            sequence = (sequence + 1) & 0xFFFF
            for (family, _), sender in senders.items():
                asked = [address for address in addresses if address.version == family]
                _send_all(sender, family, asked, sequence, token)
            await asyncio.sleep(REPEAT_S)


def _open(version: int, interface: str) -> socket.socket | None:
    """A raw socket that hears echo replies only; None if the interface does not exist."""
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
        if interface:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    except OSError:
        opened.close()
        return None
    return opened


def _send_all(
    sender: socket.socket, version: int, addresses: Sequence[IpAddress], sequence: int, token: bytes
) -> None:
    request = echo_request(version, sequence, token)
    for address in addresses:
        try:
            sender.sendto(request, (str(address), 0))
        except OSError:
            continue  # No route, or the interface is down: it cannot answer this time.


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


def _hear(
    receiver: socket.socket,
    token: bytes,
    asked: frozenset[IpAddress],
    answered: asyncio.Future[None],
) -> None:
    for _ in range(QUEUED_MAX):
        try:
            packet, sender = receiver.recvfrom(DATAGRAM_BYTES)
        except OSError:
            return
        if packet.endswith(token) and _is_asked(sender[0], asked) and not answered.done():
            answered.set_result(None)


def _is_asked(sender: str, asked: frozenset[IpAddress]) -> bool:
    return any(str(address) == sender for address in asked)
