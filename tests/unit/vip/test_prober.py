# SPDX-License-Identifier: GPL-2.0-or-later
"""Does anybody still answer for a VIP? Asked between real namespaces."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from haagent.netlink import Netlink
from haagent.vip import Vip, VipError
from haagent.vip.frames import FrameShelf
from haagent.vip.prober import VipProber, advertised, arp_sender
from vip.netns import Lan, batch

VIP4 = Vip(ip_interface("192.0.2.10/24"), "eth0")
VIP6 = Vip(ip_interface("2001:db8::10/64"), "eth0")
BOTH = (VIP4, VIP6)
WINDOW_S = 0.1
"""Five times the usual, for a loaded test machine."""
HOLD = ("addr add 192.0.2.10/24 dev eth0", "addr add 2001:db8::10/64 dev eth0 nodad")


@asynccontextmanager
async def probing(*vips: Vip) -> AsyncIterator[VipProber]:
    """A prober in this thread's namespace."""
    netlink = Netlink()
    await netlink.open()
    frames = FrameShelf(netlink, vips)
    await frames.open()
    prober = VipProber(netlink, frames)
    prober.start(vips)
    try:
        yield prober
    finally:
        prober.close()
        frames.close()
        netlink.close()


def test_sees_a_holder(lan: Lan, record_property: Callable[[str, object], None]) -> None:
    """S8: another machine that has the VIPs is found, with its MAC, within the window."""
    batch(lan.b, *HOLD)

    async def main() -> None:
        async with probing(*BOTH) as prober:
            before_ns = time.monotonic_ns()
            answers = await prober.probe(BOTH, WINDOW_S)
            after_ns = time.monotonic_ns()
            assert {(answer.vip, answer.mac) for answer in answers} == {
                (VIP4, lan.b.mac("eth0")),
                (VIP6, lan.b.mac("eth0")),
            }
            for answer in answers:
                assert before_ns <= answer.heard_ns <= after_ns
                record_property("answered_us", (answer.heard_ns - before_ns) // 1000)

    lan.a.run(main)


def test_sees_two_holders(lan: Lan) -> None:
    """S8: every machine that answers is told, not only the quickest."""
    batch(lan.b, *HOLD)
    batch(lan.observer, *HOLD)

    async def main() -> None:
        async with probing(*BOTH) as prober:
            answers = await prober.probe((VIP4,), WINDOW_S)
            macs = {lan.b.mac("eth0"), lan.observer.mac("eth0")}
            assert {answer.mac for answer in answers} == macs

    lan.a.run(main)


def test_sees_nothing_when_nobody_holds(lan: Lan) -> None:
    """No holder, no answer, although others on the segment answer for their own addresses."""
    other = Vip(ip_interface("192.0.2.12/24"), "eth0")

    async def main() -> None:
        async with probing(*BOTH, other) as prober:
            assert await prober.probe(BOTH, WINDOW_S) == ()
            answers = await prober.probe((*BOTH, other), WINDOW_S)
            assert [answer.vip for answer in answers] == [other]

    lan.a.run(main)


def test_own_answers_do_not_count(lan: Lan) -> None:
    """Holding the VIP ourselves, on either of two interfaces of one segment, is no answer."""
    lan.switch.ip("link add p77 type veth peer name eth7 netns " + lan.a.netns)
    batch(lan.switch, "link set p77 master br0 up")
    batch(lan.a, *HOLD, "link set eth7 up", "addr add 192.0.2.10/24 dev eth7")

    async def main() -> None:
        async with probing(*BOTH) as prober:
            assert await prober.probe(BOTH, WINDOW_S) == ()

    lan.a.run(main)


def test_an_old_answer_does_not_count(lan: Lan) -> None:
    """What was heard before the window began is not taken for an answer."""
    mac, address = lan.b.mac("eth0"), VIP4.address.ip.packed
    body = b"\x00\x01\x08\x00\x06\x04\x00\x01" + mac + address + bytes(6) + address

    async def main() -> None:
        async with probing(*BOTH) as prober:
            with lan.b.open_socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
                sender.sendto(b"\xff" * 6 + mac + b"\x08\x06" + body, ("eth0", 0x0806))
            assert select.select([prober._sockets[0]], [], [], 10)[0], "the old answer is queued"
            assert await prober.probe(BOTH, WINDOW_S) == ()

    lan.a.run(main)


def test_an_unsent_probe_is_no_silence(lan: Lan) -> None:
    """S3: with the interface down nothing can be known, and that is an error, not an answer."""

    async def main() -> None:
        async with probing(VIP4) as prober:
            lan.a.ip("link set eth0 down")
            with pytest.raises(VipError, match=r"cannot probe: 192\.0\.2\.10 on eth0"):
                await prober.probe((VIP4,), 0.02)
            lan.a.ip("link set eth0 up")
            batch(lan.b, *HOLD)
            assert len(await prober.probe((VIP4,), WINDOW_S)) == 1

    lan.a.run(main)


def test_a_late_loop_asks_all_the_same(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that gets no processor for longer than the window is late, and not ignorant."""
    batch(lan.b, *HOLD)

    async def main() -> None:
        async with probing(*BOTH) as prober:
            loop = asyncio.get_running_loop()
            add_reader = loop.add_reader

            def add_late(*arguments: Any) -> None:
                time.sleep(WINDOW_S)
                add_reader(*arguments)

            monkeypatch.setattr(loop, "add_reader", add_late)
            assert {answer.vip for answer in await prober.probe(BOTH, WINDOW_S)} == set(BOTH)

    lan.a.run(main)


@pytest.mark.parametrize("length", range(0, 86, 5))
def test_short_frames_are_no_answer(length: int) -> None:
    """A frame cut anywhere is either read or ignored; it never raises."""
    assert arp_sender(bytes(length)) is None
    said = advertised(bytes(length))
    assert said is None or said == (ip_address("::"), bytes(6))
