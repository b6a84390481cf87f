# SPDX-License-Identifier: GPL-2.0-or-later
"""What it means that a BMC refused or was not reached, in words for the operator."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator

from requests import Response

from fencing import FenceError, NotSentError
from fencing.drivers.redfish.document import Document, inside, text
from fencing.findings import Trouble

WORDS_MAX = 200
"""Characters of a BMC's own words that are passed on."""
_MESSAGES_MAX = 3
_CAUSES_MAX = 20

_TROUBLES = {401: Trouble.LOGIN_REFUSED, 403: Trouble.PRIVILEGE}
"""HTTP's status codes (RFC 9110, 15.5.2 and 15.5.4); a login that may not is a role's matter."""
_UNAVAILABLE = 503
_TABLE_FULL = re.compile(r"RAC0218|SessionLimitExceeded|CreateLimitReached")
"""Message ids of iDRAC and of the "Base" registry (DSP2046) for a full session table."""
_NOT_NOW = re.compile(r"ServiceTemporarilyUnavailable|ServiceInUnknownState|SYS518")
"""Message ids of the "Base" registry and of iDRAC for a BMC that is starting or busy."""


class RefusedError(FenceError):
    """The BMC answered, and its answer was no."""

    def __init__(self, text: str, trouble: Trouble, status: int) -> None:
        super().__init__(text, trouble)
        self.status = status
        """HTTP's status code."""


def refusal(answer: Response, secrets: tuple[str, ...]) -> RefusedError:
    """Name what an answer other than success means, in the BMC's words but for `secrets`."""
    said = "; ".join(_words(message) for message in _messages(answer)[:_MESSAGES_MAX])
    for secret in secrets:
        said = said.replace(secret, "***") if secret else said
    status = answer.status_code
    words = f"HTTP {status} {_printable(said)}".rstrip()
    return RefusedError(words, _TROUBLES.get(status, Trouble.REFUSED), status)


def login_refusal(answer: Response) -> FenceError:
    """Name why there is no session, by message ids: its words may quote the password.

    Returns:
        A NotSentError, but a RefusedError where the BMC means that it cannot now.
    """
    status = answer.status_code
    ids = " ".join(_id(message) for message in _messages(answer)[:_MESSAGES_MAX])
    words = f"login: HTTP {status} {_printable(ids)}".rstrip()
    if _TABLE_FULL.search(ids) or (status == _UNAVAILABLE and not _NOT_NOW.search(ids)):
        return NotSentError(words, Trouble.NO_SESSION)
    if status >= 500 or _NOT_NOW.search(ids):
        return RefusedError(words, Trouble.REFUSED, status)
    return NotSentError(words, Trouble.LOGIN_REFUSED)


def cause(error: BaseException) -> str:
    """What the network or TLS said at the bottom of a library's exception."""
    for link in _causes(error):
        if isinstance(link, socket.gaierror):
            return "its name is not known"
        if isinstance(link, ssl.SSLError):
            return f"no TLS: {link.reason or 'the connection broke'}"
        if isinstance(link, OSError) and link.errno is not None:
            return str(link.strerror)
    return type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that led to it; urllib3 also hides causes in the arguments."""
    found: list[BaseException] = [error]
    for link in found:
        yield link
        nearer = (link.__cause__, link.__context__, *link.args)
        found += [one for one in nearer if isinstance(one, BaseException) and one not in found]
        del found[_CAUSES_MAX:]


def _messages(answer: Response) -> list[Document]:
    """The messages of an error body; not every BMC keeps to the schema (DSP0266 1.20, 8.6)."""
    try:
        body = answer.json()
    except ValueError:
        return []
    messages = inside(body, "error", "@Message.ExtendedInfo")
    if isinstance(messages, dict):
        return [messages]
    if isinstance(messages, list):
        return [message for message in messages if isinstance(message, dict)]
    words, code = text(body, "error", "message"), text(body, "error", "code")
    return [{"Message": words, "MessageId": code}] if words or code else []


def _id(message: Document) -> str:
    return str(message.get("MessageId") or message.get("MessageID") or "")


def _words(message: Document) -> str:
    """Its sentence; iLO has none, only arguments to one that is in its registry."""
    said = message.get("Message") or message.get("MessageArgs") or ""
    return f"{_id(message)}: {said}" if said else _id(message)


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)[:WORDS_MAX]
