# SPDX-License-Identifier: GPL-2.0-or-later
"""The watch over the clients, between real namespaces: cables are pulled, gateways die."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import pairwise

import pytest
from pyroute2.netlink import rtnl
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from vip.netns import Lan, Node, batch, run, until

from haagent.netlink import Interface, Netlink
from haagent.reach import Clients, ReachTimes, Reference, Verdict
from haagent.reach.carrier import CarrierWatch, fault
from haagent.reach.echo import EchoAsker
from haagent.reach.icmp import checksum, echo_request
from haagent.reach.watch import QUESTIONS, ReachWatch

TIMES = ReachTimes(reference_interval_s=0.05, carrier_hold_s=0.2)
ALIVE4, ALIVE6 = Reference(ip_address("192.0.2.99")), Reference(ip_address("2001:db8::99"))
SILENT = Reference(ip_address("192.0.2.200"))
DEAD = "192.0.2.200"
ROUNDS_S = 10 * TIMES.reference_interval_s
"""Time for more than enough rounds to change a verdict that is to stay."""


@dataclass
class Bench:
    """A watch at work in this thread's namespace."""

    watch: ReachWatch = field(init=False)
    netlink: Netlink
    history: list[tuple[int, Verdict]] = field(default_factory=list)
    told: list[tuple[int, bool, str]] = field(default_factory=list)
    """Steady verdicts."""
    doubts: list[tuple[int, bool]] = field(default_factory=list)
    """Every change of the newest sign."""

    @property
    def verdicts(self) -> tuple[tuple[bool, str], ...]:
        """The steady part of them."""
        return tuple((verdict.reachable, verdict.detail) for verdict in self.watch.verdicts)

    def take(self, group: int, verdict: Verdict) -> None:
        """A change is told."""
        before = next((one for one in reversed(self.history) if one[0] == group), None)
        known = Verdict() if before is None else before[1]
        self.history.append((group, verdict))
        if verdict.doubtful is not known.doubtful:
            self.doubts.append((group, verdict.doubtful))
        if (verdict.reachable, verdict.detail) != (known.reachable, known.detail):
            self.told.append((group, verdict.reachable, verdict.detail))

    async def hears(self, told: tuple[int, bool, str]) -> None:
        """The next thing told is this."""
        await until(lambda: bool(self.told), f"{told} was to be told")
        assert self.told.pop(0) == told

    async def hears_nothing(self) -> None:
        """For many rounds and holds nothing is told."""
        await asyncio.sleep(max(ROUNDS_S, 3 * TIMES.carrier_hold_s))
        assert self.told == []


@asynccontextmanager
async def watching(*groups: Clients, times: ReachTimes = TIMES) -> AsyncIterator[Bench]:
    """A watch over these groups and their references, closed afterwards."""
    netlink = Netlink()
    await netlink.open()
    references = {reference: None for clients in groups for reference in clients.references}
    bench = Bench(netlink)
    bench.watch = ReachWatch(groups, tuple(references), netlink, bench.take, times)
    bench.watch.start()
    try:
        yield bench
    finally:
        bench.watch.close()
        netlink.close()


def pull(lan: Lan) -> None:
    """Node a's cable out of the switch: it loses its carrier."""
    lan.switch.ip("link set p11 down")


def plug_in(lan: Lan) -> None:
    """And back."""
    lan.switch.ip("link set p11 up")


@pytest.mark.parametrize("alive", [ALIVE4, ALIVE6], ids=["v4", "v6"])
def test_references_lost_and_back(lan: Lan, alive: Reference) -> None:
    """The gateway dies behind the switch: told after three rounds, and told when it is back."""
    silent = SILENT if alive is ALIVE4 else Reference(ip_address("2001:db8::200"))
    words = f"no reference answers ({silent}, {alive})"

    async def main() -> None:
        async with watching(Clients(("eth0",), (silent, alive))) as bench:
            await bench.hears_nothing()
            lan.switch.ip("link set p99 down")
            await until(lambda: bench.doubts == [(0, True)], "a first round without an answer")
            assert bench.told == [], "one round is not enough to hand over, but to offer nothing"
            await bench.hears((0, False, words))
            assert bench.verdicts == ((False, words),)
            lan.switch.ip("link set p99 up")
            await bench.hears((0, True, ""))
            assert bench.doubts == [(0, True), (0, False)]
            await bench.hears_nothing()

    lan.a.run(main)


