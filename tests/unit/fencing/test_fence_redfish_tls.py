# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom the redfish driver believes to be the BMC, and what it finds out about the certificate."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from redfish_bench import driver, troubles

from fencing import FenceError, NotSentError, Power
from fencing.drivers.redfish import RedfishDevice
from fencing.drivers.redfish.tls import UNACKED_MS
from fencing.findings import Trouble
from hil.redfish.bmc import RedfishBmc
from hil.redfish.certificates import Authority

_WRONG_PIN = "ab" * 32


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who is believed."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who is not."""
    return Authority(tmp_path_factory.mktemp("stranger"), "another authority")


@pytest.fixture
def bmc(authority: Authority) -> Iterator[RedfishBmc]:
    """A BMC that is up."""
    with RedfishBmc(authority.issue()) as running:
        yield running


def _is_refused(device: RedfishDevice, bmc: RedfishBmc, words: str) -> None:
    """Not a byte of HTTP goes to whoever shows this certificate."""
    before = len(bmc.seen)
    for ask in (device.off, device.status):
        with pytest.raises(NotSentError, match=words) as caught:
            ask()
        assert caught.value.trouble is Trouble.CERTIFICATE
    assert len(bmc.seen) == before


@dataclass(frozen=True)
class Shown:
    """A certificate of the authority that is believed, and why it is refused."""

    words: str = ""
    names: Sequence[str] = ("127.0.0.1",)
    days: float = 365
    begins_days: float = -1
    server_name: str = ""


SHOWN = {
    "for the address": Shown(),
    "for more": Shown(names=("bmc-a.example", "127.0.0.1")),
    "for server_name": Shown(names=("bmc-a.example",), server_name="bmc-a.example"),
    "ended": Shown("certificate has expired", days=-1, begins_days=-30),
    "not begun": Shown("not yet valid", begins_days=2),
    "for another address": Shown("not valid for '127.0.0.1'", names=("127.0.0.2",)),
    "for a name": Shown("not valid for '127.0.0.1'", names=("bmc-a.example",)),
    "not for server_name": Shown("not valid for 'bmc-a.example'", server_name="bmc-a.example"),
    "for another name": Shown(
        "not valid for 'bmc-a.example'", names=("bmc-b.example",), server_name="bmc-a.example"
    ),
}


@pytest.mark.parametrize("name", SHOWN)
def test_authority(bmc: RedfishBmc, authority: Authority, name: str) -> None:
    """With an authority chain, dates and name must be right, for the address or server_name."""
    shown = SHOWN[name]
    bmc.show(authority.issue(shown.names, days=shown.days, begins_days=shown.begins_days))
    with driver(bmc, authority, server_name=shown.server_name) as device:
        if shown.words:
            _is_refused(device, bmc, shown.words)
        else:
            assert device.status() is Power.ON


def test_other_authority(bmc: RedfishBmc, authority: Authority, stranger: Authority) -> None:
    """Who another authority vouches for is not believed, nor by the system's own."""
    bmc.show(stranger.issue())
    with driver(bmc, authority) as device:
        _is_refused(device, bmc, "unable to get local issuer")
    with driver(bmc, authority, ca_file="") as device:
        _is_refused(device, bmc, "unable to get local issuer")


def test_only_that_authority(bmc: RedfishBmc, authority: Authority) -> None:
    """The public authorities are not believed as well, as requests would have it."""
    with driver(bmc, authority) as device:
        device.status()
        assert device._tls.cert_store_stats()["x509_ca"] == 1
        assert device._tls.verify_mode is ssl.CERT_REQUIRED
        assert device._tls.check_hostname


@pytest.mark.parametrize("spelled", [str.lower, str.upper, "colons"])
def test_pin(bmc: RedfishBmc, authority: Authority, stranger: Authority, spelled: object) -> None:
    """The one certificate that is pinned is believed, whoever signed it and whatever is in it."""
    certificate = stranger.issue(["elsewhere.example"], days=-1, begins_days=-30)
    bmc.show(certificate)
    pin = certificate.fingerprint
    if callable(spelled):
        pin = spelled(pin)
    else:
        pin = ":".join(pin[i : i + 2] for i in range(0, len(pin), 2))
    with driver(bmc, authority, ca_file="", fingerprint=pin) as device:
        device.off()
        assert bmc.machine.power == "off"


def test_wrong_pin(bmc: RedfishBmc, authority: Authority) -> None:
    """Any other certificate is refused, however good, and its fingerprint told."""
    good = authority.issue()
    bmc.show(good)
    with driver(bmc, authority, ca_file="", fingerprint=_WRONG_PIN) as device:
        _is_refused(device, bmc, good.fingerprint)
    assert bmc.logins == 0


@pytest.mark.parametrize("pinned", [False, True])
def test_changed_while_warm(
    bmc: RedfishBmc,
    authority: Authority,
    stranger: Authority,
    pinned: bool,  # noqa: FBT001  # pytest's way
) -> None:
    """Another certificate is noticed with the next connection, and no token is shown to it."""
    first = authority.issue()
    bmc.show(first)
    options = {"ca_file": "", "fingerprint": first.fingerprint} if pinned else {}
    with driver(bmc, authority, **options) as device:
        device.status()
        bmc.show(stranger.issue())
        assert device.status() is Power.ON
        bmc.cut()
        before = len(bmc.seen)
        for _ in range(2):
            with pytest.raises(FenceError) as caught:
                device.off()
            assert caught.value.trouble is Trouble.CERTIFICATE
        assert len(bmc.seen) == before
        bmc.show(first)
        device.off()
    assert bmc.sessions == {}


@pytest.mark.parametrize(
    ("days", "found"), [(29.5, {Trouble.CERTIFICATE_ENDS}), (31, set[Trouble]())]
)
def test_end_is_near(
    bmc: RedfishBmc, authority: Authority, days: float, found: set[Trouble]
) -> None:
    """A certificate that ends within 30 days is found; a pinned one is believed after its end."""
    certificate = authority.issue(days=days)
    bmc.show(certificate)
    with driver(bmc, authority) as device:
        assert troubles(device) == found
    with driver(bmc, authority, ca_file="", fingerprint=certificate.fingerprint) as device:
        assert troubles(device) == set()


def test_no_tls(authority: Authority) -> None:
    """A port that speaks something else is named so."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        bmc = RedfishBmc(authority.issue())
        bmc._server.port = plain.getsockname()[1]
        with driver(bmc, authority) as device:
            plain.settimeout(5.0)

            def answer() -> None:
                connection, _ = plain.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            server = threading.Thread(target=answer)
            server.start()
            with pytest.raises(NotSentError, match="no TLS"):
                device.off()
            server.join()


def test_dead_path_is_noticed(bmc: RedfishBmc, authority: Authority) -> None:
    """The kernel gives a silent path up after UNACKED_MS, not after a quarter of an hour."""
    with driver(bmc, authority) as device:
        device.status()
        ours = [
            one
            for one in gc.get_objects()
            if isinstance(one, ssl.SSLSocket) and one.context is device._tls
        ]
        assert len(ours) == 1
        tcp = socket.IPPROTO_TCP
        assert ours[0].getsockopt(tcp, socket.TCP_USER_TIMEOUT) == UNACKED_MS
        assert ours[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
