# SPDX-License-Identifier: GPL-2.0-or-later
"""One heartbeat path: its socket, what is sent and heard on it, and what is counted."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from haagent.errors import EdgeError
from haagent.links import Link

FRAME_BYTES_MAX = 1200
"""Source: design, section 4; fits the smallest IPv6 MTU (1280, RFC 8200 section 5) unfragmented."""
HOPS = 1
"""Heartbeats never pass a router."""
TRAFFIC_CLASS = 0xC0
"""CS6, network control. Source: RFC 4594, section 3.1."""
RECEIVE_BUFFER_BYTES = 1 << 20

# Names that Python's socket module lacks.
SO_RCVBUFFORCE = 33
"""Source: Linux, include/uapi/asm-generic/socket.h, as the next two."""
TRUNCATED = int(socket.MSG_TRUNC)
"""As a plain number: the enumeration's `&` costs as much as reading a frame."""
SO_TIMESTAMPNS = 35
SO_RXQ_OVFL = 40
IP_MULTICAST_ALL = 49
"""Source: Linux, include/uapi/linux/in.h."""
IPV6_MULTICAST_ALL = 29
"""Source: Linux, include/uapi/linux/in6.h."""

TIMESPEC = struct.Struct("@qq")
DROPS = struct.Struct("@I")
ANCILLARY_BYTES = socket.CMSG_SPACE(TIMESPEC.size) + socket.CMSG_SPACE(DROPS.size)
NS_PER_S = 1_000_000_000

DEAD_SOCKET = frozenset({errno.ENODEV, errno.ENXIO, errno.EBADF})
"""The interface that the socket was bound to is no more: only a new socket helps."""

OnFrame = Callable[[bytes, int], None]
"""Gets a frame and when it was heard, monotonic nanoseconds."""


@dataclass(slots=True)
class Counters:
    """What happened on one path since the agent started."""

    sent: int = 0
    send_failed: int = 0
    send_oversize: int = 0
    received: int = 0
    receive_oversize: int = 0
    receive_failed: int = 0
    receive_overrun: int = 0
    """Frames the kernel dropped because the receive buffer was full."""
    opened: int = 0


def open_socket(link: Link, index: int) -> socket.socket:
    """Open, bind and join; takes kernel locks, so it is no work for the loop.

    Args:
        link: What to open.
        index: Of the interface, as known to the caller.

    Raises:
        EdgeError: the kernel refused; the text names the link.
    """
    family = socket.AF_INET if link.address.version == 4 else socket.AF_INET6
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        _set_common(opened, link.interface)
        if family == socket.AF_INET:
            _bind_v4(opened, link, index)
        else:
            _bind_v6(opened, link, index)
    except OSError as error:
        opened.close()
        raise EdgeError(f"link {link.name}: {error.strerror}") from error
    return opened


def _set_common(opened: socket.socket, interface: str) -> None:
    # The device comes before bind(), so that several links may use one port. No SO_REUSEADDR:
    # a second agent on this host must fail to open, not steal frames.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    opened.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)


def _bind_v4(opened: socket.socket, link: Link, index: int) -> None:
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOPS)
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, TRAFFIC_CLASS)
    if link.group is None:
        opened.bind((str(link.address), link.port))
        return
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    opened.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
    source = struct.pack("@4s4si", bytes(4), link.address.packed, index)
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, source)
    opened.bind((str(link.group), link.port))
    member = struct.pack("@4s4si", link.group.packed, link.address.packed, index)
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)


def _bind_v6(opened: socket.socket, link: Link, index: int) -> None:
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOPS)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, TRAFFIC_CLASS)
    if link.group is None:
        opened.bind((str(link.address), link.port, 0, index))
        return
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    opened.setsockopt(socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    opened.bind((str(link.group), link.port, 0, index))
    member = struct.pack("@16sI", link.group.packed, index)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)