def test_a_network_that_loses_frames_is_within_reach(lan: Lan) -> None:
    """Of four questions three get lost, again and again: no round is without an answer."""
    rules = """
        table ip lossy {
            chain input {
                type filter hook input priority 0
                icmp type echo-request numgen inc mod 4 != 3 drop
            }
        }
    """
    lan.observer.inside(lambda: run("nft", "-f", "-", stdin=rules))

    async def main() -> None:
        async with watching(Clients((), (ALIVE4,))) as bench:
            rounds = 3 * TIMES.failures
            await until(lambda: bench.watch._number > rounds * QUESTIONS, f"{rounds} rounds")
            assert bench.history == []

    lan.a.run(main)


def test_a_network_that_is_well_is_asked_once_in_a_round(lan: Lan) -> None:
    """The other questions are for those who are silent."""

    async def main() -> None:
        async with watching(Clients((), (ALIVE4, SILENT))) as bench:
            firsts: set[int] = set()

            def six() -> bool:
                firsts.add(bench.watch._round)
                return len(firsts) > 5

            await until(six, "six rounds")
            assert min(later - first for first, later in pairwise(sorted(firsts))) == 1

    lan.a.run(main)


@pytest.mark.parametrize(
    "address", ["192.0.2.99", "2001:db8::99", "fe80::99"], ids=["arp", "ndp", "link-local"]
)
def test_a_gateway_that_answers_no_echo(lan: Lan, address: str) -> None:
    """It is asked for its hardware address: within reach while it says so, and no longer."""
    lan.observer.ip("addr add fe80::99/64 dev eth0 nodad")
    for setting in ("ipv4.icmp_echo_ignore_all", "ipv6.icmp.echo_ignore_all"):
        lan.observer.sysctl(f"net.{setting}=1")
    neighbour = Reference(ip_address(address), neighbour_on="eth0")

    async def main() -> None:
        async with watching(Clients((), (neighbour,))) as bench:
            await bench.hears_nothing()
            assert await bench.watch.answers_now(5.0)
            lan.switch.ip("link set p99 down")
            words = f"no reference answers ({neighbour})"
            await bench.hears((0, False, words))
            assert not await bench.watch.answers_now(0.3)
            lan.switch.ip("link set p99 up")
            await bench.hears((0, True, ""))

    lan.a.run(main)
    if ":" not in address or address.startswith("fe80"):
        return

    async def by_echo() -> None:  # What it is for: by echo the same gateway seems dead.
        async with watching(Clients((), (ALIVE6,))) as bench:
            await bench.hears((0, False, f"no reference answers ({ALIVE6})"))

    lan.a.run(by_echo)


def test_questions_claim_nothing(lan: Lan) -> None:
    """Nobody's neighbour table learns an address from an ARP probe of ours (S1)."""
    neighbour = Reference(ip_address("192.0.2.99"), neighbour_on="eth0")

    async def main() -> None:
        async with watching(Clients((), (neighbour,))) as bench:
            assert await bench.watch.answers_now(5.0)

    lan.observer.ip("neigh flush all")
    lan.a.run(main)
    assert lan.observer.ip("-4 neigh show").strip() == ""


def test_a_neighbour_needs_its_interface(lan: Lan) -> None:
    """Asked on an interface that does not exist, or behind which it is not, nobody answers."""

    async def main() -> None:
        for interface in ("eth7", "eth1", "lo"):
            for address in ("192.0.2.99", "2001:db8::99"):
                reference = Reference(ip_address(address), neighbour_on=interface)
                async with watching(Clients((), (reference,))) as bench:
                    assert not await bench.watch.answers_now(0.2)

    lan.a.run(main)


def test_groups_are_judged_by_their_own(lan: Lan) -> None:
    """Two networks: what is lost in one is told of its group alone."""
    cable = Reference(ip_address("198.51.100.12"))

    async def main() -> None:
        near, far = Clients(("eth0",), (ALIVE4,)), Clients(("eth1",), (cable,))
        async with watching(near, far) as bench:
            await bench.hears_nothing()
            lan.b.sysctl("net.ipv4.icmp_echo_ignore_all=1")
            await bench.hears((1, False, "no reference answers (198.51.100.12)"))
            await bench.hears_nothing()

    lan.a.run(main)


