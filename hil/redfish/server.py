# SPDX-License-Identifier: GPL-2.0-or-later
"""An HTTPS server that can be made to behave badly, and that leaves nothing behind."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

HANDSHAKE_LIMIT_S = 5.0
IDLE_LIMIT_S = 60.0
"""bmcweb closes an idle connection after a minute."""
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    headers: Message
    body: bytes
    connection: int


@dataclass(slots=True)
class Reply:
    """What it is told."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0.0
    """Pause between the bytes, all of them."""


class Server:
    """Answers what `answer` says, one thread a connection; None cuts the connection.

    While `mute` says so, new connections are not answered in TLS.
    """

    def __init__(
        self,
        address: tuple[str, int],
        certificate: Path,
        answer: Callable[[Request], Reply | None],
        mute: Callable[[], bool],
    ) -> None:
        self._address, self.port = address
        self.connections = 0
        """How many there have been."""
        self.answer, self.mute = answer, mute
        self.context = _context(certificate)
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        assert self._listener is None, "already started"
        self._stopping.clear()
        self._listener = _Listener((self._address, self.port), self)
        self.port = self._listener.server_address[1]
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(_POLL_S,))
        self._thread.start()

    def stop(self) -> None:
        """Close everything and wait for every thread; being stopped already is no error."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._stopping.set()
        listener.shutdown()
        self.cut()
        listener.server_close()
        assert self._thread is not None
        self._thread.join()
        assert not listener.bugs, listener.bugs

    def cut(self) -> None:
        """Cut all connections that are open."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    # The SSL socket's own would drop its state under its reader's feet.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def show(self, certificate: Path) -> None:
        """Show this certificate to new connections."""
        self.context = _context(certificate)

    def wait(self, seconds: float) -> bool:
        """Wait, but not beyond the server's end: False if that has come."""
        return not self._stopping.wait(seconds)

    def serve(self, plain: socket.socket, listener: _Listener) -> None:
        """Have one connection through TLS, then request after request."""
        with self._tracked(plain):
            while self.mute() and self.wait(_POLL_S):
                pass
        plain.settimeout(HANDSHAKE_LIMIT_S)
        with (
            self.context.wrap_socket(plain, server_side=True) as secure,
            self._tracked(secure),
        ):
            secure.settimeout(IDLE_LIMIT_S)
            with self._lock:
                self.connections += 1
                number = self.connections
            _Handler(secure, ("", number), listener)

    @contextlib.contextmanager
    def _tracked(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], server: Server) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.owner = server
        self.bugs: list[str] = []
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        del client_address
        self.owner.serve(request, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections end in every way here; anything else is our own mistake."""
        del request, client_address
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.bugs.append(repr(error))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def __getattr__(self, name: str) -> Any:
        """Take every method to the one place."""
        if name.startswith("do_"):
            return self._do
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """Say nothing."""

    def _do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # Its client went away in mid request: nothing was asked.
            self.close_connection = True
            return
        request = Request(
            method=self.command,
            path=self.path,
            headers=self.headers,
            body=body,
            connection=self.client_address[1],
        )
        owner = self.server.owner
        reply = owner.answer(request)
        if reply is None or not owner.wait(0):
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not reply.drip_s:
            self.wfile.write(reply.body)
            return
        for sign in reply.body:
            if not owner.wait(reply.drip_s):
                break
            self.wfile.write(bytes((sign,)))


def _context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
