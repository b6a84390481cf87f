# SPDX-License-Identifier: GPL-2.0-or-later
"""The HTTP probe, against a server that others wrote and against answers byte by byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haagent.errors import EdgeError
from haagent.probes import Answer
from haagent.probes.http import BODY_BYTES_MAX, HttpProbe
from haagent.probes.stream import tls_context
from hil.redfish.certificates import Authority
from probes.service import (
    LOOPBACK,
    SILENCE_S,
    TIMEOUT_S,
    Script,
    descriptors,
    says,
    serving,
    silent,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def ask(
    script: Script, probe: HttpProbe | None = None, context: ssl.SSLContext | None = None
) -> Answer:
    """One probe of one service; nothing stays open."""

    async def main() -> Answer:
        async with serving(script, context) as port:
            before = descriptors()
            wanted = probe or HttpProbe(LOOPBACK, port, TIMEOUT_S)
            answer = await replace(wanted, port=port).answers()
            # The service's own end is closed when it has seen the probe's.
            for _ in range(1000):
                if descriptors() <= before:
                    break
                await asyncio.sleep(0.005)
            assert descriptors() <= before
        return answer

    return asyncio.run(main())


def wanting(text: bytes = b"", pattern: str = "") -> HttpProbe:
    """A probe that looks at the body."""
    return HttpProbe(LOOPBACK, 1, TIMEOUT_S, text=text, pattern=pattern)


class Shop(BaseHTTPRequestHandler):
    """A small web service."""

    def do_GET(self) -> None:
        """Tell back what was asked."""
        told = f"{self.path} {self.headers['Host']} stock: 17\n".encode()
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Stay silent."""


@contextmanager
def shop(certificate: Path | None = None) -> Iterator[int]:
    """The service in a thread of its own; gives the port."""
    with ThreadingHTTPServer((str(LOOPBACK), 0), Shop) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_real_server() -> None:
    """Path and Host arrive; the status and the text decide."""
    with shop() as port:
        health = HttpProbe(LOOPBACK, port, TIMEOUT_S, path="/health", host="shop.example")
        cases = [
            (health, True, "status 200"),
            (
                replace(health, text=b"/health shop.example stock"),
                True,
                "status 200, with the text",
            ),
            (replace(health, pattern="stock: [0-9]+$"), True, "status 200, with the text"),
            (replace(health, text=b"sold out"), False, "the text is not in the first"),
            (replace(health, pattern="stock: 0+$"), False, "no line of the first"),
            (replace(health, path="/lost"), False, "status 404"),
            (replace(health, path="/lost", statuses={404}), True, "status 404"),
        ]
        for probe, ok, words in cases:
            answer = asyncio.run(probe.answers())
            assert answer.ok is ok, answer
            assert words in answer.detail
            assert answer.detail.startswith(f"http://127.0.0.1:{port}/")


def test_tls_of_a_real_server(tmp_path: Path) -> None:
    """The right certificate for the address, or for the name, is believed, and no other."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other authority")
    believes = tls_context(authority.file)
    cases = [
        (authority.issue(["127.0.0.1"]), "", True, "status 200"),
        (authority.issue(["shop.example"]), "shop.example", True, "status 200"),
        (authority.issue(["127.0.0.1"]), "shop.example", False, "Hostname mismatch"),
        (authority.issue(["shop.example"]), "", False, "IP address mismatch"),
        (authority.issue(["127.0.0.1"], days=-1), "", False, "certificate has expired"),
        (other.issue(["127.0.0.1"]), "", False, "unable to get local issuer certificate"),
    ]
    for certificate, name, ok, words in cases:
        with shop(certificate.file) as port:
            probe = HttpProbe(
                LOOPBACK, port, TIMEOUT_S, path="/health", tls=believes, server_name=name
            )
            answer = asyncio.run(probe.answers())
        assert answer.ok is ok, answer
        assert words in answer.detail
        assert ok or "certificate not believed" in answer.detail


def test_authorities_that_are_none(tmp_path: Path) -> None:
    """A file that is missing or is no certificate is told when the probe is made."""
    with pytest.raises(EdgeError, match="No such file"):
        tls_context(tmp_path / "missing.pem")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(EdgeError, match="has no certificate"):
        tls_context(empty)


def test_the_body_as_servers_send_it(tmp_path: Path) -> None:
    """Text across chunks and packets, up to a hang-up, after interim answers, under TLS."""
    wanted = wanting(b"all is well")
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"4\r\nall \r\n7\r\nis well\r\n0\r\n\r\n"
    )
    until_closed = b"HTTP/1.0 200 OK\r\n\r\nall is well"
    hinted = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + chunked
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = Authority(tmp_path)
    context.load_cert_chain(authority.issue().file)
    for whole in (chunked, until_closed, hinted):
        bytewise = [whole[index : index + 1] for index in range(len(whole))]
        for pieces in ([whole], bytewise):
            answer = ask(says(*pieces), wanted)
            assert answer.ok, answer

    async def under_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(until_closed)
        await writer.drain()  # Then a hang-up without the closing alert.

    answer = ask(under_tls, replace(wanted, tls=tls_context(authority.file)), context)
    assert answer.ok, answer


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([b""], "answer: "),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "answer: "),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5"], "answer: "),
        ([b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000], "answer: "),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000], "answer: longer than"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhel"], "body: "),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], "body: "),
        ([b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\n\r\n"], "status 301"),
        ([b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwell"], "status 503"),
        ([b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * BODY_BYTES_MAX + b"well"], "not in the first 65536"),
    ],
)
def test_what_is_no_answer(said: list[bytes], words: str) -> None:
    """Hang-ups, other protocols, floods, half answers, other statuses, text beyond the bound."""
    answer = ask(says(*said), wanting(b"well"))
    assert not answer.ok
    assert words in answer.detail, answer.detail


@given(st.binary(max_size=200))
def test_any_bytes(said: bytes) -> None:
    """Whatever a service says, there is an answer, and never an exception."""
    assert isinstance(ask(says(said), wanting(b"well")), Answer)


def test_reset() -> None:
    """A connection that is reset is told as such."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        client = writer.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    answer = ask(reset)
    assert not answer.ok
    assert "answer: connection reset by peer" in answer.detail


