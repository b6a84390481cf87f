# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeat transport, between real namespaces."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest
from vip.netns import Lan, Node, cable, in_time, plug, until

from haagent.links import Link, linkset
from haagent.links.linkset import LinkSet
from haagent.links.path import FRAME_BYTES_MAX, SO_TIMESTAMPNS, TIMESPEC, Path, open_socket
from haagent.netlink import Netlink

PORT = 7072
IP_RECVTTL = 12
"""Source: Linux, include/uapi/linux/in.h; missing in Python's socket module."""


def link(name: str, kind: str) -> Link:
    """Node a's end of a link: "lan" is eth0, "ring" is eth1."""
    interface, net4, net6 = {
        "lan": ("eth0", "192.0.2.", "2001:db8::"),
        "ring": ("eth1", "198.51.100.", "2001:db8:1::"),
    }[name]
    net = net4 if kind.endswith("4") else net6
    group = {"multicast4": "239.192.72.1", "multicast6": "ff12::7072"}.get(kind)
    return Link(
        name=name,
        interface=interface,
        address=ip_address(net + "11"),
        peer_address=ip_address(net + "12"),
        group=ip_address(group) if group else None,
        port=PORT,
        switched=name == "lan",
    )


def peer_socket(node: Node, link: Link) -> socket.socket:
    """The other end, made with plain socket calls."""
    version = link.address.version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    peer = node.open_socket(family, socket.SOCK_DGRAM)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.interface.encode())
    peer.bind((str(link.group or link.peer_address), PORT))
    index = node.inside(lambda: socket.if_nametoindex(link.interface))
    if version == 4:
        peer.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        if link.group:
            member = struct.pack("@4s4si", link.group.packed, bytes(4), index)
            peer.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            peer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, member)
    else:
        peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        if link.group:
            member = struct.pack("@16sI", link.group.packed, index)
            peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
            peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    return peer


def target(link: Link) -> tuple[str, int]:
    """Where the peer sends to."""
    return str(link.group or link.address), PORT


@dataclass
class Inbox:
    """What a LinkSet handed over."""

    frames: list[tuple[int, bytes, int]] = field(default_factory=list)

    def take(self, number: int, data: bytes, heard_ns: int) -> None:
        """Keep it."""
        self.frames.append((number, data, heard_ns))

    def has(self, number: int, data: bytes) -> bool:
        """Whether link `number` brought `data`."""
        return any(frame[:2] == (number, data) for frame in self.frames)


@asynccontextmanager
async def opened(*links: Link) -> AsyncIterator[tuple[LinkSet, Inbox]]:
    """A LinkSet in this thread's namespace."""
    netlink, inbox = Netlink(), Inbox()
    await netlink.open()
    transport = LinkSet(links, inbox.take, netlink)
    transport.open(asyncio.get_running_loop())
    try:
        yield transport, inbox
    finally:
        transport.close()
        netlink.close()


async def all_up(transport: LinkSet) -> None:
    """Wait until every link is up."""
    await until(lambda: all(state.up for state in transport.states()), "all links up")


async def delivered(send: Callable[[], object], arrived: Callable[[], bool]) -> None:
    """Datagrams may be lost while a switch learns: repeat until one arrives."""

    def try_once() -> bool:
        send()
        return arrived()

    await until(try_once, "datagram delivered")


@pytest.mark.parametrize("kind", ["multicast4", "multicast6", "unicast4", "unicast6"])
def test_delivers_both_ways(lan: Lan, kind: str) -> None:
    """Frames pass both ways, with one hop only, from our address, and none of ours comes back."""
    path = link("lan", kind)

    async def main() -> None:
        async with opened(path) as (transport, inbox):
            await all_up(transport)
            with peer_socket(lan.b, path) as peer:
                got: list[tuple[bytes, list[tuple[int, int, bytes]], int, tuple[str, int]]] = []

                def receive() -> bool:
                    if select.select([peer], [], [], 0)[0]:
                        got.append(peer.recvmsg(2048, 256))
                    return bool(got)

                await delivered(lambda: transport.send(0, b"from a"), receive)
                data, ancillary, _, sender = got[0]
                assert data == b"from a"
                assert sender[0] == str(path.address)
                assert [struct.unpack("@i", value)[0] for _, _, value in ancillary] == [1]
                await delivered(
                    lambda: peer.sendto(b"from b", target(path)), lambda: inbox.has(0, b"from b")
                )
                assert not inbox.has(0, b"from a")

    lan.a.run(main)


