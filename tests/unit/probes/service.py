# SPDX-License-Identifier: GPL-2.0-or-later
"""Services to be probed: they say exactly what a test wants, and end with it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

LOOPBACK = ip_address("127.0.0.1")
TIMEOUT_S = 10.0
"""For an answer that comes at once unless something is wrong."""
SILENCE_S = 0.3
"""For one that does not come."""
HEAD_BYTES_MAX = 65536

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Accept connections and follow the script with each; gives the port."""
    clients: set[asyncio.StreamWriter] = set()
    tasks: set[asyncio.Task[None]] = set()

    async def follow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        clients.add(writer)
        try:
            await script(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The client has seen enough, or the test is over.
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(follow, str(LOOPBACK), 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def says(*pieces: bytes) -> Script:
    """Hear a request, then say these pieces, each in a packet of its own, and hang up."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.write_eof()
        await reader.read(HEAD_BYTES_MAX)

    return script


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Hear everything, say nothing, until the client hangs up."""
    while await reader.read(HEAD_BYTES_MAX):
        pass


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