def test_carrier_lost_and_back(lan: Lan) -> None:
    """A pulled cable counts after the hold, and again when it is back."""

    async def main() -> None:
        async with watching(Clients(("eth0",), ()), Clients(("eth1",), ())) as bench:
            await bench.hears_nothing()
            pull(lan)
            await bench.hears((0, False, "eth0: no carrier"))
            plug_in(lan)
            await bench.hears((0, True, ""))
            lan.a.ip("link set eth0 down")
            await bench.hears((0, False, "eth0: is down"))
            lan.a.ip("link del eth0")
            await bench.hears((0, False, "eth0: no such interface"))
            await bench.hears_nothing()

    lan.a.run(main)


def test_a_short_loss_is_not_told(lan: Lan) -> None:
    """Whatever is over within the hold never happened; the hold starts anew each time."""
    patient = ReachTimes(reference_interval_s=0.05, carrier_hold_s=5.0)

    async def main() -> None:
        async with watching(Clients(("eth0",), ()), times=patient) as bench:
            for _ in range(5):
                pull(lan)
                await until(lambda: not bench.netlink.interface("eth0").carrier, "carrier lost")
                plug_in(lan)
                await until(lambda: bench.netlink.interface("eth0").carrier, "carrier back")
            assert bench.watch._carriers._held == {}
            assert bench.told == []
            assert bench.doubts == [(0, True), (0, False)] * 5

    lan.a.run(main)


def test_wrong_from_the_start(lan: Lan) -> None:
    """What is wrong when the watch begins is told like what comes later."""
    pull(lan)

    async def main() -> None:
        clients = Clients(("eth0", "eth7"), ())
        async with watching(clients) as bench:
            both = "eth0: no carrier; eth7: no such interface"
            await until(lambda: bench.verdicts == ((False, both),), both)

    lan.a.run(main)


def stacked(node: Node) -> None:
    """A VLAN over a bond over eth0: "bond0.7", which stays up when the bond is set down."""
    try:
        batch(
            node,
            "link add bond0 type bond mode active-backup miimon 10",
            "link add link bond0 name bond0.7 type vlan id 7 loose_binding on",
        )
    except AssertionError as error:
        pytest.skip(f"this kernel has no bonds or VLANs: {error}")
    batch(
        node,
        "link set eth0 down",
        "link set eth0 master bond0",
        "link set bond0 up",
        "link set eth0 up",
        "link set bond0.7 up",
    )


def test_bond_and_vlan(lan: Lan) -> None:
    """A bond counts by its own carrier, a VLAN by its own and its parent's."""
    stacked(lan.a)

    async def main() -> None:
        async with watching(Clients(("bond0",), ()), Clients(("bond0.7",), ())) as bench:
            netlink = bench.netlink
            await until(lambda: fault(netlink, "bond0.7") == "", "everything up")
            await until(lambda: bench.verdicts == ((True, ""),) * 2, "within reach")
            bench.told.clear()
            pull(lan)
            wanted = ((False, "bond0: no carrier"), (False, "bond0.7: no carrier"))
            await until(lambda: bench.verdicts == wanted, str(wanted))
            plug_in(lan)
            await until(lambda: bench.verdicts == ((True, ""),) * 2, "back")
            lan.a.ip("link set bond0 down")
            below = ((False, "bond0: is down"), (False, "bond0.7: bond0 below it: is down"))
            await until(lambda: bench.verdicts == below, str(below))
            vlan = netlink.interface("bond0.7")
            assert (vlan.up, vlan.carrier) == (True, True), "without a look at the parent: unseen"
            lan.a.ip("link set bond0 up")
            await until(lambda: bench.verdicts == ((True, ""),) * 2, "up again")
            lan.a.ip("link set bond0.7 down")
            await until(lambda: not bench.verdicts[1][0], "the VLAN's own")
            assert bench.verdicts == ((True, ""), (False, "bond0.7: is down"))

    lan.a.run(main)


