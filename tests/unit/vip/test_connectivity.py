# SPDX-License-Identifier: GPL-2.0-or-later
"""References and the service's own answer, between real namespaces."""

from __future__ import annotations

import asyncio
import socket
import time
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haagent.references import checksum, echo_request, reachable
from haagent.serving import tcp_answers
from vip.netns import Lan

TIMEOUT_S = 5.0
"""For a yes, which comes at once unless something is wrong."""
SILENCE_S = 0.25
"""For a no, which takes as long as it is given."""
ALIVE4, ALIVE6 = ip_address("192.0.2.99"), ip_address("2001:db8::99")
DEAD4, DEAD6 = ip_address("192.0.2.200"), ip_address("2001:db8::200")


@pytest.mark.parametrize("alive", [ALIVE4, ALIVE6], ids=["v4", "v6"])
def test_one_reference_is_enough(lan: Lan, alive: object) -> None:
    """The first answer ends the question, although the other references are silent."""
    assert alive in (ALIVE4, ALIVE6)
    asked = [DEAD4, DEAD6, ALIVE4 if alive is ALIVE4 else ALIVE6]

    async def main() -> None:
        start_s = time.monotonic()
        assert await reachable(asked, TIMEOUT_S)
        assert await reachable(asked, TIMEOUT_S, interfaces=["eth7", "eth1", "eth0"])
        assert time.monotonic() - start_s < TIMEOUT_S

    lan.a.run(main)


def test_no_answer_is_no(lan: Lan) -> None:
    """Silent, unrouted or unreachable through the given interface: not connected."""

    async def main() -> None:
        assert not await reachable([DEAD4, DEAD6], SILENCE_S)
        assert not await reachable([ip_address("203.0.113.1")], SILENCE_S)
        assert not await reachable([ALIVE4, ALIVE6], SILENCE_S, interfaces=["eth1"])
        assert not await reachable([], SILENCE_S)

    lan.a.run(main)


def test_isolation_is_seen_while_asking(lan: Lan) -> None:
    """After the cable is pulled the same references no longer answer; back in, they do."""

    async def main() -> None:
        assert await reachable([ALIVE4, ALIVE6], TIMEOUT_S)
        lan.switch.ip("link set p11 down")
        assert not await reachable([ALIVE4, ALIVE6], SILENCE_S)
        lan.switch.ip("link set p11 up")
        assert await reachable([ALIVE4, ALIVE6], TIMEOUT_S)

    lan.a.run(main)


def test_answers_to_others_do_not_count(lan: Lan) -> None:
    """An echo reply from the very reference, but to an earlier question, is no answer."""
    lan.observer.sysctl("net.ipv4.icmp_echo_ignore_all=1")
    late = bytearray(echo_request(4, 1, bytes(16)))
    late[0], late[2:4] = 0, bytes(2)
    late[2:4] = checksum(bytes(late)).to_bytes(2, "big")

    async def main() -> None:
        with lan.observer.open_socket(
            socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP
        ) as sender:
            asking = asyncio.create_task(reachable([ALIVE4], SILENCE_S))
            with lan.a.open_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as witness:
                while not asking.done():
                    sender.sendto(late, ("192.0.2.11", 0))
                    await asyncio.sleep(0.01)
                assert witness.recv(1024).endswith(late), "none arrived: the test shows nothing"
            assert not await asking

    lan.a.run(main)


@given(st.binary(min_size=16, max_size=16), st.integers(0, 0xFFFF))
def test_echo_checksum(token: bytes, sequence: int) -> None:
    """RFC 1071: with its checksum in place an echo request sums up to zero."""
    assert checksum(echo_request(4, sequence, token)) == 0


def test_tcp_answers(lan: Lan) -> None:
    """Accepted is yes; refused, silent and unroutable are no."""

    async def main() -> None:
        for host, family in ((ALIVE4, socket.AF_INET), (ALIVE6, socket.AF_INET6)):
            with lan.observer.open_socket(family, socket.SOCK_STREAM) as server:
                server.bind((str(host), 8080))
                server.listen()
                assert await tcp_answers(host, 8080, TIMEOUT_S)
                assert not await tcp_answers(host, 8081, TIMEOUT_S)
        assert not await tcp_answers(DEAD4, 8080, SILENCE_S)
        assert not await tcp_answers(ip_address("203.0.113.1"), 8080, SILENCE_S)

    lan.a.run(main)
