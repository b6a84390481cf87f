# SPDX-License-Identifier: GPL-2.0-or-later
"""Posts to real servers, as the courier runs it: TLS is verified, secrets stay secret."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from haagent.alerts import Receiver, Severity, Webhook
from haagent.alerts import courier as courier_module
from haagent.alerts.courier import Courier
from haagent.alerts.notice import Kind, Notice, Sender, Subject

LIMIT_S = 30.0
SECRET = "s3sam0pen"  # noqa: S105  # looked for in everything that is said
NOTICE = Notice(Kind.RAISED, Subject("link_lan", Severity.WARNING, "link lan: no carrier"), "now")


class Site:
    """A receiver's server on localhost that keeps what it is sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.posts: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.statuses: list[int] = []
        """To answer with, one after another; 200 when there are no more."""
        self.port = 0

    @contextmanager
    def serving(self, context: ssl.SSLContext | None = None) -> Iterator[None]:
        """Answer until left."""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the library's name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                site.posts.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(site.statuses.pop(0) if site.statuses else 200)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", self.port), Handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def secret(self, name: str, text: str) -> str:
        """A file of mode 0600."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text + "\n")
        return name

    def deliver(self, webhook: Webhook, *, tries: int = 0, timeout_s: float = LIMIT_S) -> Courier:
        """Run a courier until it delivered, dropped, or failed so often."""

        async def main() -> Courier:
            receiver = Receiver("chat", webhook, timeout_s=timeout_s)
            courier = Courier(receiver, Sender("shop", "alpha", "beta"), lambda _: None)
            courier.tell(NOTICE)
            end_s = time.monotonic() + LIMIT_S
            while not (courier.delivered or courier.dropped or 0 < tries <= courier.failed):
                assert time.monotonic() < end_s, courier.trouble
                await asyncio.sleep(0.01)
            await courier.close()
            return courier

        with capture_logs() as logged:
            courier = asyncio.run(main())
        assert SECRET not in repr(logged), "a secret was logged"
        assert SECRET not in courier.trouble
        return courier


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A server that does not answer yet."""
    monkeypatch.setattr(courier_module, "RETRY_S", (0.01,))
    return Site(tmp_path)


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate for 127.0.0.1 of its own, and the file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(pem + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    file.write_bytes(pem)
    return context, file


def test_posts_what_the_page_shows(site: Site) -> None:
    """The body has exactly the fields of docs/monitoring.md; secrets come from their files."""
    with site.serving():
        url = site.secret("url", f"http://127.0.0.1:{site.port}/hook/{SECRET}?a=b")
        token = site.secret("token", f"Bearer {SECRET}")
        courier = site.deliver(Webhook(url_file=url, authorization_file=token, folder=site.folder))
    assert courier.failed == 0
    ((path, headers, body),) = site.posts
    assert path == f"/hook/{SECRET}?a=b"
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["Content-Type"] == "application/json"
    page = (Path(__file__).parents[3] / "docs/monitoring.md").read_text()
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    assert body.keys() == shown.keys()
    assert body["key"] == "shop/alpha/link_lan"
    assert body["text"] == "shop alpha: raised (warning): link lan: no carrier"
    assert body["dropped"] == 0


def test_a_dead_server_that_comes_back(site: Site) -> None:
    """Nothing listens, then it is busy, then it takes it."""
    with site.serving():
        pass
    url = site.secret("url", f"http://127.0.0.1:{site.port}/{SECRET}")
    webhook = Webhook(url_file=url, folder=site.folder)
    courier = site.deliver(webhook, tries=2)
    assert courier.trouble == "exit status 75: not posted: Connection refused"
    site.statuses = [503, 429]
    with site.serving():
        courier = site.deliver(webhook)
    assert (courier.failed, courier.delivered, courier.dropped) == (2, 1, 0)


@pytest.mark.parametrize("status", [400, 404, 302])
def test_refused_for_good(site: Site, status: int) -> None:
    """It is not tried again, and no redirect is followed."""
    site.statuses = [status]
    with site.serving():
        courier = site.deliver(Webhook(url=f"http://127.0.0.1:{site.port}/"))
    assert (courier.failed, courier.dropped) == (1, 1)
    assert courier.trouble == f"exit status 65: status {status}"
    assert len(site.posts) == 1


def test_only_a_certificate_that_is_trusted(site: Site) -> None:
    """Its own authority is believed; another's, and the system's, are not, and nothing is sent."""
    context, ca_file = certificate(site.folder, "good")
    _, other = certificate(site.folder, "other")
    with site.serving(context):
        url = f"https://127.0.0.1:{site.port}/"
        assert site.deliver(Webhook(url=url, ca_file=ca_file)).delivered == 1
        for wrong in (other, None):
            courier = site.deliver(Webhook(url=url, ca_file=wrong), tries=1)
            assert "certificate not believed: self-signed" in courier.trouble
        named = Webhook(url=f"https://localhost:{site.port}/", ca_file=ca_file)
        assert "not believed: Hostname mismatch" in site.deliver(named, tries=1).trouble
    assert len(site.posts) == 1


def test_a_token_that_anybody_can_read_is_not_used(site: Site) -> None:
    """As at the start, so later: its mode is looked at each time."""
    token = site.secret("token", f"Bearer {SECRET}")
    (site.folder / token).chmod(0o644)
    with site.serving():
        webhook = Webhook(
            url=f"http://127.0.0.1:{site.port}/", authorization_file=token, folder=site.folder
        )
        courier = site.deliver(webhook, tries=1)
    assert "others can read it" in courier.trouble
    assert site.posts == []
