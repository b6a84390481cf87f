# SPDX-License-Identifier: GPL-2.0-or-later
"""A BMC of our own that speaks RMCP+, because ipmi_sim has no suite 17, no Kg and no privileges.

Written from IPMI 2.0 and not from any client; `ipmitool` is the witness that it is one. One
thread serves one UDP port. The faults are fields that may be changed while it runs.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

from hil import rmcp_packet as wire
from hil.rmcp_chassis import (
    CHANNEL_INFO,
    CONTROL,
    DEVICE_GUID,
    DEVICE_ID,
    LAN_PARAMETERS,
    STATUS,
    SYSTEM_GUID,
    Chassis,
)
from hil.rmcp_sessions import (
    OPERATOR,
    USER,
    LoginFaults,
    PrivilegeCheck,
    Session,
    SessionTable,
)

_WAIT_LIMIT_S = 20.0
_PACKET_BYTES_MAX = 4096
_OK, _NODE_BUSY, _NOT_A_COMMAND, _NO_PRIVILEGE = 0x00, 0xC0, 0xC1, 0xD4
_LEVEL_TOO_HIGH = 0x80
_CHANNEL_CAPABILITIES, _SET_PRIVILEGE = (0x06, 0x38), (0x06, 0x3B)
_CLOSE_SESSION, _SESSION_INFO = (0x06, 0x3C), (0x06, 0x3D)
_LEVELS = {
    STATUS: USER,
    CONTROL: OPERATOR,
    DEVICE_ID: USER,
    DEVICE_GUID: USER,
    SYSTEM_GUID: USER,
    LAN_PARAMETERS: OPERATOR,
    CHANNEL_INFO: USER,
    _SET_PRIVILEGE: USER,
    _CLOSE_SESSION: USER,
    _SESSION_INFO: USER,
}
"""Privilege that each command needs (appendix G); what is not here is not a command."""
_CAPABILITIES = bytes((0x01, 0x80, 0x04, 0x02, 0, 0, 0, 0))
"""Channel 1, IPMI 2.0 data, accounts with names, only RMCP+ (22.13)."""
_KG_SET = 0x20
_NOT_ITS_SESSION = 0x87
_GUID = UUID("b1234567-89ab-cdef-a123-456789abcdef")


@dataclass(slots=True)
class LinkFaults:
    """What goes wrong with whole packets, until it is changed back."""

    silent: bool = False
    """Swallows whatever it is sent."""
    busy: int = 0
    """So many commands are answered "node busy" and not carried out."""
    lost_requests: int = 0
    """So many commands within sessions are lost on their way."""
    lost_answers: int = 0
    """So many answers to commands are lost, after the command was carried out."""
    lost: set[tuple[int, int]] = field(default_factory=set)
    """Commands whose answers are always lost."""
    refused: dict[tuple[int, int], int] = field(default_factory=dict)
    """Completion codes by network function and command."""


class RmcpBmc:
    """One BMC with one account; a context manager starts and stops it.

    Args:
        user: Its name.
        password: At most 20 bytes.
        kg: The BMC key; empty if it has none.
        privilege: The most that the user may have.
        privilege_check: Where it is told so.
        suites: The cipher suites that are taken.
        slots: Size of the session table; half sessions take a slot too.
        guid: What RAKP message 2 and Get System GUID say.
        address: Of loopback.
    """

    def __init__(  # noqa: PLR0913  # settings of an emulator, all by name
        self,
        *,
        user: str = "haagent",
        password: bytes = b"bench-only",
        kg: bytes = b"",
        privilege: int = OPERATOR,
        privilege_check: PrivilegeCheck = PrivilegeCheck.LOGIN,
        suites: tuple[int, ...] = (17, 3),
        slots: int = 4,
        guid: UUID = _GUID,
        address: str = "127.0.0.1",
    ) -> None:
        self.user, self.password, self.address = user, password, address
        self.port = 0
        """Known once it has started, and kept from then on."""
        self.table = SessionTable(
            user=user.encode(),
            password=password,
            kg=kg,
            guid=guid,
            privilege=privilege,
            privilege_check=privilege_check,
            suites=suites,
            slots=slots,
        )
        self.chassis = Chassis(guid=guid)
        self.link = LinkFaults()
        self.commands: list[tuple[int, int]] = []
        """What was asked within sessions: network function and command."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._later: list[tuple[float, bytes, Any]] = []
        """Answers that are held back: until when, the packet and to whom."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def login(self) -> LoginFaults:
        """The faults of logins."""
        return self.table.faults

    @property
    def sessions(self) -> int:
        """How many slots are taken."""
        return len(self.table.sessions)

    def start(self) -> None:
        """Open the port and serve it."""
        assert self._thread is None, "already started"
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((self.address, self.port))
        self.port = int(self._socket.getsockname()[1])
        self._wake, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="rmcp bmc")
        self._thread.start()

    def stop(self) -> None:
        """End it: the port is closed, all sessions are forgotten."""
        if self._thread is not None:
            self._wake.close()
            self._thread.join()
            self._thread = None
            self._socket.close()
            self._stopped.close()
            self.table.sessions.clear()
            self._later.clear()

    def restart(self) -> None:
        """Forget all sessions, as firmware does when it restarts."""
        self.stop()
        self.start()

    def until(self, wanted: Callable[[], bool]) -> None:
        """Return as soon as something holds that only what the BMC does can change."""
        with self._changed:
            assert self._changed.wait_for(wanted, _WAIT_LIMIT_S), "it did not come to that"

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket, self._stopped], (), (), self._due_in_s())
            if self._stopped in ready:
                return
            self.chassis.carry_out_due()
            self._send_due()
            if self._socket in ready:
                self._serve(*self._socket.recvfrom(_PACKET_BYTES_MAX))
            with self._changed:
                self._changed.notify_all()

    def _due_in_s(self) -> float | None:
        dues = [max(due_s - time.monotonic(), 0.0) for due_s, _, _ in self._later]
        switch_s = self.chassis.due_in_s()
        return min(dues if switch_s is None else [*dues, switch_s], default=None)

    def _send_due(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            _, answer, client = self._later.pop(0)
            self._socket.sendto(answer, client)

    def _serve(self, raw: bytes, client: Any) -> None:
        answer = None if self.link.silent else self._answer(raw)
        if answer is None:
            return
        if self.login.rakp2_after_s and answer[:6] == wire.plain_packet(wire.RAKP2, b"")[:6]:
            self._later.append((time.monotonic() + self.login.rakp2_after_s, answer, client))
        else:
            self._socket.sendto(answer, client)

    def _answer(self, raw: bytes) -> bytes | None:
        self.table.expire()
        try:
            packet = wire.parse(raw)
            if not packet.plus:
                return self._answer_outside(wire.Request.parse(packet.payload))
            answer: bytes | None
            match packet.payload_type:
                case wire.OPEN_REQUEST:
                    kind, answer = wire.OPEN_ANSWER, self.table.open(packet.payload)
                case wire.RAKP1:
                    kind, answer = wire.RAKP2, self.table.rakp1(packet.payload)
                case wire.RAKP3:
                    kind, answer = wire.RAKP4, self.table.rakp3(packet.payload)
                case wire.IPMI_MESSAGE:
                    return self._answer_in_session(packet)
                case _:
                    return None
        except (wire.BadPacketError, struct.error, IndexError):
            return None  # A BMC drops what is none of its protocol.
        if kind in self.login.lost:
            self.login.lost.remove(kind)
            return None
        return None if answer is None else wire.plain_packet(kind, answer)

    def _answer_outside(self, request: wire.Request) -> bytes:
        """Only what a client needs to begin a login is told without one."""
        if (request.netfn, request.command) != _CHANNEL_CAPABILITIES:
            return wire.old_packet(request.answer(_NO_PRIVILEGE))
        if self._is_busy():
            return wire.old_packet(request.answer(_NODE_BUSY))
        capabilities = bytearray(_CAPABILITIES)
        capabilities[2] |= _KG_SET if self.table.kg else 0
        return wire.old_packet(request.answer(_OK, bytes(capabilities)))

    def _answer_in_session(self, packet: wire.Packet) -> bytes | None:
        session = self.table.sessions.get(packet.session_id)
        if session is None:
            return None
        request = wire.Request.parse(session.heard(packet))
        command = (request.netfn, request.command)
        if self.link.lost_requests:
            self.link.lost_requests -= 1
            return None
        self.commands.append(command)
        code, data = self._carry_out(session, command, request.data)
        if command in self.link.lost:
            return None
        if self.link.lost_answers:
            self.link.lost_answers -= 1
            return None
        return session.packet(request.answer(code, data))

    def _carry_out(
        self, session: Session, command: tuple[int, int], data: bytes
    ) -> tuple[int, bytes]:
        if self._is_busy():
            return _NODE_BUSY, b""
        if command in self.link.refused:
            return self.link.refused[command], b""
        if command not in _LEVELS:
            return _NOT_A_COMMAND, b""
        if session.level < _LEVELS[command]:
            return _NO_PRIVILEGE, b""
        if command == _SET_PRIVILEGE:
            level = self.table.raise_level(session, data[0] & 0x0F)
            return (_LEVEL_TOO_HIGH, b"") if level is None else (_OK, bytes([level]))
        if command == _CLOSE_SESSION:
            closed = self.table.sessions.pop(int.from_bytes(data[:4], "little"), None)
            return (_OK if closed is session else _NOT_ITS_SESSION), b""
        if command == _SESSION_INFO:
            return _OK, bytes([1, self.table.slots, self.sessions])
        return self.chassis.answer(command, data)

    def _is_busy(self) -> bool:
        was_busy, self.link.busy = self.link.busy > 0, max(self.link.busy - 1, 0)
        return was_busy
