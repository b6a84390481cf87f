# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways into a BMC that need no password: asked for with packets that anybody could send.

Two questions, neither of which logs in. Get Channel Authentication Capabilities is answered before
any session (IPMI 2.0, 22.13). An Open Session Request for cipher suite 0 offers a session without
any authentication (IPMI 2.0, 13.17 and table 22-20): a BMC that agrees lets everybody in who knows
a user's name. The half session that this leaves is dropped by the BMC itself within a minute.
"""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass

ANSWER_S = 1.0
TRIES = 2
_RMCP = b"\x06\x00\xff\x07"
_NULL_USER, _ANONYMOUS = 0x02, 0x01
"""Bits of the authentication status: a user without a name; one without a name and password."""
_OPEN_SESSION, _OPEN_SESSION_ANSWER = 0x10, 0x11
_AGREED = 0
_CAPABILITIES_AT = 20
"""Of the completion code: behind RMCP, session and message headers."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a BMC said; None where it said nothing."""

    cipher_zero: bool | None = None
    """It opens sessions that authenticate nobody."""
    null_user: bool | None = None
    """It has a user whose name is empty."""
    anonymous: bool | None = None
    """It has one whose name and password are empty."""


def exposure(address: str, port: int, answer_s: float = ANSWER_S) -> Exposure:
    """Ask a BMC; blocks for at most four answers' time.

    Args:
        address: Its IP address.
        port: Its UDP port.
        answer_s: Limit of one answer, seconds.

    Raises:
        OSError: it cannot be reached at all.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as line:
        line.settimeout(answer_s)
        line.connect((address, port))
        status = _authentication_status(line)
        return Exposure(
            cipher_zero=_opens_unauthenticated(line),
            null_user=None if status is None else bool(status & _NULL_USER),
            anonymous=None if status is None else bool(status & _ANONYMOUS),
        )


def _ask(line: socket.socket, packet: bytes) -> bytes:
    """The answer; b"" for none."""
    for _ in range(TRIES):
        line.send(packet)
        try:
            return line.recv(1024)
        except TimeoutError:
            continue
    return b""


def _authentication_status(line: socket.socket) -> int | None:
    head, body = b"\x20\x18", b"\x81\x04\x38\x8e\x04"
    message = head + _checksum(head) + body + _checksum(body)
    session = bytes(9) + bytes([len(message)])  # no authentication, no session, its length
    answer = _ask(line, _RMCP + session + message)
    data = answer[_CAPABILITIES_AT:]
    return data[3] if len(data) > 3 and data[0] == 0 else None


def _checksum(part: bytes) -> bytes:
    """Source: IPMI 2.0, 13.8: two's complement of the sum."""
    return bytes([-sum(part) & 0xFF])


def _opens_unauthenticated(line: socket.socket) -> bool | None:
    tag = secrets.randbelow(256)
    algorithms = b"".join(bytes([kind, 0, 0, 8, 0, 0, 0, 0]) for kind in range(3))
    payload = bytes([tag, 0, 0, 0]) + secrets.token_bytes(4) + algorithms
    header = bytes([0x06, _OPEN_SESSION]) + bytes(8) + len(payload).to_bytes(2, "little")
    answer = _ask(line, _RMCP + header + payload)
    body = answer[16:]
    if len(body) < 2 or answer[5] & 0x3F != _OPEN_SESSION_ANSWER or body[0] != tag:
        return None
    return body[1] == _AGREED
