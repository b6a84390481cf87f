# SPDX-License-Identifier: GPL-2.0-or-later
"""The TCP probe, against real sockets."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

import pytest
from vip.netns import Lan

from haagent.probes.tcp import TcpProbe
from probes.service import LOOPBACK, SILENCE_S, TIMEOUT_S, descriptors

ALIVE = ["192.0.2.99", "2001:db8::99"]
DEAD = ["192.0.2.200", "2001:db8::200"]


@pytest.mark.parametrize("host", ALIVE)
def test_accepted_and_refused(lan: Lan, host: str) -> None:
    """Accepted is yes, refused is no, and the words say which, of what."""
    address = ip_address(host)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6

    async def main() -> None:
        with lan.observer.open_socket(family, socket.SOCK_STREAM) as server:
            server.bind((host, 8080))
            server.listen()
            before = descriptors()
            yes = await TcpProbe(address, 8080, TIMEOUT_S).answers()
            no = await TcpProbe(address, 8081, TIMEOUT_S).answers()
            assert descriptors() == before
        assert yes.ok
        assert not no.ok
        spelled = host if address.version == 4 else f"[{host}]"
        assert yes.detail == f"{spelled}:8080: accepts connections"
        assert no.detail == f"{spelled}:8081: refused"

    lan.a.run(main)


@pytest.mark.parametrize("host", DEAD)
def test_silent(lan: Lan, host: str) -> None:
    """Nobody there: no, at the limit and not when the kernel gives up."""

    async def main() -> None:
        answer = await TcpProbe(ip_address(host), 8080, SILENCE_S).answers()
        assert not answer.ok
        assert answer.detail.endswith("no answer within 0.3 s")

    lan.a.run(main)


def test_unroutable(lan: Lan) -> None:
    """No way there: the kernel's words."""

    async def main() -> None:
        answer = await TcpProbe(ip_address("203.0.113.1"), 8080, TIMEOUT_S).answers()
        assert not answer.ok
        assert answer.detail == "203.0.113.1:8080: network is unreachable"

    lan.a.run(main)


def test_nobody_answers_oneself(lan: Lan) -> None:
    """A connection that the kernel makes to the connecting socket itself is no answer."""
    for node in (lan.a, lan.b):
        node.sysctl("net.ipv4.ip_local_port_range=40000 40000")

    async def connects() -> None:
        with socket.socket() as client:
            client.settimeout(0)
            await asyncio.get_running_loop().sock_connect(client, (str(LOOPBACK), 40000))

    lan.b.run(connects)  # Without the check it would be one.

    async def main() -> None:
        answer = await TcpProbe(LOOPBACK, 40000, TIMEOUT_S).answers()
        assert not answer.ok
        assert answer.detail == "127.0.0.1:40000: refused"

    lan.a.run(main)
