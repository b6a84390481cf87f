# SPDX-License-Identifier: GPL-2.0-or-later
"""The packets of IPMI over LAN as a BMC reads and writes them, from the specification alone.

| bytes | RMCP+ packet (IPMI 2.0, table 13-8) | before a session (1.5 format) |
|---|---|---|
| 0-3 | RMCP header: 06 00 FF 07 | the same |
| 4 | 06 | 00 |
| 5 | payload type; bit 7 encrypted, bit 6 authenticated | sequence number, 4 bytes |
| 6-9 | session id | 9-12: session id |
| 10-13 | sequence number | 13: length of the payload |
| 14-15 | length of the payload | 14: payload |
| 16 | payload, pad bytes FF, their number, 07, authentication code | |

A message (13.8): responder, network function and LUN, checksum, requester, sequence and LUN,
command, data, checksum. Numbers are little-endian.
"""

from __future__ import annotations

import hmac
import os
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

RMCP_HEADER = b"\x06\x00\xff\x07"
FORMAT_15, FORMAT_PLUS = 0x00, 0x06
IPMI_MESSAGE = 0x00
OPEN_REQUEST, OPEN_ANSWER = 0x10, 0x11
RAKP1, RAKP2, RAKP3, RAKP4 = 0x12, 0x13, 0x14, 0x15
_ENCRYPTED, _AUTHENTICATED = 0x80, 0x40
_NEXT_HEADER = 0x07
_AES_BLOCK = 16
_KEY_CONSTANT_BYTES = 20
"""K1 and K2 are made from a constant of 20 bytes, with SHA-256 too (13.32 and errata)."""


class BadPacketError(Exception):
    """What came is no packet for us; a BMC drops it."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite (table 22-20)."""

    number: int
    authentication: int
    integrity: int
    confidentiality: int
    digest: str
    code_bytes: int
    """Length of the integrity check, truncated."""

    @property
    def algorithms(self) -> tuple[int, int, int]:
        """Their numbers, in the order in which Open Session names them."""
        return self.authentication, self.integrity, self.confidentiality

    def hmac(self, key: bytes, *parts: bytes) -> bytes:
        """The whole keyed hash of the parts, joined."""
        return hmac.digest(key, b"".join(parts), self.digest)

    def code(self, key: bytes, *parts: bytes) -> bytes:
        """The keyed hash as far as the suite's integrity algorithm uses it."""
        return self.hmac(key, *parts)[: self.code_bytes]


SUITES = {
    3: Suite(3, 1, 1, 1, "sha1", 12),
    17: Suite(17, 3, 4, 1, "sha256", 16),
}


