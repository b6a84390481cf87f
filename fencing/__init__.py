# SPDX-License-Identifier: GPL-2.0-or-later
"""Power fencing: devices, outcomes and errors. Stands alone: never imports haagent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID


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


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """One fence device: what cuts one node's power."""

    name: str
    driver: str
    """"ipmi" today; drivers are found by this name in fencing.drivers."""
    address: str
    user: str
    password: Secret
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
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Driver's own settings, e.g. port, privilege, kg for ipmi."""


class Device(Protocol):
    """What a driver offers. Every call blocks, within its own socket timeouts.

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
        """Read the power, fresh from the device."""

    def identify(self) -> UUID | None:
        """The system UUID of the machine behind the device, None if it cannot tell."""

    def close(self) -> None:
        """Log out; never raises."""
