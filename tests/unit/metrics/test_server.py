# SPDX-License-Identifier: GPL-2.0-or-later
"""The metrics' door: real connections, most of them of people who mean no good."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from structlog.testing import capture_logs

from haagent.metrics import server as server_module
from haagent.metrics.server import (
    ACCEPT_PAUSE_S,
    BACKLOG,
    CLIENTS_MAX,
    PATH,
    REQUEST_BYTES_MAX,
    MetricsServer,
)

LIMIT_S = 20.0
LOCALHOST = ip_address("127.0.0.1")
BODY = b"haagent_up 1\n" * 8000
"""Four times what a pair of two groups has to say."""
GET = b"GET " + PATH + b" HTTP/1.1\r\nHost: alpha\r\n\r\n"


async def body() -> bytes:
    """What is served."""
    return BODY


async def listens(server: MetricsServer) -> tuple[str, int]:
    """Where it listens, as soon as it does."""
    end_s = time.monotonic() + LIMIT_S
    while server.bound is None:
        assert time.monotonic() < end_s, "it does not listen"
        await asyncio.sleep(0.005)
    return server.bound


@asynccontextmanager
async def serving(
    address: IPv4Address | IPv6Address = LOCALHOST, text: Callable[[], Awaitable[bytes]] = body
) -> AsyncIterator[tuple[str, int]]:
    """A server on some free port."""
    server = MetricsServer(address, 0, text)
    server.open()
    try:
        yield await listens(server)
    finally:
        await server.close()


async def ask(where: tuple[str, int], request: bytes) -> bytes:
    """Everything that comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection(*where)
    try:
        writer.write(request)
        async with asyncio.timeout(LIMIT_S):
            return await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def test_serves() -> None:
    """A GET brings all of it, with its length and type; HTTP/1.0 and a query do no harm."""

    async def main() -> list[bytes]:
        async with serving() as where:
            return [
                await ask(where, GET),
                await ask(where, GET.replace(b"1.1", b"1.0").replace(PATH, PATH + b"?a=b")),
            ]

    for answer in asyncio.run(main()):
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"Content-Type: text/plain; version=0.0.4" in head
        assert f"Content-Length: {len(BODY)}".encode() in head
        assert rest == BODY


def test_serves_on_every_address() -> None:
    """The unspecified address of IPv6 is IPv4's as well."""

    async def main() -> bytes:
        async with serving(ip_address("::")) as where:
            return await ask(("127.0.0.1", where[1]), GET)

    assert asyncio.run(main()).endswith(BODY)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (GET.replace(b"GET", b"POST"), b"405"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * REQUEST_BYTES_MAX, b"431"),
    ],
)
def test_refuses(request_: bytes, status: bytes) -> None:
    """What is no request for the metrics is told so, whatever it is."""

    async def main() -> bytes:
        async with serving() as where:
            return await ask(where, request_)

    assert asyncio.run(main()).split()[1] == status


def test_head_has_no_body() -> None:
    """As HTTP wants it (RFC 9110, 9.3.2)."""

    async def main() -> bytes:
        async with serving() as where:
            return await ask(where, GET.replace(b"GET", b"HEAD"))

    answer = asyncio.run(main())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("words", [b"", GET], ids=["mute", "deaf"])
def test_sleepers_are_hung_up_on(monkeypatch: pytest.MonkeyPatch, words: bytes) -> None:
    """Who sends nothing, or reads nothing, keeps a place for a bounded time; others go on."""
    monkeypatch.setattr(server_module, "CLIENT_S", 0.5)
    longer = b"haagent_up 1\n" * 1_500_000  # Than all that the kernel holds for a sleeper.
    sizes = iter([longer] * CLIENTS_MAX if words else [])

    async def text() -> bytes:
        return next(sizes, BODY)

    async def main() -> bytes:
        async with serving(text=text) as where:
            sleepers = [socket.create_connection(where) for _ in range(CLIENTS_MAX)]
            try:
                for sleeper in sleepers:
                    sleeper.sendall(words)
                return await ask(where, GET)
            finally:
                for sleeper in sleepers:
                    sleeper.close()

    assert asyncio.run(main()).endswith(BODY)


def test_a_flood_delays_no_heartbeat() -> None:
    """Connections as fast as they can be made: few are looked at from one beat to the next."""
    over = threading.Event()
    made = looked_at = 0

    async def text() -> bytes:
        nonlocal looked_at
        looked_at += 1
        return BODY

    def flood(where: tuple[str, int]) -> None:
        nonlocal made
        while not over.is_set():
            with socket.socket() as client, suppress(OSError):
                client.settimeout(0.05)
                client.connect(where)
                client.sendall(GET)
                made += 1

    async def main() -> bytes:
        async with serving(text=text) as where:
            attackers = [threading.Thread(target=flood, args=(where,)) for _ in range(3)]
            for attacker in attackers:
                attacker.start()
            try:
                for _ in range(30):
                    before, began_s = looked_at, time.monotonic()
                    await asyncio.sleep(0.05)
                    passed_s = time.monotonic() - began_s
                    assert looked_at - before <= passed_s / ACCEPT_PAUSE_S + CLIENTS_MAX
            finally:
                over.set()
            for attacker in attackers:
                await asyncio.to_thread(attacker.join)
            return await ask(where, GET)

    assert asyncio.run(main()).endswith(BODY), "afterwards it serves"
    assert made > 2 * BACKLOG, "that was no flood"


def test_a_port_in_use_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent runs on without its metrics, says so once, and serves when the port is free."""
    monkeypatch.setattr(server_module, "REOPEN_S", 0.05)

    async def main() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as other:
            where = other.getsockname()
            server = MetricsServer(LOCALHOST, where[1], body)
            server.open()
            await asyncio.sleep(0.2)
            assert server.bound is None
        await listens(server)
        answer = await ask(where, GET)
        await server.close()
        return answer

    with capture_logs() as logged:
        assert asyncio.run(main()).endswith(BODY)
    assert [entry["event"] for entry in logged] == ["metrics.not_served", "metrics.served"]


def test_close_ends_everything() -> None:
    """No task, no listener and no connection is left."""

    async def main() -> bytes:
        async with serving() as where:
            client = socket.create_connection(where)
            await asyncio.sleep(0.1)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(where)
        with client:
            client.settimeout(LIMIT_S)
            return client.recv(1)

    assert asyncio.run(main()) == b""
