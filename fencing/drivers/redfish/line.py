# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to one BMC over sushy's connector: one attempt each, and who knows whether it left.

Of sushy only the connector is used. Its resources read more than we need, and fail or ask again
over what we do not; its logins forget sessions without ending them (one for each 403), and end
others whenever the garbage collector comes by.
"""

from __future__ import annotations

import contextlib
import http.cookiejar
import logging
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from requests import Response
from requests.exceptions import Timeout
from sushy.connector import Connector
from sushy.exceptions import SushyError

from fencing import FenceError, NotSentError
from fencing.drivers.redfish.document import Document
from fencing.drivers.redfish.refusal import RefusedError, cause
from fencing.drivers.redfish.tls import BmcAdapter, BmcTls
from fencing.findings import Trouble

_MOVES_MAX = 2
"""iLO moves a path to the same with a slash at its end; nobody needs a chain of them."""
_MOVED = frozenset({301, 302, 307, 308})
_MOVED_POST = frozenset({307, 308})
"""Only these ask for the same method again (RFC 9110, 15.4)."""
_LIBRARY_ERRORS = (SushyError, AttributeError, KeyError, TypeError, ValueError, OSError)
"""sushy takes the body of an error apart as if every BMC kept to the schema."""


class Line:
    """The way to one BMC, and the connection that is kept.

    Args:
        address: Host name or address.
        port: TCP port.
        tls: Whom to believe.
        server_name: The name in its certificate, "" for the address.
        connect_s: Limit of connecting, and of the TLS handshake.
    """

    def __init__(
        self, address: str, port: int, tls: BmcTls, server_name: str, connect_s: float
    ) -> None:
        self.date = ""
        """When the BMC believes that it gave its last answer (RFC 9110, 6.6.1); "" if unsaid."""
        self._tls = tls
        self._where = f"{address} port {port}"
        self._connect_s = connect_s
        self._heard: Response | None = None
        for library in ("sushy", "urllib3"):
            logging.getLogger(library).setLevel(logging.CRITICAL + 1)  # We tell it ourselves.
        host = f"[{address}]" if ":" in address else address
        self._connector = Connector(
            f"https://{host}:{port}",
            response_callback=self._hear,
            server_side_retries=1,  # Attempts, in truth: 0 would be three.
            connect_timeout=connect_s,
        )
        session = self._connector._session  # noqa: SLF001  # all this has no other door
        session.trust_env = False  # No proxy, no .netrc, no other authorities.
        session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=()))
        session.mount("https://", BmcAdapter(tls, server_name))
        self._calls = {
            "GET": self._connector.get,
            "POST": self._connector.post,
            "DELETE": self._connector.delete,
        }

    def exchange(
        self,
        method: str,
        path: str,
        body: Document | None,
        headers: Mapping[str, str],
        answer_s: float,
    ) -> Response:
        """Make one request; what the answer says is the caller's to judge.

        Raises:
            NotSentError: Not a byte of it left.
            FenceError: There is no whole answer, or it sends us elsewhere.
        """
        answer = self._send_surely(method, path, body, headers, answer_s)
        for _ in range(_MOVES_MAX):
            if answer.status_code not in (_MOVED_POST if body else _MOVED):
                break
            with left_before():
                path = answer.headers.get("Location", "")
                answer = self._send_surely(method, path, body, headers, answer_s)
        if 300 <= answer.status_code < 400:
            elsewhere = answer.headers.get("Location", "")[:100]
            text = f"HTTP {answer.status_code}: it sends us to {elsewhere!r}"
            raise RefusedError(text, Trouble.REFUSED, answer.status_code)
        return answer

    def close(self) -> None:
        """Close the kept connection."""
        self._connector.close()

    def _send_surely(
        self,
        method: str,
        path: str,
        body: Document | None,
        headers: Mapping[str, str],
        answer_s: float,
    ) -> Response:
        """Send over the kept connection, and over a new one if that turns out to be dead.

        To give the same power order twice does no harm: neither of them is a toggle.
        """
        try:
            return self._send(method, path, body, headers, answer_s)
        except FenceError:
            was_kept = self._tls.sent and not self._tls.connected
            if not was_kept or self._tls.late:
                raise
        with left_before():
            return self._send(method, path, body, headers, answer_s)

    def _send(
        self,
        method: str,
        path: str,
        body: Document | None,
        headers: Mapping[str, str],
        answer_s: float,
    ) -> Response:
        path = _own(path)
        self._heard = None
        self._tls.begin(answer_s)
        options: dict[str, Any] = {
            "headers": {"Connection": "keep-alive", **headers},
            "timeout": answer_s,
            "server_side_retries_left": 0,
            "allow_redirects": False,
        }
        try:
            self._calls[method](path, data=body, **options)
        except _LIBRARY_ERRORS as error:
            if self._heard is None:
                raise self._unheard(error) from None
        assert self._heard is not None, "the connector calls back with every answer"
        return self._heard

    def _hear(self, response: Response) -> None:
        self._heard = response
        self.date = response.headers.get("Date", "")

    def _unheard(self, error: Exception) -> FenceError:
        """What it means that there is no answer."""
        if self._tls.sent:
            if self._tls.late:
                return FenceError(f"{self._where}: no answer in {self._tls.answer_s:.1f} s")
            return FenceError(f"{self._where}: the connection broke before the answer's end")
        if self._tls.distrust:
            return NotSentError(f"{self._where}: {self._tls.distrust}", Trouble.CERTIFICATE)
        if isinstance(error.__context__, Timeout):
            missing = "TLS" if self._tls.connected else "connection"
            return NotSentError(f"{self._where}: no {missing} in {self._connect_s:.1f} s")
        return NotSentError(f"{self._where}: {cause(error)}")


@contextlib.contextmanager
def left_before() -> Iterator[None]:
    """For what repeats a request: that this time nothing left proves nothing any more."""
    try:
        yield
    except NotSentError as error:
        raise FenceError(str(error), error.trouble) from None


def resource(answer: Response) -> Document:
    """The resource in an answer.

    Raises:
        FenceError: There is none.
    """
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise FenceError("its answer is not a Redfish resource", Trouble.REFUSED)
    return found


def _own(address: str) -> str:
    """The path of an address, at this BMC: login and orders go to nobody else.

    Raises:
        NotSentError: It has none.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(address)
        if parts.path.startswith("/") and not parts.path.startswith("//"):
            return f"{parts.path}?{parts.query}" if parts.query else parts.path
    text = f"it names one of its resources {address[:100]!r}, which has no path"
    raise NotSentError(text, Trouble.REFUSED)
