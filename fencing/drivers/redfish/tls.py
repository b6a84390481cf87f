# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS to one BMC: who is believed to be it, and limits that hold for a whole answer.

Verification is always on. It is decided here, in the TLS context, because requests and urllib3
each have switches of their own that add the public authorities or turn the checks off. And only
here it is known what the libraries' exceptions do not tell: whether a request has left.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import ssl
import time
from typing import Any, Self, cast

from requests import PreparedRequest
from requests.adapters import HTTPAdapter

from fencing import FenceError
from fencing.findings import Trouble

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""A System, the largest resource that is asked for, has tens of KiB; this is for a BMC that does
not end its answer."""
UNACKED_MS = 2000
"""A BMC's network chip acknowledges within milliseconds however slow its processor is, so a path
that is silent for so long is dead, and the request is made anew over another connection."""
KEEPALIVE_IDLE_S = 10
KEEPALIVE_EVERY_S = 2
"""Between two checks a BMC may restart: with these the kernel has noticed before the order."""

_FINGERPRINT = re.compile(r"(?:[0-9a-f]{2}:?){31}[0-9a-f]{2}")
_SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKED_MS),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_EVERY_S),
)


class _BoundedSocket(ssl.SSLSocket):
    """Tells its context when a request leaves, and ends an answer that takes too long.

    A timeout of the libraries is one for each read: a BMC that sends a byte now and then would
    hold them for ever.
    """

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send, and from now on nobody can say that nothing was sent."""
        context = cast("BmcTls", self.context)
        if not context.sent:
            context.sent = True
            context.end_s = time.monotonic() + context.answer_s
        super().sendall(data, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read what is there, before the answer's end and within its size."""
        context = cast("BmcTls", self.context)
        left_s = context.end_s - time.monotonic()
        context.late = left_s <= 0
        if context.late:
            raise TimeoutError("the answer took too long")
        self.settimeout(left_s)
        try:
            count = super().recv_into(buffer, nbytes, flags)
        except TimeoutError as error:
            # The kernel's own, from UNACKED_MS, has a number: then it is the path that is dead.
            context.late = error.errno is None
            raise
        context.left_bytes -= count
        if context.left_bytes < 0:
            raise ConnectionAbortedError("the answer is too long")
        return count


class BmcTls(ssl.SSLContext):
    """Whom to believe, and what became of the present request."""

    sslsocket_class = _BoundedSocket
    fingerprint = ""
    """SHA-256 of the one certificate that is believed; "" if an authority decides."""
    peer = b""
    """The certificate that the BMC showed last, DER."""
    address = ""
    """The address that it answered from last."""
    ends_s: float | None = None
    """When that certificate ends, seconds since 1970; None if its end does not matter."""
    distrust = ""
    """Why the certificate was not believed; "" if it was or none was seen."""
    connected = False
    """Whether the present request opened a connection of its own."""
    sent = False
    """Whether any byte of the present request was handed to the network."""
    late = False
    """Whether the present request ended because its time was over."""
    answer_s = 0.0
    end_s = 0.0
    left_bytes = 0

    def __new__(cls) -> Self:
        """Make a client's context, which checks chain and name."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def begin(self, answer_s: float) -> None:
        """Forget the last request; the answer to the next one may take `answer_s`."""
        self.distrust = ""
        self.connected = self.sent = self.late = False
        self.answer_s = answer_s
        self.left_bytes = ANSWER_BYTES_MAX

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """Do the handshake and refuse whoever is not the BMC, before anything is sent."""
        self.connected = True
        try:
            wrapped = super().wrap_socket(*args, **kwargs)
        except ssl.SSLCertVerificationError as error:
            self.distrust = str(error.verify_message)
            raise
        self.address = str(wrapped.getpeername()[0])
        self.peer = wrapped.getpeercert(binary_form=True) or b""
        if self.fingerprint and not hmac.compare_digest(self.shown(), self.fingerprint):
            wrapped.close()
            self.distrust = f"its certificate has the fingerprint {self.shown()}"
            raise ssl.SSLCertVerificationError(self.distrust)
        ends = (wrapped.getpeercert() or {}).get("notAfter")
        self.ends_s = ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None
        return wrapped

    def shown(self) -> str:
        """The fingerprint of the certificate that the BMC showed last."""
        return hashlib.sha256(self.peer).hexdigest()


def trusting(ca_file: str, fingerprint: str) -> BmcTls:
    """Believe one certificate, or what the authority in a file signed, or the system's own.

    A pinned certificate is believed whatever name and dates are in it: it is the very one that
    somebody looked at. In every other case chain, dates and name must be right.

    Raises:
        FenceError: There is no such file, or it is no fingerprint, or both are given.
    """
    context = BmcTls()
    if ca_file and fingerprint:
        raise FenceError("set ca_file or fingerprint, not both", Trouble.SETTINGS)
    if fingerprint:
        if not _FINGERPRINT.fullmatch(fingerprint.lower()):
            raise FenceError("fingerprint: a SHA-256 has 64 hexadecimal digits", Trouble.SETTINGS)
        context.fingerprint = fingerprint.lower().replace(":", "")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file:
        try:
            context.load_verify_locations(ca_file)
        except ssl.SSLError:
            raise FenceError(
                f"ca_file: {ca_file}: no certificate in it", Trouble.SETTINGS
            ) from None
        except OSError as error:
            raise FenceError(f"ca_file: {ca_file}: {error.strerror}", Trouble.SETTINGS) from None
    else:
        context.load_default_certs()
    return context


class BmcAdapter(HTTPAdapter):
    """Makes requests use our context alone, whatever they are told about verification.

    Args:
        context: Whom to believe.
        server_name: The name that the certificate must be for, "" for the address.
    """

    def __init__(self, context: BmcTls, server_name: str) -> None:
        self._context = context
        self._server_name = server_name
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **pool_kwargs: Any) -> None:
        """Have every connection made with our socket options."""
        super().init_poolmanager(*args, socket_options=_SOCKET_OPTIONS, **pool_kwargs)

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Say how to verify: by our context, for the name that it is to have."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        pinned = self._context.fingerprint
        return host, {
            "ssl_context": self._context,
            # urllib3 writes this into the context. A pin is compared there, whatever is set here.
            "cert_reqs": "CERT_NONE" if pinned else "CERT_REQUIRED",
            "assert_fingerprint": pinned or None,
            "server_hostname": self._server_name or None,
        }

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Add nothing: requests would have the public authorities believed too."""

    def close(self) -> None:
        """Close the kept connection now; urllib3 would leave that to the garbage collector."""
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118  # it is no dictionary, and not iterable
            pools[key].close()
        super().close()