def test_oversize_is_dropped_and_counted(lan: Lan) -> None:
    """1,201 bytes neither leave nor arrive, and both are counted; 1,200 pass."""
    path = link("lan", "unicast4")

    async def main() -> None:
        async with opened(path) as (transport, inbox):
            await all_up(transport)
            with peer_socket(lan.b, path) as peer:
                longest, longer = bytes(FRAME_BYTES_MAX), bytes(FRAME_BYTES_MAX + 1)
                peer.sendto(longer, target(path))
                peer.sendto(bytes(9000), target(path))
                peer.sendto(longest, target(path))
                await until(lambda: bool(inbox.frames), "the longest frame")
                assert [data for _, data, _ in inbox.frames] == [longest]
                assert not transport.send(0, longer)
                assert transport.send(0, longest)
                counters = transport.counters()[0]
                assert (counters.receive_oversize, counters.received) == (2, 1)
                assert (counters.send_oversize, counters.sent) == (1, 1)

    lan.a.run(main)


def test_heard_is_when_the_kernel_received(lan: Lan) -> None:
    """S6: frames that waited in the queue carry the time of their arrival, in rising order."""
    path = link("lan", "unicast4")

    async def main() -> None:
        async with opened(path) as (transport, inbox):
            await all_up(transport)
            with peer_socket(lan.b, path) as peer:
                receiver = transport._paths[0].socket
                assert receiver is not None
                before_ns = time.monotonic_ns()
                for number in range(20):
                    peer.sendto(bytes([number]), target(path))
                assert select.select([receiver], [], [], 10)[0]
                arrived_ns = time.monotonic_ns()
                while time.monotonic_ns() < arrived_ns + 50_000_000:
                    pass  # The stalled loop.
                transport.drain()
                drained_ns = time.monotonic_ns()
                while len(inbox.frames) < 20:
                    transport.drain()
                times = [heard_ns for _, _, heard_ns in inbox.frames]
                assert [data[0] for _, data, _ in inbox.frames] == list(range(20))
                assert times == sorted(times)
                # The two clocks are slewed against each other by at most 500 ppm (adjtimex),
                # and are not read at one instant.
                tolerance_ns = 1_000_000
                assert before_ns - tolerance_ns <= times[0] <= arrived_ns + tolerance_ns
                assert times[-1] <= drained_ns

    lan.a.run(main)


@pytest.mark.parametrize("wall_s", [0, 4_000_000_000])
def test_a_set_clock_moves_no_frame(wall_s: int) -> None:
    """A wall clock set between arrival and reading leaves a frame between the last look and now."""
    path = Path(link("lan", "unicast4"))
    path._empty_ns = time.monotonic_ns()
    stamp = TIMESPEC.pack(wall_s, 0)
    heard_ns = path._heard([(socket.SOL_SOCKET, SO_TIMESTAMPNS, stamp)])
    assert path._empty_ns <= heard_ns <= time.monotonic_ns()