def test_bridge_and_what_is_carried(lan: Lan) -> None:
    """A bridge counts by its own carrier, and what it carries by that one's too."""
    batch(
        lan.a,
        "link add br0 type bridge",
        "link set eth0 master br0",
        "link set br0 up",
        "link add link br0 name mv0 type macvlan mode bridge",
        "link set mv0 up",
        "link add here type veth peer name there",
    )

    async def main() -> None:
        async with watching(Clients(("br0",), ()), Clients(("mv0",), ())) as bench:
            netlink = bench.netlink
            carried = netlink.interface("mv0")
            assert netlink.carrying(carried) == netlink.interface("br0")
            for alone in ("br0", "eth0", "eth1", "here", "there", "lo"):
                assert netlink.carrying(netlink.interface(alone)) is None
            await until(lambda: fault(netlink, "mv0") == "", "everything up")
            await until(lambda: bench.verdicts == ((True, ""),) * 2, "within reach")
            pull(lan)
            await until(lambda: not any(good for good, _ in bench.verdicts), "both gone")
            assert bench.verdicts[0] == (False, "br0: no carrier")
            plug_in(lan)
            await until(lambda: bench.verdicts == ((True, ""),) * 2, "back")

    lan.a.run(main)


BOND = Interface("bond0", 4, up=True, carrier=True)
VLAN = Interface("bond0.7", 5, up=True, carrier=True, parent=4)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ((BOND, VLAN), ""),
        ((replace(BOND, carrier=False), VLAN), "bond0.7: bond0 below it: no carrier"),
        ((replace(BOND, up=False), VLAN), "bond0.7: bond0 below it: is down"),
        ((BOND, replace(VLAN, carrier=False)), "bond0.7: no carrier"),
        ((replace(BOND, carrier=False), replace(VLAN, carrier=False)), "bond0.7: no carrier"),
        ((BOND,), "bond0.7: no such interface"),
        ((replace(BOND, parent=5), VLAN), ""),  # A circle, while the kernel renumbers them.
    ],
)
def test_own_carrier_and_parents(table: tuple[Interface, ...], words: str) -> None:
    """Of a stack the topmost fault is told."""
    netlink = Netlink()
    for interface in table:
        netlink._store(interface.index, interface)
    assert fault(netlink, "bond0.7") == words
    netlink.close()


@pytest.mark.parametrize(
    ("kind", "elsewhere", "parent"), [("vlan", None, 4), ("vlan", 0, 0), ("veth", None, 0)]
)
def test_a_vlans_parent(kind: str, elsewhere: int | None, parent: int) -> None:
    """Read from the kernel's message, unless it is in another namespace, or no parent at all."""
    message = ifinfmsg()
    message["header"]["type"] = rtnl.RTM_NEWLINK
    message["index"] = 5
    message["attrs"] = [
        ("IFLA_IFNAME", "bond0.7"),
        ("IFLA_LINK", 4),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", kind)]}),
    ]
    if elsewhere is not None:
        message["attrs"].append(("IFLA_LINK_NETNSID", elsewhere))
    message.encode()
    netlink = Netlink()
    for parsed in netlink._marshal.parse(bytes(message.data)):
        netlink._apply(parsed)
    assert netlink.interface("bond0.7").parent == parent
    netlink.close()


def test_answers_now_is_about_now(lan: Lan) -> None:
    """Asked in mid round, cut off, it does not take an answer to the round's question."""

    async def main() -> None:
        slow = ReachTimes(reference_interval_s=60.0)
        async with watching(Clients((), (ALIVE4, ALIVE6)), times=slow) as bench:
            assert all(await asyncio.gather(*(bench.watch.answers_now(5.0) for _ in range(3))))
            pull(lan)
            assert not await bench.watch.answers_now(0.3)
            plug_in(lan)
            assert await bench.watch.answers_now(5.0)
        async with watching(Clients(("eth0",), ())) as bench:
            assert not await bench.watch.answers_now(5.0), "there is nobody to ask"

    lan.a.run(main)


def test_answers_to_earlier_questions_do_not_count(lan: Lan) -> None:
    """An answer that was long on its way tells how it was then, not now."""

    async def main() -> None:
        slow = ReachTimes(reference_interval_s=60.0)
        async with watching(Clients((), (SILENT,)), times=slow) as bench:
            earlier = bench.watch._number
            asking = asyncio.create_task(bench.watch.answers_now(5.0))
            await until(lambda: bench.watch._number != earlier, "the question")
            bench.watch._heard(SILENT, earlier)
            await asyncio.sleep(0.05)
            assert not asking.done()
            bench.watch._heard(SILENT, bench.watch._number)
            assert await asking

    lan.a.run(main)