class Path:
    """One link's socket while it has one. Nothing here raises or blocks."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.counters = Counters()
        self.socket: socket.socket | None = None
        self.index = 0
        """Of the interface that the socket belongs to."""
        self.error: str | None = None
        """Why the last attempt to open, send or receive failed; None after a good one."""
        self.broken = False
        """The socket must be replaced."""
        self._destination: tuple[str | int, ...] = ()
        self._ancillary: list[tuple[int, int, bytes]] = []
        self._empty_ns = 0
        self._heard_ns = 0
        self._drops = 0

    def attach(self, opened: socket.socket, index: int) -> None:
        """Use a socket made by `open_socket` for interface `index`."""
        self.detach()
        self.socket, self.index = opened, index
        self.error, self.broken, self._drops = None, False, 0
        self._empty_ns = time.monotonic_ns()
        self.counters.opened += 1
        target = self.link.group or self.link.peer_address
        if isinstance(target, IPv4Address):
            self._destination = (str(target), self.link.port)
            return
        self._destination = (str(target), self.link.port, 0, index)
        # Bound to a group, the kernel might choose another of our addresses as the source.
        source = struct.pack("@16sI", self.link.address.packed, index)
        self._ancillary = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source)]

    def detach(self) -> None:
        """Close the socket, if there is one."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def send(self, data: bytes) -> bool:
        """Hand one frame to the kernel; False (and counted) if it did not take it."""
        if len(data) > FRAME_BYTES_MAX:
            self.counters.send_oversize += 1
            return False
        if self.socket is None:
            self.counters.send_failed += 1
            return False
        try:
            self.socket.sendmsg([data], self._ancillary, 0, self._destination)
        except OSError as error:
            self.counters.send_failed += 1
            self.error = f"cannot send: {error.strerror}"
            self.broken = error.errno in DEAD_SOCKET
            return False
        self.counters.sent += 1
        self.error = None
        return True

    def receive(self, frames_max: int, on_frame: OnFrame) -> int:
        """Take up to `frames_max` queued datagrams; returns how many were taken."""
        for taken in range(frames_max):
            if self.socket is None or self.broken:  # `on_frame` may have closed us.
                return taken
            before_ns = time.monotonic_ns()
            try:
                data, ancillary, flags, _ = self.socket.recvmsg(
                    FRAME_BYTES_MAX + 1, ANCILLARY_BYTES
                )
            except BlockingIOError:
                self._empty_ns = before_ns
                return taken
            except OSError as error:
                self.counters.receive_failed += 1
                self.error, self.broken = f"cannot receive: {error.strerror}", True
                return taken
            heard_ns = self._heard(ancillary)
            if len(data) > FRAME_BYTES_MAX or flags & TRUNCATED:
                self.counters.receive_oversize += 1
                continue
            self.counters.received += 1
            on_frame(data, heard_ns)
        return frames_max

    def _heard(self, ancillary: list[tuple[int, int, bytes]]) -> int:
        """When the kernel received the frame, by the monotonic clock.

        The kernel stamps by the wall clock. Somebody may set that clock between the stamp and
        now, so the result is held between what is certain: not before the socket was last seen
        empty, not in the future, never earlier than the frame before.
        """
        now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        heard_ns = now_ns
        for level, kind, value in ancillary:
            if level != socket.SOL_SOCKET:
                continue
            if kind == SO_TIMESTAMPNS and len(value) == TIMESPEC.size:
                seconds, rest_ns = TIMESPEC.unpack(value)
                heard_ns = now_ns - (wall_ns - seconds * NS_PER_S - rest_ns)
            elif kind == SO_RXQ_OVFL and len(value) == DROPS.size:
                (drops,) = DROPS.unpack(value)
                self.counters.receive_overrun += drops - self._drops
                self._drops = drops
        heard_ns = min(max(heard_ns, self._empty_ns, self._heard_ns), now_ns)
        self._heard_ns = heard_ns
        return heard_ns