def test_drain_is_bounded_and_fair(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call takes no more than its limit, and a flooded link does not starve the other."""
    monkeypatch.setattr(linkset, "DRAIN_FRAMES_MAX", 30)
    monkeypatch.setattr(linkset, "BURST_FRAMES_MAX", 10)
    flooded, quiet = link("lan", "unicast4"), link("ring", "unicast4")

    async def main() -> None:
        async with opened(flooded, quiet) as (transport, inbox):
            await all_up(transport)
            with peer_socket(lan.b, flooded) as flood, peer_socket(lan.b, quiet) as calm:
                for _ in range(100):
                    flood.sendto(b"flood", target(flooded))
                calm.sendto(b"calm", target(quiet))
                receivers = [path.socket for path in transport._paths if path.socket]
                while len(select.select(receivers, [], [], 10)[0]) < 2:
                    pass
                assert transport.drain() == 30
                assert inbox.has(1, b"calm")
                while transport.drain():
                    pass
                assert len(inbox.frames) == 101

    lan.a.run(main)


FAULTS: dict[str, tuple[Callable[[Lan], object], Callable[[Lan], object], str]] = {
    "down": (
        lambda lan: lan.a.ip("link set eth0 down"),
        lambda lan: lan.a.ip("link set eth0 up"),
        "eth0 is down",
    ),
    "carrier": (
        lambda lan: lan.switch.ip("link set p11 down"),
        lambda lan: lan.switch.ip("link set p11 up"),
        "eth0 has no carrier",
    ),
    "address": (
        lambda lan: lan.a.ip("addr del 192.0.2.11/24 dev eth0"),
        lambda lan: lan.a.ip("addr add 192.0.2.11/24 dev eth0"),
        "no address 192.0.2.11 on eth0",
    ),
    "renamed": (
        lambda lan: lan.a.ip("link set eth0 name lan7"),
        lambda lan: lan.a.ip("link set lan7 name eth0"),
        "no interface eth0",
    ),
    "deleted": (
        lambda lan: lan.a.ip("link del eth0"),
        lambda lan: plug(lan.switch, lan.a, 11),
        "no interface eth0",
    ),
}


@pytest.mark.parametrize("kind", ["multicast4", "unicast4"])
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_heals_alone(lan: Lan, fault: str, kind: str) -> None:
    """A link that breaks says why and heals by itself; the other link never notices."""
    broken, other = link("lan", kind), link("ring", kind)
    break_it, mend_it, reason = FAULTS[fault]

    async def main() -> None:
        async with opened(broken, other) as (transport, inbox):
            await all_up(transport)
            with peer_socket(lan.b, broken) as peer, peer_socket(lan.b, other) as ring:
                await delivered(
                    lambda: peer.sendto(b"1", target(broken)), lambda: inbox.has(0, b"1")
                )
                break_it(lan)
                await until(lambda: not transport.states()[0].up, "the fault is seen")
                assert transport.states()[0].reason == reason
                transport.send(0, b"lost")
                await delivered(
                    lambda: ring.sendto(b"2", target(other)), lambda: inbox.has(1, b"2")
                )
                assert transport.send(1, b"3")
                assert transport.states()[1].up
                assert transport.counters()[1].opened == 1
                mend_it(lan)
                await all_up(transport)
                got: list[bytes] = []

                def both_send() -> None:
                    # Ours first: the peer's neighbour table may hold a hardware address that
                    # is no more, and learns the new one from our own request.
                    transport.send(0, b"4")
                    peer.sendto(b"5", target(broken))

                def both_heard() -> bool:
                    while select.select([peer], [], [], 0)[0]:
                        got.append(peer.recv(2048))
                    return b"4" in got and inbox.has(0, b"5")

                await delivered(both_send, both_heard)

    lan.a.run(main)


def test_waits_for_an_interface(lan: Lan) -> None:
    """A link whose interface appears after the start opens then, driven by the event."""
    lan.a.ip("link del eth1")
    path = link("ring", "multicast6")

    async def main() -> None:
        async with opened(path) as (transport, _):
            assert transport.states()[0].reason == "no interface eth1"
            assert not transport.send(0, b"nowhere")
            assert transport.counters()[0].send_failed == 1
            cable(lan.a, lan.b)
            await all_up(transport)
            assert transport.send(0, b"there")

    lan.a.run(main)


def test_an_interface_replaced_while_opening(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket opened on an interface that was replaced meanwhile is replaced as well."""
    path = link("lan", "unicast4")
    real, opened_once, go_on = open_socket, threading.Event(), threading.Event()

    def slow(link: Link, index: int) -> socket.socket:
        made = real(link, index)
        opened_once.set()
        go_on.wait()
        return made

    monkeypatch.setattr(linkset, "open_socket", slow)

    async def main() -> None:
        async with opened(path) as (transport, inbox):
            await until(opened_once.is_set, "the worker has the socket")
            old = transport._netlink.interface("eth0").index
            lan.a.ip("link del eth0")
            plug(lan.switch, lan.a, 11)

            def replaced() -> bool:
                interface = transport._netlink.interface("eth0")
                return interface.index not in (0, old) and len(interface.addresses) > 1

            await until(replaced, "the new interface is seen")
            go_on.set()
            with peer_socket(lan.b, path) as peer:
                await delivered(lambda: peer.sendto(b"1", target(path)), lambda: inbox.has(0, b"1"))

    lan.a.run(main)


def test_a_taken_port_is_a_reason_not_an_end(lan: Lan) -> None:
    """A socket that cannot be opened is told with its reason, and is opened once it can be."""
    path = link("lan", "unicast4")

    async def main() -> None:
        squatter = lan.a.open_socket(socket.AF_INET, socket.SOCK_DGRAM)
        with squatter:
            squatter.bind((str(path.address), PORT))
            async with opened(path) as (transport, _):
                await until(lambda: "in use" in transport.states()[0].reason, "the reason is told")
                squatter.close()
                await in_time(all_up(transport))

    lan.a.run(main)