def test_a_late_agent_takes_its_answers_first(lan: Lan) -> None:
    """Answers that came while the loop stood still count before the round is judged (S6)."""
    hasty = ReachTimes(reference_interval_s=60.0, failures=1)
    neighbour = Reference(ip_address("192.0.2.99"), neighbour_on="eth0")

    async def main() -> None:
        async with watching(
            Clients((), (ALIVE4,)), Clients((), (neighbour,)), times=hasty
        ) as bench:
            for _ in range(3):
                time.sleep(0.3)  # noqa: ASYNC251 (the loop is to stand still)
                assert bench.watch._timer is not None
                bench.watch._timer.cancel()
                bench.watch._end_round()
            assert bench.told == []

    lan.a.run(main)


def test_a_hold_that_is_over_is_forgotten() -> None:
    """A carrier that came back leaves no timer behind, and the next loss gets a whole hold."""
    wrong: list[dict[str, object]] = []
    told: list[str] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        netlink = Netlink()
        netlink._store(BOND.index, BOND)
        carriers = CarrierWatch(netlink, ["bond0"], 0.2, lambda: told.append("changed"))
        carriers.start()
        for carrier in (False, True, False, True):
            netlink._store(BOND.index, replace(BOND, carrier=carrier))
        await asyncio.sleep(0.5)
        assert carriers.faults == {"bond0": ""}
        told.clear()  # Of the moments.
        netlink._store(BOND.index, replace(BOND, carrier=False))
        assert carriers.gone("bond0")
        await until(lambda: bool(carriers.faults["bond0"]), "the loss")
        assert carriers.faults == {"bond0": "bond0: no carrier"}
        netlink._store(BOND.index, BOND)
        carriers.close()
        await asyncio.sleep(0.5)
        assert told == ["changed"] * 3, "gone, gone for good, and back for a moment"
        netlink.close()

    asyncio.run(main())
    assert wrong == []


@pytest.mark.parametrize("version", [4, 6])
def test_others_answers_wake_nobody(lan: Lan, version: int) -> None:
    """Another program's echo replies do not reach our sockets; with our identifier they would."""
    alive = ALIVE4 if version == 4 else ALIVE6
    own = "192.0.2.11" if version == 4 else "2001:db8::11"
    family, protocol, kind = (
        (socket.AF_INET, socket.IPPROTO_ICMP, 0)
        if version == 4
        else (socket.AF_INET6, socket.IPPROTO_ICMPV6, 129)
    )
    heard: list[int] = []

    async def main() -> None:
        asker = EchoAsker([alive], lambda _reference, number: heard.append(number))
        asker.open()
        own_token = asker._token
        other_token = bytes([own_token[0] ^ 0xFF]) + own_token[1:]
        loop = asyncio.get_running_loop()
        receiver = asker._sockets[version]
        loop.remove_reader(receiver)
        with lan.observer.open_socket(family, socket.SOCK_RAW, protocol) as sender:
            for number, token in ((1, other_token), (2, own_token)):
                reply = bytearray(echo_request(version, number, token))
                reply[0], reply[2:4] = kind, bytes(2)
                if version == 4:
                    reply[2:4] = checksum(bytes(reply)).to_bytes(2, "big")
                sender.sendto(bytes(reply), (own, 0))
        await until(_readable(receiver), "our own answer")
        packet = receiver.recv(1024, socket.MSG_PEEK)
        assert packet.endswith(own_token), "the filter let another's through"
        asker.drain()
        asker.close()

    lan.a.run(main)
    assert heard == [2]


def _readable(receiver: socket.socket) -> Callable[[], bool]:
    def peek() -> bool:
        try:
            return bool(receiver.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    return peek


def test_another_watch_begins_with_what_is_known(lan: Lan) -> None:
    """A group out of reach is not within it because its watch was replaced.

    It is told when the new reference answers, and not before.
    """
    near = Clients(("eth0",), (ALIVE4,))

    async def main() -> None:
        async with watching(Clients(("eth0",), (SILENT,))) as bench:
            await until(lambda: bool(bench.told), "the silent one to be judged")
            lost = bench.watch.verdicts
            bench.watch.close()
            asked = asyncio.create_task(bench.watch.answers_now(0.05))
            bench.watch = ReachWatch(
                [near], (ALIVE4,), bench.netlink, bench.take, TIMES, verdicts=lost
            )
            assert bench.watch.verdicts == lost
            bench.told.clear()
            bench.watch.start()
            await bench.hears((0, False, "no reference answers (192.0.2.99)"))
            await bench.hears((0, True, ""))
            assert not await asked, "who asked the old one gets no answer, and no error"

    lan.a.run(main)
