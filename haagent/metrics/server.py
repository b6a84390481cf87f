# SPDX-License-Identifier: GPL-2.0-or-later
"""Serves the metrics over HTTP, to whoever may be hostile or asleep.

What a client can cost is bounded by construction: connections are accepted one at a time with a
pause after each, so a flood waits, and is dropped, in the kernel; a few are served at once, each
for a bounded time and with bounded bytes. h11 reads the request.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address

import h11
import structlog

from haagent.bugs import die_of_bugs

CLIENTS_MAX = 4
BACKLOG = 8
"""Connections that wait in the kernel; what comes on top is dropped there."""
ACCEPT_PAUSE_S = 0.05
"""Between two connections: no more than 20 in a second are looked at."""
CLIENT_S = 2.0
"""For the request and the answer together."""
REQUEST_BYTES_MAX = 4096
REOPEN_S = 10.0
"""When the port is in use by somebody else."""
PATH = b"/metrics"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""Source: Prometheus, "Exposition formats"."""

log = structlog.get_logger()


class MetricsServer:
    """Listens from `open` to `close`; never raises for what the world does.

    Args:
        address: Of this node, there already or not yet; the unspecified one for all.
        port: TCP.
        text: Makes what is served.
    """

    def __init__(
        self,
        address: IPv4Address | IPv6Address,
        port: int,
        text: Callable[[], Awaitable[bytes]],
    ) -> None:
        self._address = address
        self._port = port
        self._text = text
        self._trouble = ""
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(CLIENTS_MAX)

    @property
    def bound(self) -> tuple[str, int] | None:
        """Where it listens; None if it does not."""
        return None if self._listener is None else self._listener.getsockname()[:2]

    def open(self) -> None:
        """Begin to listen, now or as soon as the port is free."""
        self._spawn(self._listen())

    async def close(self) -> None:
        """Hang up on everybody."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(die_of_bugs)

    async def _listen(self) -> None:
        while True:
            try:
                with _listening(self._address, self._port) as self._listener:
                    self._trouble = ""
                    log.info("metrics.served", address=str(self._address), port=self._port)
                    await self._accept(self._listener)
            except OSError as error:
                self._note(error)
            finally:
                self._listener = None
            await asyncio.sleep(REOPEN_S)

    async def _accept(self, listener: socket.socket) -> None:
        """Until the listener is broken."""
        loop = asyncio.get_running_loop()
        while True:
            await self._slots.acquire()
            try:
                client, _ = await loop.sock_accept(listener)
            except BaseException:
                self._slots.release()
                raise
            self._spawn(self._serve(client))
            await asyncio.sleep(ACCEPT_PAUSE_S)

    def _note(self, error: OSError) -> None:
        """Log what is new, not every try."""
        reason = error.strerror or str(error)
        if reason != self._trouble:
            self._trouble = reason
            log.warning("metrics.not_served", port=self._port, reason=reason)

    async def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                async with asyncio.timeout(CLIENT_S):
                    await self._answer(client)
        except OSError:
            pass  # It went away, or was too slow (TimeoutError is one): its own loss.
        finally:
            self._slots.release()

    async def _answer(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_BYTES_MAX)
        try:
            while (request := http.next_event()) is h11.NEED_DATA:
                http.receive_data(await loop.sock_recv(client, REQUEST_BYTES_MAX))
        except h11.RemoteProtocolError as error:
            status, body = error.error_status_hint, b"not a request\n"
            method = b""
        else:
            if not isinstance(request, h11.Request):
                return  # It hung up without a word.
            status, body = await self._found(request)
            method = request.method
        # One answer for each connection, so that nobody keeps a slot: said in the head.
        headers = [
            ("Content-Type", TEXT),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        data = http.send(h11.Response(status_code=status, headers=headers)) or b""
        if method != b"HEAD":
            data += http.send(h11.Data(body)) or b""
        await loop.sock_sendall(client, data)

    async def _found(self, request: h11.Request) -> tuple[int, bytes]:
        if request.target.partition(b"?")[0] != PATH:
            return 404, b"haagent: see /metrics\n"
        if request.method not in {b"GET", b"HEAD"}:
            return 405, b"only GET\n"
        return 200, await self._text()


def _listening(address: IPv4Address | IPv6Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # An address that comes later, with a bond that is slow, is listened on already.
        listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((str(address), port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


_IP_FREEBIND = 15
"""Source: Linux, include/uapi/linux/in.h; ip(7), for both versions of IP. Python has no name."""
