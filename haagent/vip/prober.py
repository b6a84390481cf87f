# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks the segment whether anybody still answers for a VIP (S8)."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from haagent.netlink import Netlink
from haagent.packet_filter import attach
from haagent.vip import Vip, VipError
from haagent.vip.frames import FrameShelf

REPEAT_S = 0.005
"""Between two probes of one address within the window."""
QUEUED_MAX = 1024
"""Frames taken in one go; the default receive buffer (212,992 bytes) holds fewer than 300."""
FRAME_BYTES_MAX = 256
"""More than any frame we look at needs; the rest of a longer one is cut off."""

ETH_P_ARP = 0x0806
"""Source: IEEE 802 numbers, as the next."""
ETH_P_IPV6 = 0x86DD
ARP = struct.Struct("!6s6sH HHBBH 6s4s 6s4s")
"""Ethernet header and ARP body. Source: RFC 826."""
ARP_IPV4 = (1, 0x0800, 6, 4)
"""Ethernet hardware, IPv4 protocol and their address lengths."""
MAC_BYTES = 6
NA_TARGET = 14 + 40 + 8
"""Where the target stands: behind the Ethernet, IPv6 and ICMPv6 headers (RFC 4861, 4.4)."""
NA_OPTION = NA_TARGET + 16
NA_MAC_OPTION = b"\x02\x01"
"""Target link-layer address, 8 bytes long. Source: RFC 4861, section 4.6.1."""

ONLY_ADVERTISEMENTS = (
    (0x30, 0, 0, 14 + 6),  # load the IPv6 next header
    (0x15, 0, 3, 58),  # ICMPv6, or drop
    (0x30, 0, 0, 14 + 40),  # load the ICMPv6 type
    (0x15, 0, 1, 136),  # neighbour advertisement, or drop
    (0x06, 0, 0, 0xFFFF),  # take all of it
    (0x06, 0, 0, 0),  # drop
)
"""On the frame from its first byte."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Somebody else speaks for a VIP."""

    vip: Vip
    mac: bytes
    """Who: 6 bytes."""
    heard_ns: int
    """Monotonic."""


