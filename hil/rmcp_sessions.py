# SPDX-License-Identifier: GPL-2.0-or-later
"""The session table of our own BMC: logins by RAKP, slots, privileges, sequence numbers.

Source: IPMI 2.0, 13.17 to 13.32 (RAKP), 6.12 (sessions), 22.17 to 22.20.
"""

from __future__ import annotations

import hmac
import secrets
import struct
import time
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from hil.rmcp_packet import SUITES, BadPacketError, Keys, Packet, Suite, opened, session_packet

USER, OPERATOR, ADMINISTRATOR = 2, 3, 4
SLOT_HELD_S = 60.0
"""A silent session, half or whole, keeps its slot so long (6.12.15)."""
SEQUENCE_WINDOW = 16
"""How far a sequence number may be ahead of or behind the highest one (6.12.13)."""

OK, NO_SLOT, BAD_SESSION, BAD_ALGORITHM = 0x00, 0x01, 0x02, 0x04
BAD_PRIVILEGE, BAD_NAME, BAD_CODE = 0x0A, 0x0D, 0x0F
"""RMCP+ status codes (table 13-15)."""
_PRIVILEGE_BITS, _NAME_ONLY = 0x0F, 0x10


class PrivilegeCheck(StrEnum):
    """Where an account that may less than it asks for is told so; BMCs differ."""

    LOGIN = "login"
    """In RAKP message 2."""
    RAISE = "raise"
    """At Set Session Privilege Level."""
    COMMAND = "command"
    """Never in so many words: the session stays at what the account may."""


@dataclass(slots=True)
class LoginFaults:
    """What goes wrong with logins, until it is changed back."""

    drop_rakp1: bool = False
    lost: list[int] = field(default_factory=list)
    """Payload types, of each of which one answer is lost."""
    unknown_user_silent: bool = False
    """An unknown user gets no answer at all, instead of status 0Dh."""
    rakp2_after_s: float = 0.0
    """RAKP message 2 comes so much later; other packets are answered meanwhile."""
    answer_sha1: bool = False
    """Agrees to suite 3 whatever suite was offered."""
    short_rakp2: bool = False
    """RAKP message 2 ends before its authentication code."""


@dataclass(slots=True)
class Session:
    """A slot of the table, taken since Open Session."""

    suite: Suite
    remote_id: int
    heard_s: float
    role: int = 0
    level: int = USER
    remote_random: bytes = b""
    random: bytes = b""
    name: bytes = b""
    """Role, length of the user's name and the name: so they are signed."""
    keys: Keys | None = None
    """None until the login is complete."""
    highest: int = 0
    seen: set[int] = field(default_factory=set)
    sent: int = 0

    def heard(self, packet: Packet) -> bytes:
        """The message in a packet of this session.

        Raises:
            BadPacketError: It is not authentic, too old, or was heard before.
        """
        if self.keys is None:
            raise BadPacketError("not logged in")
        message = opened(packet, self.keys)
        ahead = packet.sequence - self.highest
        if abs(ahead) > SEQUENCE_WINDOW or packet.sequence in self.seen:
            raise BadPacketError("sequence number")
        self.highest = max(self.highest, packet.sequence)
        self.seen.add(packet.sequence)
        self.heard_s = time.monotonic()
        return message

    def packet(self, message: bytes) -> bytes:
        """The packet that carries an answer."""
        assert self.keys is not None
        self.sent += 1
        return session_packet(message, self.keys, self.remote_id, self.sent)


