# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine behind our own BMC: its power, what it tells of itself, and how it misbehaves."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import IntEnum
from uuid import UUID

from hil import rmcp_lan as lan

_POWER_DOWN, _POWER_UP = 0, 1
OK, NOT_IN_PRESENT_STATE, NOT_A_COMMAND = 0x00, 0xD5, 0xC1
STATUS, CONTROL = (0x00, 0x01), (0x00, 0x02)
DEVICE_ID, DEVICE_GUID, SYSTEM_GUID = (0x06, 0x01), (0x06, 0x08), (0x06, 0x37)
CHANNEL_INFO, LAN_PARAMETERS = (0x06, 0x42), (0x0C, 0x02)
"""Network function and command (appendix G)."""
_DEVICE = bytes((0x20, 0x81, 1, 0, 0x02, 0x80, 0, 0, 0, 1, 0))
"""Device 20h, firmware 1.0, IPMI 2.0, a chassis device, no manufacturer (20.1)."""


class RestorePolicy(IntEnum):
    """Bits 6:5 of the chassis status (table 28-3)."""

    ALWAYS_OFF = 0
    PREVIOUS = 1
    ALWAYS_ON = 2
    UNKNOWN = 3


@dataclass(slots=True)
class ChassisFaults:
    """How orders are carried out, until it is changed back."""

    ack_only: bool = False
    """Acknowledges and does nothing."""
    late_s: float = 0.0
    """Acknowledges at once and acts so much later."""
    refuse_when_off: bool = False
    """Off is refused with D5h when it is off already, as Dell's does."""
    empty_status: bool = False
    """The chassis status comes without data."""


@dataclass
class Chassis:
    """What the commands of a session speak to."""

    on: bool = True
    restore_policy: RestorePolicy = RestorePolicy.ALWAYS_ON
    flags: int = 0
    """Further bits of the first byte of the chassis status, such as the faults."""
    guid: UUID | None = None
    device_guid: UUID | None = None
    mac: bytes | None = b"\x02\x00\x00\x00\x00\x01"
    channels: dict[int, lan.Channel] = field(default_factory=lambda: {1: lan.Channel()})
    """Those of a LAN, by number."""
    faults: ChassisFaults = field(default_factory=ChassisFaults)
    orders: list[str] = field(default_factory=list)
    """"on" and "off" as they were taken, carried out or not."""
    _due: list[tuple[float, bool]] = field(default_factory=list)

    def due_in_s(self) -> float | None:
        """Seconds until carry_out_due() has something to do, None if it has not."""
        return max(self._due[0][0] - time.monotonic(), 0.0) if self._due else None

    def carry_out_due(self) -> None:
        """Do what was put off."""
        while self._due and self._due[0][0] <= time.monotonic():
            self.on = self._due.pop(0)[1]

    def answer(self, command: tuple[int, int], data: bytes) -> tuple[int, bytes]:
        """The completion code and the data of an answer."""
        if command == STATUS:
            return self._status()
        if command == CONTROL:
            return self._control(data), b""
        if command == DEVICE_ID:
            return OK, _DEVICE
        if command == CHANNEL_INFO:
            return lan.information(self.channels, data)
        if command == LAN_PARAMETERS:
            return lan.parameter(self.channels, self.mac, data)
        guid = {SYSTEM_GUID: self.guid, DEVICE_GUID: self.device_guid}.get(command)
        return (NOT_A_COMMAND, b"") if guid is None else (OK, guid.bytes)

    def _status(self) -> tuple[int, bytes]:
        if self.faults.empty_status:
            return OK, b""
        return OK, bytes([self.on | self.flags | self.restore_policy << 5, 0, 0])

    def _control(self, data: bytes) -> int:
        order = data[0] & 0x0F
        if order not in (_POWER_DOWN, _POWER_UP):
            return NOT_IN_PRESENT_STATE
        on = order == _POWER_UP
        self.orders.append("on" if on else "off")
        if self.faults.refuse_when_off and not on and not self.on:
            return NOT_IN_PRESENT_STATE
        if self.faults.late_s:
            self._due.append((time.monotonic() + self.faults.late_s, on))
        elif not self.faults.ack_only:
            self.on = on
        return OK
