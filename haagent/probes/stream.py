# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection to the service, in the clear or under TLS, that a `with` closes for certain.

The TLS of asyncio's transports outlives a cancelled handshake for some turns of the loop, and its
orderly end waits for the other side; a probe does neither. So the bytes go through `ssl.MemoryBIO`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from haagent.errors import EdgeError

READ_BYTES = 16384
"""As much as one TLS record carries (RFC 8446, 5.1)."""

T = TypeVar("T")


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Whom to believe: chain and name are always checked. Reads the disk: not for the loop.

    Args:
        ca_file: The authorities that may have signed the certificate, PEM; None: the system's.

    Raises:
        EdgeError: the file cannot be read, or has no certificate.
    """
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except ssl.SSLError as error:
        raise EdgeError(f"{ca_file}: has no certificate ({error.reason})") from error
    except OSError as error:
        raise EdgeError(f"{ca_file}: {error.strerror}") from error


def check_server_name(name: str) -> None:
    """Find out whether `Stream.secure` can ask for it.

    Raises:
        EdgeError: No certificate can have such a name.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    except (ValueError, TypeError) as error:  # Of its encoding; of a zero byte.
        raise EdgeError(f"not a name of a server: {error}") from error


class Stream:
    """Bytes over a connected socket; whoever opened the socket closes it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    async def secure(self, context: ssl.SSLContext, server_name: str) -> None:
        """Speak TLS from now on, with whoever proves to be `server_name` (a name or an address).

        Raises:
            OSError: broken off, or not believed (ssl.SSLError is one).
            ValueError, TypeError: `check_server_name` would have refused it.
        """
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        await self._carry(self._tls.do_handshake)

    async def send(self, data: bytes) -> None:
        """Hand all of it to the network.

        Raises:
            OSError: broken off.
        """
        if self._tls is None:
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
        else:
            tls = self._tls
            await self._carry(lambda: tls.write(data))

    async def receive(self) -> bytes:
        """What arrived next; b"" at the end.

        Raises:
            OSError: broken off.
        """
        if self._tls is None:
            return await asyncio.get_running_loop().sock_recv(self._socket, READ_BYTES)
        tls = self._tls
        # Many servers hang up without the closing alert; Python's contexts take that for an end
        # too (OP_IGNORE_UNEXPECTED_EOF). HTTP itself says where a body ends.
        return await self._carry(lambda: tls.read(READ_BYTES))

    async def _carry(self, operation: Callable[[], T]) -> T:
        """Do one TLS operation, and move what it wants to send and to read."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                result = operation()
            except ssl.SSLWantReadError:
                await loop.sock_sendall(self._socket, self._outgoing.read())
                data = await loop.sock_recv(self._socket, READ_BYTES)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                await loop.sock_sendall(self._socket, self._outgoing.read())
                return result