@dataclass(frozen=True, slots=True)
class Keys:
    """What a session's packets are closed with."""

    suite: Suite
    k1: bytes
    k2: bytes

    @classmethod
    def of(cls, suite: Suite, session_key: bytes) -> Keys:
        """Derive both keys from the session integrity key (13.32)."""
        first, second = (suite.hmac(session_key, bytes([n]) * _KEY_CONSTANT_BYTES) for n in (1, 2))
        return cls(suite, first, second)

    def close(self, payload: bytes) -> bytes:
        """Encrypt a payload (13.29): vector, then data with its pad 01 02 .. and the pad's size."""
        pad = -(len(payload) + 1) % _AES_BLOCK
        plain = payload + bytes(range(1, pad + 1)) + bytes([pad])
        vector = os.urandom(_AES_BLOCK)
        encryptor = Cipher(algorithms.AES(self.k2[:16]), modes.CBC(vector)).encryptor()
        return vector + encryptor.update(plain) + encryptor.finalize()

    def open(self, payload: bytes) -> bytes:
        """Decrypt a payload."""
        if len(payload) < 2 * _AES_BLOCK or len(payload) % _AES_BLOCK:
            raise BadPacketError("no whole blocks")
        mode = modes.CBC(payload[:_AES_BLOCK])
        decryptor = Cipher(algorithms.AES(self.k2[:16]), mode).decryptor()
        plain = decryptor.update(payload[_AES_BLOCK:]) + decryptor.finalize()
        return plain[: -1 - plain[-1]]


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet as it came; in the old format everything but the payload is zero."""

    payload_type: int
    payload: bytes
    plus: bool
    session_id: int = 0
    sequence: int = 0
    encrypted: bool = False
    authenticated: bool = False
    covered: bytes = b""
    """What the authentication code covers, with the code behind it."""


def parse(raw: bytes) -> Packet:
    """Take a packet apart, without looking at its authentication code.

    Raises:
        BadPacketError: It is none.
    """
    if raw[:4] != RMCP_HEADER or len(raw) < 15:
        raise BadPacketError("no RMCP")
    if raw[4] == FORMAT_15:
        return Packet(IPMI_MESSAGE, raw[14 : 14 + raw[13]], plus=False)
    if raw[4] != FORMAT_PLUS or len(raw) < 16:
        raise BadPacketError("a format that is not spoken here")
    session_id, sequence, length = struct.unpack_from("<IIH", raw, 6)
    return Packet(
        payload_type=raw[5] & 0x3F,
        payload=raw[16 : 16 + length],
        plus=True,
        session_id=session_id,
        sequence=sequence,
        encrypted=bool(raw[5] & _ENCRYPTED),
        authenticated=bool(raw[5] & _AUTHENTICATED),
        covered=raw[4:],
    )


def opened(packet: Packet, keys: Keys) -> bytes:
    """The payload of a packet within a session.

    Raises:
        BadPacketError: It is not authentic, or not encrypted as the suite demands.
    """
    if not (packet.encrypted and packet.authenticated):
        raise BadPacketError("in the clear")
    size = keys.suite.code_bytes
    code = keys.suite.code(keys.k1, packet.covered[:-size])
    if not hmac.compare_digest(code, packet.covered[-size:]):
        raise BadPacketError("not authentic")
    return keys.open(packet.payload)


def old_packet(payload: bytes) -> bytes:
    """An answer outside of sessions, in the format of IPMI 1.5."""
    return RMCP_HEADER + bytes(9) + bytes([len(payload)]) + payload


def plain_packet(payload_type: int, payload: bytes) -> bytes:
    """An RMCP+ packet of the login, which nothing protects."""
    head = struct.pack("<BBIIH", FORMAT_PLUS, payload_type, 0, 0, len(payload))
    return RMCP_HEADER + head + payload


def session_packet(payload: bytes, keys: Keys, session_id: int, sequence: int) -> bytes:
    """An IPMI message within a session, encrypted and authenticated."""
    closed = keys.close(payload)
    kind = IPMI_MESSAGE | _ENCRYPTED | _AUTHENTICATED
    body = struct.pack("<BBIIH", FORMAT_PLUS, kind, session_id, sequence, len(closed)) + closed
    pad = -(len(body) + 2) % 4
    body += b"\xff" * pad + bytes([pad, _NEXT_HEADER])
    return RMCP_HEADER + body + keys.suite.code(keys.k1, body)


@dataclass(frozen=True, slots=True)
class Request:
    """An IPMI message to the BMC."""

    netfn: int
    command: int
    data: bytes
    responder: int
    requester: int
    sequence: int
    """With the requester's LUN, as it came."""

    @classmethod
    def parse(cls, message: bytes) -> Request:
        """Take a message apart.

        Raises:
            BadPacketError: Too short, or a checksum is wrong.
        """
        if len(message) < 7 or sum(message[:3]) & 0xFF or sum(message[3:]) & 0xFF:
            raise BadPacketError("checksum")
        responder, netfn_lun, _, requester, sequence, command = message[:6]
        return cls(netfn_lun >> 2, command, message[6:-1], responder, requester, sequence)

    def answer(self, code: int, data: bytes = b"") -> bytes:
        """The answering message."""
        head = bytes([self.requester, (self.netfn | 1) << 2])
        body = bytes([self.responder, self.sequence, self.command, code]) + data
        return head + _checksum(head) + body + _checksum(body)


def _checksum(data: bytes) -> bytes:
    return bytes([-sum(data) & 0xFF])
