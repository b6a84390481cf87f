# SPDX-License-Identifier: GPL-2.0-or-later
"""Does a GET bring the status, and the text, that it should?

h11 reads the answer; httpx or aiohttp would bring name service, redirects, pools and environment
variables, none of which a probe may have. No redirect is followed: its status is the answer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Container
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

import h11

from haagent.errors import EdgeError
from haagent.probes import Answer
from haagent.probes.pattern import PatternError, matches
from haagent.probes.stream import Stream, check_server_name
from haagent.probes.tcp import connect, open_socket, reason, spelled

HEAD_BYTES_MAX = 16384
"""More than any web server sends by itself; a longer head is refused."""
BODY_BYTES_MAX = 65536
"""What is searched for `text` or `pattern`; a longer body is searched as far as this."""
RECEIVED_BYTES_MAX = 4 * BODY_BYTES_MAX
"""With heads, interim answers and the framing of chunks; an answer that is longer is refused."""
SUCCESS = frozenset(range(200, 300))
"""RFC 9110, 15.3."""


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """The service answers when one GET brings one of `statuses` and, if asked for, the text.

    Raises:
        EdgeError: `path` or `host` cannot stand in a request, or `server_name` in a certificate.
    """

    address: IPv4Address | IPv6Address
    """Never a name: resolving one could take longer than the answer."""
    port: int
    timeout_s: float
    """For everything from the first packet to the last, seconds."""
    path: str = "/"
    host: str = ""
    """For the Host field; "" for the server's name, or else address and port."""
    statuses: Container[int] = SUCCESS
    text: bytes = b""
    """Must occur in the body; b"" for anything."""
    pattern: str = ""
    """Extended regular expression that a line of the body must match; "" for anything."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """From `stream.tls_context`; None for plain HTTP."""
    server_name: str = ""
    """Name in its certificate; "" if the certificate has the address itself."""

    def __post_init__(self) -> None:
        """Find out now, and not in the middle of the night, that the request cannot be made."""
        try:
            self._request()
        except (h11.LocalProtocolError, UnicodeError) as error:
            raise EdgeError(f"not a request: {error}") from error
        if self.tls is not None:
            check_server_name(self.server_name or str(self.address))

    async def answers(self) -> Answer:
        """Ask once; what went wrong is told with the phase that it went wrong in."""
        where = f"{'http' if self.tls is None else 'https'}://{spelled(self.address, self.port)}"
        phase = _Phase()
        try:
            async with asyncio.timeout(self.timeout_s):
                ok, detail = await self._ask(phase)
        except ssl.SSLCertVerificationError as error:
            ok, detail = False, f"certificate not believed: {error.verify_message}"
        except ssl.SSLError as error:
            ok, detail = False, f"{phase.now}: {error.reason or error}"
        except OSError as error:  # TimeoutError is one of them.
            ok, detail = False, f"{phase.now}: {reason(error, self.timeout_s)}"
        except (h11.RemoteProtocolError, PatternError) as error:
            ok, detail = False, f"{phase.now}: {error}"
        return Answer(ok, f"{where}{self.path}: {detail}")

    async def _ask(self, phase: _Phase) -> tuple[bool, str]:
        with open_socket(self.address) as client:
            await connect(client, self.address, self.port)
            stream = Stream(client)
            if self.tls is not None:
                phase.now = "TLS handshake"
                await stream.secure(self.tls, self.server_name or str(self.address))
            phase.now = "request"
            exchange = _Exchange(stream)
            await exchange.ask(self._request())
            phase.now = "answer"
            status = await exchange.status()
            if status not in self.statuses:
                return False, f"status {status}"
            if not self.text and not self.pattern:
                return True, f"status {status}"
            phase.now = "body"
            body = await exchange.body()
        if self.text not in body:
            return False, f"status {status}, but the text is not in the first {len(body)} bytes"
        phase.now = "pattern"
        if self.pattern and not await matches(self.pattern, body):
            return False, f"status {status}, but no line of the first {len(body)} bytes matches"
        return True, f"status {status}, with the text"

    def _request(self) -> h11.Request:
        host = self.host or self.server_name or spelled(self.address, self.port)
        return h11.Request(
            method="GET",
            target=self.path,
            headers=[
                ("Host", host),
                ("User-Agent", "haagent"),
                ("Accept", "*/*"),
                ("Accept-Encoding", "identity"),
                ("Connection", "close"),
            ],
        )


class _Phase:
    """What a probe is about just now, for the words of its failure."""

    now = "connecting"


class _Exchange:
    """One request and its answer, of which no more is held than is looked at."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._received = 0

    async def ask(self, request: h11.Request) -> None:
        head = self._http.send(request) or b""
        await self._stream.send(head + (self._http.send(h11.EndOfMessage()) or b""))

    async def status(self) -> int:
        """The final one: interim answers (RFC 9110, 15.2) are passed over."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event.status_code
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("ended without an answer")

    async def body(self) -> bytes:
        """All of it, or its first BODY_BYTES_MAX bytes."""
        body = bytearray()
        while len(body) < BODY_BYTES_MAX:
            event = await self._next()
            if not isinstance(event, h11.Data):
                break
            body += event.data
        return bytes(body[:BODY_BYTES_MAX])

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._stream.receive()
            self._received += len(data)
            if self._received > RECEIVED_BYTES_MAX:
                raise h11.RemoteProtocolError(f"longer than {RECEIVED_BYTES_MAX} bytes")
            self._http.receive_data(data)
        return event