def test_silence_in_every_phase(tmp_path: Path) -> None:
    """Each phase has the same limit, and the words name the phase."""
    context = tls_context(Authority(tmp_path).file)
    probe = HttpProbe(LOOPBACK, 1, SILENCE_S)

    async def stops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK[:-1])
        await silent(reader, writer)

    async def drips(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    for script, wanted, phase in (
        (silent, replace(probe, tls=context), "TLS handshake"),
        (silent, probe, "answer"),
        (drips, probe, "answer"),
        (stops, replace(probe, text=b"hello"), "body"),
    ):
        answer = ask(script, wanted)
        assert not answer.ok
        assert f": {phase}: no answer within 0.3 s" in answer.detail


def test_pattern_trouble() -> None:
    """An expression that is none, or takes too long, is no, and is told as such."""
    body = b"ab" * 15000 + b"z" + b"cd" * 15000 + b"x"
    said = says(b"HTTP/1.1 200 OK\r\n\r\n" + body)
    endless = replace(wanting(pattern=r"(.+)(.+)(.+)z\3\2\1x"), timeout_s=1.0)
    for probe, words in (
        (endless, ": pattern: no answer within 1 s"),
        (wanting(pattern="("), ": pattern: exit status 2: grep: "),
    ):
        answer = ask(said, probe)
        assert not answer.ok
        assert words in answer.detail, answer.detail


def test_silence_before_the_connection() -> None:
    """A service that accepts nobody any more."""

    async def main() -> Answer:
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind((str(LOOPBACK), 0))
            full.listen(0)
            address = full.getsockname()
            for client in (first, second):
                client.settimeout(0)
                client.connect_ex(address)
            await asyncio.sleep(0.05)
            return await HttpProbe(LOOPBACK, address[1], SILENCE_S).answers()

    answer = asyncio.run(main())
    assert not answer.ok
    assert answer.detail.endswith(": connecting: no answer within 0.3 s")


def test_plain_where_tls_is_wanted(tmp_path: Path) -> None:
    """A service without TLS, asked with TLS, is told as such."""

    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await silent(reader, writer)

    probe = HttpProbe(LOOPBACK, 1, TIMEOUT_S, tls=tls_context(Authority(tmp_path).file))
    answer = ask(banner, probe)
    assert not answer.ok
    assert "TLS handshake: " in answer.detail


def test_cancelled(tmp_path: Path) -> None:
    """A probe that is cancelled in its handshake leaves nothing open."""
    probe = HttpProbe(LOOPBACK, 1, TIMEOUT_S, tls=tls_context(Authority(tmp_path).file))

    async def main() -> None:
        greeted = asyncio.Event()

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            greeted.set()
            await silent(reader, writer)

        async with serving(script) as port:
            asking = asyncio.create_task(replace(probe, port=port).answers())
            await greeted.wait()
            asking.cancel()
            await asyncio.wait({asking})
            assert asking.cancelled()

    before = descriptors()
    asyncio.run(main())
    assert descriptors() == before


@pytest.mark.parametrize("name", ["www..example.org", ".example.org", "x" * 64 + ".org", "a\0b"])
def test_what_is_no_name_of_a_server(name: str) -> None:
    """One that no handshake can ask for is refused when the probe is made, not when it asks."""
    context = tls_context()
    with pytest.raises(EdgeError, match="not a name of a server"):
        HttpProbe(LOOPBACK, 443, TIMEOUT_S, tls=context, server_name=name, host="example.org")
    HttpProbe(LOOPBACK, 443, TIMEOUT_S, tls=context, server_name="www.example.org.")
    HttpProbe(IPv6Address("::1"), 443, TIMEOUT_S, tls=context)


@pytest.mark.parametrize("path", ["", "/a b", "/\r\nX: y", "/ä"])
def test_what_is_no_request(path: str) -> None:
    """A path that cannot stand in a request is refused when the probe is made."""
    with pytest.raises(EdgeError, match="not a request"):
        HttpProbe(LOOPBACK, 80, TIMEOUT_S, path=path)
