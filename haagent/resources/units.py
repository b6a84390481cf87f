# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd says of a unit, and the two ways to ask it: D-Bus and systemctl."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from haagent.errors import EdgeError

UNIT_NAME = re.compile(
    r"[\w:.\\-]+(?:@[\w:.\\@-]+)?"
    r"\.(?:service|socket|target|mount|automount|swap|path|timer|slice|scope|device)",
    re.ASCII,
)
"""A unit or an instance of a template, never the template itself. Source: systemd.unit(5)."""
UNIT_NAME_CHARACTERS_MAX = 255
"""Source: systemd.unit(5)."""


class AwayError(EdgeError):
    """Systemd could not be asked, which says nothing about any unit."""


class RefusedError(EdgeError):
    """Systemd answered with an error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name
        """Its D-Bus name, e.g. org.freedesktop.systemd1.NoSuchUnit; may be ""."""


class Verb(StrEnum):
    """What a unit can be ordered to do."""

    START = "start"
    STOP = "stop"


class JobResult(StrEnum):
    """How a job ended. Source: org.freedesktop.systemd1(5), JobRemoved; any other is FAILED."""

    DONE = "done"
    """Also for a start that a condition of the unit forbids: look at the unit."""
    CANCELED = "canceled"
    TIMEOUT = "timeout"
    FAILED = "failed"
    DEPENDENCY = "dependency"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"
    """Ours: its end was not heard. It may still run; the same order joins it then."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """A unit at one moment."""

    load: str
    """loaded, not-found, masked, bad-setting, error."""
    active: str
    """active, reloading, refreshing, inactive, failed, activating, deactivating, maintenance."""
    sub: str
    """The state of its own kind, e.g. running, exited, auto-restart."""
    has_job: bool
    """Systemd has an order for it that is not carried out yet."""

    def __str__(self) -> str:
        """For the operator."""
        return f"{self.active} ({self.sub})"

    @property
    def serves(self) -> bool:
        """Whether it is up; reloading means up, and reading its configuration again."""
        return self.active in {"active", "reloading", "refreshing"}

    @property
    def is_down(self) -> bool:
        """Whether systemd is done with it. Processes may be left all the same."""
        return self.active in {"inactive", "failed"} and not self.has_job

    @property
    def is_underway(self) -> bool:
        """Whether it will be something else by itself."""
        return self.has_job or self.active in {"activating", "deactivating"}

    @property
    def will_change(self) -> bool:
        """Whether what it becomes is to be waited for.

        Not for a reload, during which it serves, nor for a unit that died and that systemd is
        about to start anew: that is a failure already.
        """
        return self.is_underway and not self.serves and not self.sub.startswith("auto-restart")


class Way(Protocol):
    """One way to ask systemd.

    Every method raises AwayError if it cannot be asked so, and RefusedError if it says no.
    """

    async def state(self, unit: str) -> UnitState:
        """What the unit is now; one that does not exist is "not-found" and "inactive"."""

    async def order(self, verb: Verb, unit: str, wait_s: float) -> JobResult:
        """Order a job and wait for its end, at most about `wait_s`."""

    async def processes(self, unit: str) -> tuple[str, ...]:
        """What runs in the unit's control group, whatever its state: "PID name", or more."""

    async def kill(self, unit: str) -> None:
        """SIGKILL to every process of its control group; none there is no error."""

    async def reset_failed(self, unit: str) -> None:
        """Forget its failure and how often it was started; not loaded is no error."""

    async def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties as `systemctl show` writes them; those that it has not are missing or ""."""