@dataclass
class SessionTable:
    """All sessions of a BMC with one account, by the BMC's own session ids."""

    user: bytes
    password: bytes
    kg: bytes
    guid: UUID
    privilege: int
    """The most that the user may have."""
    privilege_check: PrivilegeCheck
    suites: tuple[int, ...]
    slots: int
    faults: LoginFaults = field(default_factory=LoginFaults)
    sessions: dict[int, Session] = field(default_factory=dict)
    opened: int = 0
    """Open Session requests that got a slot."""
    logins: int = 0
    """How often RAKP message 1 came."""

    def expire(self) -> None:
        """Free the slots of sessions that were silent for too long."""
        now_s = time.monotonic()
        for number, session in list(self.sessions.items()):
            if now_s - session.heard_s > SLOT_HELD_S:
                del self.sessions[number]

    def open(self, request: bytes) -> bytes:
        """Answer Open Session (13.17, 13.18)."""
        tag, role, remote_id = struct.unpack_from("<BB2xI", request)
        offered = (request[12], request[20], request[28])
        suite = next(
            (s for n, s in SUITES.items() if n in self.suites and s.algorithms == offered), None
        )
        status = OK
        if suite is None:
            status = BAD_ALGORITHM
        elif len(self.sessions) >= self.slots:
            status = NO_SLOT
        head = struct.pack("<4BI", tag, status, role or self.privilege, 0, remote_id)
        if suite is None or status:
            return head
        number = secrets.randbelow(2**32 - 1) + 1
        self.sessions[number] = Session(suite, remote_id, time.monotonic())
        self.opened += 1
        agreed = SUITES[3] if self.faults.answer_sha1 else suite
        chosen = b"".join(
            bytes([kind, 0, 0, 8, algorithm, 0, 0, 0])
            for kind, algorithm in enumerate(agreed.algorithms)
        )
        return head + struct.pack("<I", number) + chosen

    def rakp1(self, request: bytes) -> bytes | None:
        """Answer RAKP message 1 (13.20, 13.21); None for silence."""
        self.logins += 1
        if self.faults.drop_rakp1:
            return None
        tag, number = struct.unpack_from("<B3xI", request)
        remote_random, role, size = request[8:24], request[24], request[27]
        user = request[28 : 28 + size]
        session = self.sessions.get(number)
        if session is None or session.keys is not None:
            return struct.pack("<4BI", tag, BAD_SESSION, 0, 0, 0)
        if user != self.user:
            if self.faults.unknown_user_silent:
                return None
            return self._refused(number, tag, BAD_NAME)
        wanted = role & _PRIVILEGE_BITS
        if self.privilege_check is PrivilegeCheck.LOGIN and wanted > self.privilege:
            return self._refused(number, tag, BAD_PRIVILEGE)
        session.role, session.remote_random = wanted, remote_random
        session.random = secrets.token_bytes(16)
        session.name = bytes([role, size]) + user
        code = session.suite.hmac(
            self.password,
            struct.pack("<II", session.remote_id, number),
            remote_random + session.random + self.guid.bytes + session.name,
        )
        head = struct.pack("<4BI", tag, OK, 0, 0, session.remote_id)
        answer = head + session.random + self.guid.bytes
        return answer if self.faults.short_rakp2 else answer + code

    def rakp3(self, request: bytes) -> bytes | None:
        """Answer RAKP message 3 (13.22, 13.23); a client's refusal in it frees the slot."""
        tag, status, number = struct.unpack_from("<BB2xI", request)
        session = self.sessions.get(number)
        if session is None or session.keys is not None or not session.random:
            if session is not None and session.keys is None and status:
                del self.sessions[number]
            return struct.pack("<4BI", tag, BAD_SESSION, 0, 0, 0)
        if status:
            del self.sessions[number]
            return None
        expected = session.suite.hmac(
            self.password, session.random, struct.pack("<I", session.remote_id), session.name
        )
        if not hmac.compare_digest(expected, request[8:]):
            return self._refused(number, tag, BAD_CODE)
        key = session.suite.hmac(
            self.kg or self.password, session.remote_random, session.random, session.name
        )
        session.keys = Keys.of(session.suite, key)
        proof = session.suite.code(
            key, session.remote_random, struct.pack("<I", number), self.guid.bytes
        )
        return struct.pack("<4BI", tag, OK, 0, 0, session.remote_id) + proof

    def raise_level(self, session: Session, level: int) -> int | None:
        """Set Session Privilege Level (22.18): the level it has then, None if that is refused."""
        if level:
            if level > min(self.privilege, session.role):
                if self.privilege_check is not PrivilegeCheck.COMMAND:
                    return None
                level = self.privilege
            session.level = level
        return session.level

    def _refused(self, number: int, tag: int, status: int) -> bytes:
        session = self.sessions.pop(number)
        return struct.pack("<4BI", tag, status, 0, 0, session.remote_id)
