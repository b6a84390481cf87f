# SPDX-License-Identifier: GPL-2.0-or-later
"""Power fencing: devices, outcomes and errors. Stands alone: never imports haagent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hmac import compare_digest
from typing import Protocol
from uuid import UUID

from fencing.findings import Finding, Trouble

Option = str | int | float | bool | tuple[int, ...]
"""The value of a driver's own setting; durations are seconds."""


class Power(StrEnum):
    """What a device says of the power it controls. Anything but a clear word is UNKNOWN."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


class FenceOutcome(StrEnum):
    """How a fence attempt ended (S3)."""

    CONFIRMED_OFF = "confirmed_off"
    """A whole level of devices read back *off* after the order."""
    FAILED = "failed"
    """Certainly not carried out: no order left this machine."""
    UNKNOWN = "unknown"
    """An order may have been carried out; nothing proves it."""


class FenceError(Exception):
    """A device could not be used; the message is for the operator and holds no secret."""

    def __init__(self, text: str, trouble: Trouble = Trouble.UNREACHABLE) -> None:
        super().__init__(text)
        self.trouble = trouble
        """Its name in readiness and status."""


class NotSentError(FenceError):
    """The device could not even be asked: certainly no order left this machine."""


class Secret:
    """A password that no repr, log, traceback or JSON shows."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes, for the one call that needs them."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and compare_digest(self._value, other.reveal())

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """One fence device: what cuts one node's power."""

    name: str
    driver: str
    """One of fencing.drivers.DRIVERS."""
    address: str = ""
    """Host, serial line or nothing, as the driver needs."""
    user: str = ""
    password: Secret = field(default_factory=lambda: Secret(b""))
    kg: Secret | None = None
    """The BMC key of IPMI 2.0, where one is set."""
    level: int = 1
    """Levels are tried in ascending order; all devices of a level must read off."""
    off_settle_s: float = 2.0
    """Wait after the second off reading, then read once more: some BMCs say off too early."""
    deadline_s: float = 20.0
    """Hard limit of one fence attempt; a worker that overruns is killed."""
    check_every_s: float = 30.0
    """Pause between two readings of a warm session."""
    expect_identity: UUID | None = None
    """The system UUID the fenced machine is known by; a mismatch disqualifies the device."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """The driver's own settings, as declared in fencing.drivers."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a device tells of itself when it is checked, besides the power."""

    identity: UUID | None = None
    """The machine whose power it cuts, bytes in the device's order; None if it cannot tell."""
    mark: str = ""
    """Equal for two entries that are the same hardware, e.g. a serial number and the outlets;
    "" if it has nothing of the kind."""
    own_delay_s: float = 0.0
    """What the device waits by itself between an order and its effect."""
    findings: tuple[Finding, ...] = ()


class Device(Protocol):
    """What a driver offers. Every call blocks, within its own socket timeouts.

    A driver is made from its DeviceSettings and connects when it is first asked something.

    Raises:
        NotSentError: nothing was sent, e.g. because the login failed.
        FenceError: the device did not answer or refused. After off() this says nothing
            about the power: only a later status() does.
    """

    def off(self) -> None:
        """Order power off, hard; being off already is no error."""

    def on(self) -> None:
        """Order power on; being on already is no error."""

    def status(self) -> Power:
        """Read the power, fresh from the device: OFF only if all it feeds the machine by is off."""

    def evidence(self) -> str:
        """What the last status() saw besides, e.g. "outlet 3: 0.0 A"; asks nothing."""

    def identify(self) -> UUID | None:
        """The system UUID of the machine behind the device, None if it cannot tell."""

    def inspect(self) -> Inspection:
        """Everything that a check tells of the device; may take some round trips."""

    def rest(self) -> None:
        """Called when no request is near: give back what others need; never raises.

        A BMC's session stays; a serial console is logged out and its line closed.
        """

    def close(self) -> None:
        """Log out; never raises."""
