# SPDX-License-Identifier: GPL-2.0-or-later
"""What is heard on the wires: switches, queriers, the peer, and that two links are one network."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from vip.netns import Lan, batch, run

from haagent.config import Configuration
from haagent.core.wire import Body, Frame, cluster_id, encode
from haagent.doctor import Subject, Verdict, wires
from haagent.doctor.links import mtu_of
from haagent.doctor.listening import ETH_P_LLDP, LLDP_GROUPS, Heard, listen
from haagent.doctor.lldp import switch
from haagent.doctor.path_mtu import answers
from haagent.reach.icmp import TOKEN_BYTES, V4_REPLY, checksum, echo_request

sys.path.insert(0, str(Path(__file__).parents[1]))
from config_bench import Site

LISTEN_S = 1.0
QUERIES_S = 4.0
"""The kernel asks once a second at most. Source: Linux, BR_MULTICAST_QUERY_INTVL_MIN."""
OPENINGS, OPENING_S = 20, 0.01
BODY = Body(
    echo=0,
    stall_ms=0,
    leaving=False,
    fence_me=False,
    pausing_ms=0,
    maintenance=False,
    away=(False, False),
    orders_version=0,
    host_identity=bytes(16),
    configuration_hash=bytes(16),
    links=(),
    groups=(),
)


@pytest.fixture
def pair(tmp_path: Path) -> Configuration:
    """The documentation's example, whose addresses are those of the bench."""
    return Site(tmp_path).changed()


def tlv(kind: int, value: bytes) -> bytes:
    """One value as LLDP writes it."""
    return (kind << 9 | len(value)).to_bytes(2, "big") + value


def advertisement(chassis: bytes, name: str = "") -> bytes:
    """An LLDP frame of that switch."""
    values = tlv(1, b"\x04" + chassis) + tlv(2, b"\x05port 1") + tlv(3, b"\x00\x78")
    values += tlv(5, name.encode()) if name else b""
    return LLDP_GROUPS[0] + b"\x02\0\0\0\0\x99" + ETH_P_LLDP.to_bytes(2, "big") + values + b"\0\0"


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Work on a thread of its own, which is told at the end to stop."""
    stop = threading.Event()
    worker = threading.Thread(target=work, args=(stop,))
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def hear(
    lan: Lan, pair: Configuration, *said: tuple[str, bytes], listen_s: float = LISTEN_S
) -> Heard:
    """What a hears while b says that on these of its interfaces, again and again."""

    def speak(stop: threading.Event) -> None:
        opened = []
        for interface, _ in said:
            one = lan.b.open_socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            one.bind((interface, 0))
            opened.append(one)
        while not stop.wait(0.05):
            for one, (_, data) in zip(opened, said, strict=True):
                one.send(data)
        for one in opened:
            one.close()

    with meanwhile(speak):
        return lan.a.inside(lambda: listen(pair, listen_s, frames=True))


def texts(pair: Configuration, heard: Heard) -> dict[str, tuple[Verdict, str]]:
    """What is said of the wires, by what it is about."""
    patient = Subject(pair, {}, None, LISTEN_S)
    found = {}
    lan_link, ring = pair.links
    for line in (
        wires._querier(lan_link, heard, patient.listen_s),
        wires._cable(ring, heard, patient.listen_s),
        wires._apart(lan_link, ring, heard, patient.listen_s),
    ):
        found[line.what.split()[0]] = (line.verdict, line.text)
    return found


def test_two_networks(lan: Lan, pair: Configuration) -> None:
    """What leaves eth0 does not come in at eth1: two networks, and nothing is ticked unheard."""
    heard = hear(lan, pair)
    assert not heard.joined("eth0", "eth1")
    said = texts(pair, heard)
    assert {verdict for verdict, _ in said.values()} == {Verdict.UNKNOWN}


def test_one_network(lan: Lan, pair: Configuration) -> None:
    """Two links plugged into one switch are found out, whatever the configuration calls them."""
    batch(
        lan.switch,
        f"link add p77 type veth peer name eth7 netns {lan.a.netns}",
        "link set p77 master br0 up",
    )
    batch(lan.a, "link del eth1", "link set eth7 name eth1 up")
    heard = hear(lan, pair)
    assert heard.joined("eth0", "eth1")
    assert texts(pair, heard)["lan"][0] is Verdict.WARNING


def test_switches_are_told_apart(lan: Lan, pair: Configuration) -> None:
    """One chassis on both links is one switch; two are two; on a direct cable there is none."""
    # A bridge of the kernel's keeps LLDP to itself, as it must: so b stands in for the switch.
    direct = advertisement(b"\x02\0\0\0\0\x01", "core-1")
    heard = hear(lan, pair, ("eth1", direct))
    assert heard.switches["eth1"].name == "core-1"
    assert texts(pair, heard)["cable"] == (
        Verdict.WARNING,
        "it is called direct, but core-1 is heard on it",
    )
    both = Heard(switches={"eth0": heard.switches["eth1"], "eth1": heard.switches["eth1"]})
    assert "one switch, core-1" in texts(pair, both)["lan"][1]
    other = switch(advertisement(b"\x02\0\0\0\0\x02")[14:])
    assert other is not None
    both.switches["eth0"] = other
    assert texts(pair, both)["lan"][0] is Verdict.OK


def test_a_real_querier(lan: Lan, pair: Configuration) -> None:
    """The kernel's own bridge asks for members, and is heard."""
    heard = hear(lan, pair)
    assert not heard.queriers
    settings = (
        "mcast_snooping 1 mcast_querier 1 mcast_query_interval 20 mcast_startup_query_interval 20"
    )
    run("ip", "-n", lan.switch.netns, *["addr", "add", "192.0.2.1/24", "dev", "br0"])
    run("ip", "-n", lan.switch.netns, *f"link set br0 type bridge {settings}".split())
    heard = hear(lan, pair, listen_s=QUERIES_S)
    assert {("eth0", 4), ("eth0", 6)} <= set(heard.queriers), heard
    assert texts(pair, heard)["querier"][0] is Verdict.OK
    # One of the other IP version keeps no group of this link's alive.
    del heard.queriers["eth0", 4]
    assert texts(pair, heard)["querier"][0] is Verdict.UNKNOWN


