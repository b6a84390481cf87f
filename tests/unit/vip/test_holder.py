# SPDX-License-Identifier: GPL-2.0-or-later
"""Holding VIPs, watched by `ip` and by a third machine on the wire."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from haagent import netlink as netlink_module
from haagent.netlink import Interface, KernelError, Netlink
from haagent.vip import Vip, VipError, addresses, announcer
from haagent.vip.frames import FrameShelf
from haagent.vip.holder import VipHolder
from haagent.vip.prober import advertised
from vip.netns import Lan, batch, forget_queued, heard, in_time, plug, until

VIP4 = Vip(ip_interface("192.0.2.10/24"), "eth0")
VIP6 = Vip(ip_interface("2001:db8::10/64"), "eth0")
BOTH = (VIP4, VIP6)
CLAIM_NS_MAX = 1_000_000_000
"""A bound on a loaded test machine; the figures are recorded as test properties."""


@pytest.fixture
def single_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first round of a train: what is heard later comes of a train started anew."""
    monkeypatch.setattr(announcer, "TRAIN_S", (0.0,))


@dataclass
class Bench:
    """A holder at work in this thread's namespace."""

    netlink: Netlink
    holder: VipHolder
    lost: list[tuple[Vip, str]] = field(default_factory=list)


@asynccontextmanager
async def holding(*vips: Vip, on_wire: bool = False) -> AsyncIterator[Bench]:
    """Everything opened; the addresses are left as the test leaves them.

    Without `on_wire` no frames are built, which saves the time of a child process.
    """
    netlink = Netlink()
    await netlink.open()
    frames = FrameShelf(netlink, vips or BOTH)
    if on_wire:
        await frames.open()
    lost: list[tuple[Vip, str]] = []
    holder = VipHolder(netlink, frames, lambda vip, reason: lost.append((vip, reason)))
    holder.open()
    try:
        yield Bench(netlink, holder, lost)
    finally:
        holder.close()
        frames.close()
        netlink.close()


def is_arp(operation: int, mac: bytes) -> Callable[[bytes], bool]:
    """Whether a frame is a gratuitous ARP of VIP4 from `mac`, byte by byte (RFC 826)."""
    address = VIP4.address.ip.packed
    other = bytes(6) if operation == 1 else b"\xff" * 6
    body = b"\x00\x01\x08\x00\x06\x04" + bytes([0, operation]) + mac + address + other + address
    wanted = b"\xff" * 6 + mac + b"\x08\x06" + body
    return lambda frame: frame[: len(wanted)] == wanted


def is_advertisement(mac: bytes) -> Callable[[bytes], bool]:
    """Whether a frame is an unsolicited NA of VIP6 from `mac` with override set (RFC 4861)."""

    def check(frame: bytes) -> bool:
        return (
            frame[:14] == b"\x33\x33\x00\x00\x00\x01" + mac + b"\x86\xdd"
            and frame[20:22] == b"\x3a\xff"  # ICMPv6, hop limit 255
            and frame[22:38] == VIP6.address.ip.packed
            and frame[38:54] == ip_address("ff02::1").packed
            and frame[54:56] == b"\x88\x00"
            and frame[58] == 0x20  # override; neither router nor solicited
            and advertised(frame) == (VIP6.address.ip, mac)
            and checksum_holds(frame)
        )

    return check


def checksum_holds(frame: bytes) -> bool:
    """ICMPv6 checksum over the pseudo header (RFC 8200, section 8.1)."""
    length = int.from_bytes(frame[18:20], "big")
    summed = frame[22:54] + length.to_bytes(4, "big") + b"\0\0\0\x3a" + frame[54 : 54 + length]
    words = [int.from_bytes(summed[at : at + 2], "big") for at in range(0, len(summed), 2)]
    return sum(words) % 0xFFFF == 0