class VipProber:
    """Sends probes that claim nothing (RFC 5227, RFC 4862) and listens for a holder."""

    def __init__(self, netlink: Netlink, frames: FrameShelf) -> None:
        """Nothing is opened yet; both arguments are opened before and closed after this."""
        self._netlink = netlink
        self._frames = frames
        self._known: frozenset[Vip] = frozenset()
        self._sockets: tuple[socket.socket, ...] = ()
        self._busy = asyncio.Lock()

    def start(self, vips: Iterable[Vip]) -> None:
        """Open the sockets ahead of need, for the VIPs that may be probed later.

        They belong to no interface and sort by the name each frame comes with, so an interface
        that is deleted and made again needs nothing from us.

        Raises:
            VipError: not permitted.
        """
        self._known = frozenset(vips)
        opened: list[socket.socket] = []
        try:
            opened.append(_packet_socket(ETH_P_ARP))
            opened.append(_packet_socket(ETH_P_IPV6))
            attach(opened[1], ONLY_ADVERTISEMENTS)
        except OSError as error:
            for one in opened:
                one.close()
            raise VipError(f"cannot open a packet socket: {error.strerror}") from error
        self._sockets = tuple(opened)

    def close(self) -> None:
        """Close the sockets; never raises."""
        for one in self._sockets:
            one.close()
        self._sockets = ()

    async def probe(self, vips: Sequence[Vip], window_s: float) -> tuple[Answer, ...]:
        """Ask at once and every 5 ms, and listen until the window ends.

        Args:
            vips: Some of those given to `start`.
            window_s: How long to listen, seconds. 0.02 is ample on one segment.

        Returns:
            The first answer of each sender for each VIP; empty if nobody answered. Frames with a
            hardware address of this host do not count.

        Raises:
            VipError: no answer, and for some VIP no probe could be sent: nothing is known.
        """
        assert self._known.issuperset(vips), "start() did not prepare for these"
        assert self._sockets, "start() comes first"
        async with self._busy:
            own, found = self._netlink.macs(), dict[tuple[Vip, bytes], Answer]()

            def take(interface: str, address: IPv4Address | IPv6Address, mac: bytes) -> None:
                for vip in vips:
                    if vip.interface == interface and vip.address.ip == address:
                        answer = Answer(vip, mac, time.monotonic_ns())
                        found.setdefault((vip, mac), answer)

            for one in self._sockets:
                _read(one, own, lambda *_: None)  # What is queued is older than the question.
            unsent = await self._listen(vips, window_s, own, take)
        if unsent and not found:
            names = ", ".join(sorted(f"{v.address.ip} on {v.interface}" for v in unsent))
            raise VipError(f"cannot probe: {names}")
        return tuple(found.values())

    async def _listen(
        self, vips: Sequence[Vip], window_s: float, own: frozenset[bytes], take: _Take
    ) -> set[Vip]:
        """Send and receive for one window; returns the VIPs that no probe left for.

        The window is counted from the first probe, or from a later VIP's first one: a process that
        got no processor meanwhile has asked nothing yet.
        """
        loop = asyncio.get_running_loop()
        unsent, end_s = set(vips), loop.time() + window_s
        for one in self._sockets:
            loop.add_reader(one, _read, one, own, take)
        try:
            while True:
                if sent := unsent & {vip for vip in vips if self._send(vip)}:
                    unsent -= sent
                    end_s = loop.time() + window_s
                if (left_s := end_s - loop.time()) <= 0:
                    break
                await asyncio.sleep(min(REPEAT_S, left_s))
        finally:
            for one in self._sockets:
                loop.remove_reader(one)
        for one in self._sockets:
            _read(one, own, take)  # A loop that was late finds the answers here (S6).
        return unsent

    def _send(self, vip: Vip) -> bool:
        frames = self._frames.get(vip)
        if frames is None:
            return False
        sender, kind = (
            (self._sockets[0], ETH_P_ARP)
            if vip.address.version == 4
            else (self._sockets[1], ETH_P_IPV6)
        )
        try:
            sender.sendto(frames.probe, (vip.interface, kind))
        except OSError:
            return False  # No interface, or it is down. The caller raises if it stays so.
        return True


_Take = Callable[[str, IPv4Address | IPv6Address, bytes], None]


def _packet_socket(protocol: int) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
    return socket.socket(socket.AF_PACKET, kind, socket.htons(protocol))


def _read(receiver: socket.socket, own: frozenset[bytes], take: _Take) -> None:
    for _ in range(QUEUED_MAX):
        try:
            frame, (interface, protocol, *_rest) = receiver.recvfrom(FRAME_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            continue  # ENETDOWN is told once per interface going down; the socket lives on.
        said = arp_sender(frame) if protocol == ETH_P_ARP else advertised(frame)
        if said is not None and said[1] not in own and frame[6:12] not in own:
            take(interface, *said)


def arp_sender(frame: bytes) -> tuple[IPv4Address | IPv6Address, bytes] | None:
    """Who an ARP frame, of either form, says it is: address and hardware address."""
    if len(frame) < ARP.size:
        return None
    _, _, _, *shape, _operation, mac, address, _, _ = ARP.unpack_from(frame)
    if tuple(shape) != ARP_IPV4:
        return None
    return ip_address(address), mac


def advertised(frame: bytes) -> tuple[IPv4Address | IPv6Address, bytes] | None:
    """What a neighbour advertisement (the filter lets in no other) says: address and MAC."""
    if len(frame) < NA_OPTION:
        return None
    target, mac = frame[NA_TARGET:NA_OPTION], frame[6:12]
    option = frame[NA_OPTION : NA_OPTION + 2 + MAC_BYTES]
    if option[:2] == NA_MAC_OPTION and len(option) == 2 + MAC_BYTES:
        mac = option[2:]
    return ip_address(target), mac