def test_what_arrives_while_the_ears_open_is_no_query(lan: Lan, pair: Configuration) -> None:
    """Traffic that is already there when listening begins passes no filter unlooked at."""
    report = bytes.fromhex("333300000016 020000000001 86dd 60000000") + bytes(64)

    def flood(stop: threading.Event) -> None:
        with lan.b.open_socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            sender.settimeout(None)
            sender.bind(("eth1", 0))
            while not stop.is_set():
                sender.send(report)

    with meanwhile(flood):
        queriers = [hear(lan, pair, listen_s=OPENING_S).queriers for _ in range(OPENINGS)]
    assert not any(queriers)


def test_the_peer_is_heard_without_an_agent(lan: Lan, pair: Configuration) -> None:
    """Authentic frames of the peer count by link; what is forged is told as refused."""
    key = pair.keys.secrets[1]
    cluster = cluster_id(pair.cluster)
    good = encode(Frame(1, 1, 5, 1, BODY), cluster=cluster, key_id=1, key=key)
    forged = good[:-1] + bytes([good[-1] ^ 1])
    for data, counted in ((good, True), (forged, False)):

        def speak(stop: threading.Event, data: bytes = data) -> None:
            with lan.b.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind(("198.51.100.12", 7072))
                while not stop.wait(0.05):
                    sender.sendto(data, ("198.51.100.11", 7072))

        with meanwhile(speak):
            heard = lan.a.inside(lambda: listen(pair, LISTEN_S, frames=True))
        assert bool(heard.frames) is counted
        assert heard.refused == (frozenset() if counted else {"forged"})
        subject = Subject(pair, {}, None, LISTEN_S)
        line = wires._by_ear(subject, pair.links[1], heard.frames.get(1, 0), heard.refused)
        assert line.verdict is (Verdict.OK if counted else Verdict.BAD)


def test_the_path_s_mtu(lan: Lan, pair: Configuration) -> None:
    """A cable that carries less than its ends say is found; whole packets come back otherwise."""
    ring = pair.links[1]
    assert lan.a.inside(lambda: answers(ring, 1500))
    batch(lan.b, "link set eth1 mtu 1400")
    assert lan.a.inside(lambda: answers(ring, 640))
    assert not lan.a.inside(lambda: answers(ring, 1500))
    assert lan.a.inside(lambda: mtu_of(ring, 1500)).verdict is Verdict.WARNING
    assert lan.a.inside(lambda: mtu_of(ring, 1400)).verdict is Verdict.OK
    assert mtu_of(ring, 1000).verdict is Verdict.BAD
    batch(lan.b, "link set eth1 down")
    assert lan.a.inside(lambda: mtu_of(ring, 1500)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("version", [4, 6])
def test_the_measure_is_one_packet_in_one_piece(
    lan: Lan, pair: Configuration, version: int
) -> None:
    """What does not fit is not sent in pieces, which would come back: in both IP versions."""
    ring = pair.links[1]
    if version == 6:
        mine, peers = IPv6Address("2001:db8:1::11"), IPv6Address("2001:db8:1::12")
        ring = replace(ring, address=mine, peer_address=peers)
    assert lan.a.inside(lambda: answers(ring, 1500))
    for node in (lan.a, lan.b):
        batch(node, "link set eth1 mtu 1400")
    assert lan.a.inside(lambda: answers(ring, 1400))
    assert not lan.a.inside(lambda: answers(ring, 1500))


def test_only_the_answer_to_this_question_counts(lan: Lan, pair: Configuration) -> None:
    """A peer that answers no ping, and from which others' answers come in, did not answer."""
    ring = pair.links[1]
    lan.b.sysctl("net.ipv4.icmp_echo_ignore_all=1")
    others = bytearray(echo_request(4, 0, bytes(TOKEN_BYTES)))
    others[0] = V4_REPLY
    others[2:4] = bytes(2)
    others[2:4] = checksum(bytes(others)).to_bytes(2, "big")

    def speak(stop: threading.Event) -> None:
        with lan.b.open_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as one:
            while not stop.wait(0.05):
                one.sendto(bytes(others), (str(ring.address), 0))

    with meanwhile(speak):
        assert not lan.a.inside(lambda: answers(ring, 640))
        lan.b.sysctl("net.ipv4.icmp_echo_ignore_all=0")
        assert lan.a.inside(lambda: answers(ring, 640))


def test_lldp_of_any_bytes() -> None:
    """What is cut short or nonsense is no switch; a name cannot write on the terminal."""
    whole = advertisement(b"\x02\0\0\0\0\x01", "core\x1b[31m")[14:]
    found = switch(whole)
    assert found is not None
    assert found.name == "core?[31m"
    for end in range(len(whole)):
        assert switch(whole[:end]) is None or end > 8
    assert switch(b"") is None