def test_claims_and_announces_in_every_form(
    lan: Lan, record_property: Callable[[str, object], None]
) -> None:
    """A claim adds IPv4 and IPv6 and an observer hears ARP request, reply and NA; then it ends."""

    async def main() -> None:
        mac = lan.a.mac("eth0")
        async with holding(on_wire=True) as bench:
            with lan.observer.sniffer("eth0") as sniffer:
                before_ns = time.monotonic_ns()
                times = await bench.holder.claim(BOTH)
                # In the order in which they leave: each is searched after the one before.
                for form in (is_arp(1, mac), is_advertisement(mac), is_arp(2, mac)):
                    await heard(sniffer, form)
            assert times.announced_ns is not None
            assert before_ns < times.added_ns < times.announced_ns < before_ns + CLAIM_NS_MAX
            record_property("added_us", (times.added_ns - before_ns) // 1000)
            record_property("announced_us", (times.announced_ns - before_ns) // 1000)
            shown = lan.a.addresses("eth0")
            assert {VIP4.address, VIP6.address} <= shown.keys()
            assert shown[VIP6.address]["nodad"]
            assert "tentative" not in shown[VIP6.address]
            assert await bench.holder.present(BOTH) == frozenset(BOTH) == bench.holder.held
            await bench.holder.release(BOTH)
            assert not {VIP4.address, VIP6.address} & lan.a.addresses("eth0").keys()
            assert await bench.holder.present(BOTH) == frozenset() == bench.holder.held

    lan.a.run(main)


def test_the_train_goes_on_and_stops_with_release(lan: Lan) -> None:
    """Announcements come again and again at 0, 0.1 and 0.5 s; after release not one more."""

    async def main() -> None:
        mac = lan.a.mac("eth0")
        async with holding(on_wire=True) as bench:
            with lan.observer.sniffer("eth0") as sniffer:
                start_s = time.monotonic()
                await bench.holder.claim(BOTH)
                for _ in range(3):
                    await heard(sniffer, is_arp(2, mac))
                assert time.monotonic() - start_s > 0.49
                await bench.holder.release(BOTH)
                forget_queued(sniffer)
                await bench.holder.claim((VIP6,))  # Its round would carry the other along.
                ours = (is_arp(1, mac), is_arp(2, mac), is_advertisement(mac))
                late = await heard(sniffer, lambda frame: any(form(frame) for form in ours))
                assert is_advertisement(mac)(late)

    lan.a.run(main)


def test_claim_is_idempotent(lan: Lan) -> None:
    """Claiming what is configured already succeeds, also if IPv6 had another prefix length."""
    batch(lan.a, "addr add 192.0.2.10/24 dev eth0", "addr add 2001:db8::10/128 dev eth0 nodad")

    async def main() -> None:
        async with holding() as bench:
            assert await bench.holder.present(BOTH) == {VIP4}
            for _ in range(2):
                await bench.holder.claim(BOTH)
                assert await bench.holder.present(BOTH) == frozenset(BOTH)

    lan.a.run(main)


def test_a_failed_claim_leaves_nothing(lan: Lan) -> None:
    """When one address cannot be added, the claim fails and the others are taken away again."""
    nowhere = Vip(ip_interface("198.51.100.10/24"), "eth7")

    async def main() -> None:
        async with holding(VIP4, nowhere) as bench:
            with pytest.raises(VipError, match="no interface eth7"):
                await bench.holder.claim((VIP4, nowhere))
            assert VIP4.address not in lan.a.addresses("eth0")
            assert bench.holder.held == frozenset()

    lan.a.run(main)


def test_release_wins_over_a_claim_under_way(lan: Lan) -> None:
    """S2: a release that overtakes its claim leaves no address and nothing that puts it back."""

    async def main() -> None:
        async with holding() as bench:
            claim = asyncio.create_task(bench.holder.claim(BOTH))
            await asyncio.sleep(0)
            await bench.holder.release(BOTH)
            with pytest.raises(VipError, match="released while being claimed"):
                await claim
            assert await bench.holder.present(BOTH) == frozenset()
            assert bench.holder.held == frozenset()

    lan.a.run(main)


@pytest.mark.parametrize("writable", [True, False])
def test_release_takes_no_neighbour_with_it(
    lan: Lan,
    writable: bool,  # noqa: FBT001 (a parameter of the test)
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Secondaries of a VIP that became the primary address survive, sandboxed /proc or not."""
    lan.a.sysctl("net.ipv4.conf.all.promote_secondaries=0")
    lan.a.sysctl("net.ipv4.conf.eth1.promote_secondaries=0")
    if not writable:
        monkeypatch.setattr(addresses, "IPV4_SETTINGS", tmp_path)
    vip = Vip(ip_interface("203.0.113.1/24"), "eth1")

    async def main() -> None:
        async with holding(vip) as bench:
            await bench.holder.claim((vip,))
            batch(
                lan.a,
                "addr add 203.0.113.10/24 dev eth1",
                "addr add 203.0.113.11/24 brd + dev eth1 label eth1:x",
            )
            assert lan.a.addresses("eth1")[ip_interface("203.0.113.10/24")]["secondary"]
            fallen: list[netlink_module.Address] = []
            bench.netlink.watch(
                lambda before, now: fallen.extend(before.addresses - now.addresses - {vip.address})
            )
            await bench.holder.release((vip,))
            if writable:
                assert not fallen, "the neighbours were away for a moment"
            left = lan.a.addresses("eth1")
            assert vip.address not in left
            assert ip_interface("203.0.113.10/24") in left
            kept = left[ip_interface("203.0.113.11/24")]
            assert (kept["label"], kept["broadcast"]) == ("eth1:x", "203.0.113.255")

    lan.a.run(main)


def test_release_is_proved_by_reading_back(lan: Lan) -> None:
    """S2: while this host still has the address in any form, release does not succeed."""

    async def main() -> None:
        async with holding() as bench:
            await bench.holder.claim(BOTH)
            lan.a.ip("addr add 192.0.2.10/32 dev eth1")
            with pytest.raises(VipError, match=r"192\.0\.2\.10/32 on eth1"):
                await bench.holder.release(BOTH)
            lan.a.ip("addr del 192.0.2.10/32 dev eth1")
            await bench.holder.release(BOTH)

    lan.a.run(main)


@pytest.mark.usefixtures("single_round")
@pytest.mark.parametrize("vip", BOTH, ids=["v4", "v6"])
def test_puts_back_what_somebody_removed(
    lan: Lan, vip: Vip, record_property: Callable[[str, object], None]
) -> None:
    """A VIP removed by someone else is put back at once and announced again."""
    form = is_arp(1, lan.a.mac("eth0")) if vip is VIP4 else is_advertisement(lan.a.mac("eth0"))

    async def main() -> None:
        async with holding(on_wire=True) as bench:
            await bench.holder.claim(BOTH)
            with lan.observer.sniffer("eth0") as sniffer:
                forget_queued(sniffer)
                lan.a.ip(f"addr del {vip.address} dev eth0")
                removed_ns = time.monotonic_ns()
                await heard(sniffer, form)
                took_ns = time.monotonic_ns() - removed_ns
                record_property("put_back_and_heard_us", took_ns // 1000)
            assert vip.address in lan.a.addresses("eth0")
            assert not bench.lost
            assert bench.holder.held == frozenset(BOTH)

    lan.a.run(main)


def test_gives_up_a_fight(lan: Lan) -> None:
    """Removed for the fourth time within ten seconds, a VIP is reported as lost."""

    async def main() -> None:
        async with holding() as bench:
            await bench.holder.claim(BOTH)
            returns: list[None] = []

            def watch(before: Interface, now: Interface) -> None:
                if VIP4.address in now.addresses - before.addresses:
                    returns.append(None)

            bench.netlink.watch(watch)
            for times in range(1, 4):
                lan.a.ip("addr del 192.0.2.10/24 dev eth0")
                await until(lambda: len(returns) == times, "the VIP is put back")  # noqa: B023 (awaited at once)
            lan.a.ip("addr del 192.0.2.10/24 dev eth0")
            await until(lambda: bool(bench.lost), "the loss is reported")
            assert bench.lost == [(VIP4, "somebody removes it again and again")]
            assert bench.holder.held == {VIP6}

    lan.a.run(main)


def test_reports_what_cannot_be_put_back(lan: Lan) -> None:
    """With its interface gone for good, a VIP is reported as lost after three tries."""

    async def main() -> None:
        async with holding() as bench:
            await bench.holder.claim(BOTH)
            lan.a.ip("link del eth0")
            await until(lambda: len(bench.lost) == 2, "both losses are reported")
            assert {vip for vip, _ in bench.lost} == frozenset(BOTH)
            assert all("no interface eth0" in reason for _, reason in bench.lost)
            await bench.holder.release(BOTH)

    lan.a.run(main)


@pytest.mark.parametrize("short", [True, False])
def test_survives_a_flap_of_the_interface(lan: Lan, short: bool) -> None:  # noqa: FBT001 (as above)
    """Down and up again, which makes the kernel drop IPv6 addresses, costs no VIP."""

    def there() -> bool:
        return {VIP4.address, VIP6.address} <= lan.a.addresses("eth0").keys()

    async def main() -> None:
        async with holding() as bench:
            await bench.holder.claim(BOTH)
            lan.a.ip("link set eth0 down")
            assert not there()
            if not short:
                await until(there, "both VIPs are put back on the interface that is down")
            lan.a.ip("link set eth0 up")
            await until(lambda: there() and bench.netlink.interface("eth0").up, "all is well")
            assert not bench.lost
            assert "tentative" not in lan.a.addresses("eth0")[VIP6.address]

    lan.a.run(main)


@pytest.mark.usefixtures("single_round")
def test_announces_when_the_carrier_returns(lan: Lan) -> None:
    """After carrier loss and return the announcement train starts anew, at once."""

    async def main() -> None:
        mac = lan.a.mac("eth0")
        async with holding(on_wire=True) as bench:
            await bench.holder.claim(BOTH)
            with lan.observer.sniffer("eth0") as sniffer:
                lan.switch.ip("link set p11 down")
                await until(lambda: not bench.netlink.interface("eth0").carrier, "carrier lost")
                forget_queued(sniffer)
                lan.switch.ip("link set p11 up")
                await heard(sniffer, is_arp(1, mac))
            assert not bench.lost

    lan.a.run(main)


@pytest.mark.usefixtures("single_round")
def test_announces_a_new_hardware_address(lan: Lan) -> None:
    """When the interface's MAC changes (bond failover) the frames are rebuilt and sent."""
    new = bytes.fromhex("020000000042")

    async def main() -> None:
        async with holding(on_wire=True) as bench:
            await bench.holder.claim(BOTH)
            with lan.observer.sniffer("eth0") as sniffer:
                lan.a.ip(f"link set eth0 address {new.hex(':')}")
                for form in (is_arp(1, new), is_advertisement(new), is_arp(2, new)):
                    await heard(sniffer, form)

    lan.a.run(main)


def test_a_recreated_interface_can_be_claimed_again(lan: Lan) -> None:
    """After deletion and re-creation a claim works and is announced with the new MAC."""

    async def main() -> None:
        async with holding(on_wire=True) as bench:
            await bench.holder.claim(BOTH)
            lan.a.ip("link del eth0")
            await until(lambda: len(bench.lost) == 2, "both losses are reported")
            plug(lan.switch, lan.a, 11)
            with lan.observer.sniffer("eth0") as sniffer:
                await bench.holder.claim(BOTH)
                await heard(sniffer, is_arp(1, lan.a.mac("eth0")))

    lan.a.run(main)


def test_a_stuck_kernel_does_not_stop_the_loop(lan: Lan) -> None:
    """A request that hangs ends as an error in time; the loop runs on; order is kept."""

    async def main() -> None:
        netlink = Netlink()
        await netlink.open()
        released = threading.Event()
        done: list[str] = []

        def hang(_: object) -> None:
            released.wait()
            done.append("hung")

        with pytest.raises(KernelError, match="did not answer"):
            await netlink.call(hang, budget_s=0.05)
        later = asyncio.create_task(netlink.call(lambda _: done.append("later")))
        await asyncio.sleep(0)
        assert not done
        released.set()
        await in_time(later)
        assert done == ["hung", "later"]
        netlink.close()

    lan.a.run(main)


def test_the_table_shows_what_was_just_done(lan: Lan) -> None:
    """When a request returns, the table and its watchers know its effect already."""

    async def main() -> None:
        netlink = Netlink()
        await netlink.open()
        told: list[Interface] = []
        netlink.watch(lambda _, now: told.append(now))
        await netlink.call(lambda route: addresses.add(route, VIP4))
        assert VIP4.address in netlink.interface("eth0").addresses
        assert told == [netlink.interface("eth0")]
        netlink.close()

    lan.a.run(main)


def test_lost_notifications_are_made_good(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel drops notifications, the table is read anew and true again."""
    monkeypatch.setattr(netlink_module, "RECEIVE_BUFFER_BYTES", 4096)
    many = [f"addr add 203.0.113.{number}/24 dev eth1" for number in range(1, 200)]

    async def main() -> None:
        netlink = Netlink()
        await netlink.open()
        resyncs: list[object] = []
        batch(lan.a, *many, "link set eth1 name ring")

        def true_again() -> bool:
            resyncs.append(netlink._resyncing)
            return len(netlink.interface("ring").addresses) >= 199

        await until(true_again, "the table is true")
        assert netlink.interface("eth1").index == 0
        assert any(resyncs), "nothing was dropped: the test shows nothing"
        netlink.close()

    lan.a.run(main)
