# SPDX-License-Identifier: GPL-2.0-or-later
"""What a group is made of: one small protocol, one file a kind.

Every call may be repeated and may be cancelled. Whoever implements it keeps its own time limit and
leaves nothing running behind that a limit or a cancellation has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from haagent.errors import EdgeError


class ResourceError(EdgeError):
    """The resource could not be brought to where it should be; the text is for the operator."""


class Condition(StrEnum):
    """What a resource is on this node."""

    STOPPED = "stopped"
    STANDBY = "standby"
    """It runs in the role that harms nobody: a promotable resource that is not promoted."""
    ACTIVE = "active"
    """It runs and serves: what only the holder of the group may have."""
    FAILED = "failed"
    """It is broken, or nobody can tell: something of it may run."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a resource is, and why it is said to be so."""

    condition: Condition
    detail: str = ""
    """For the operator; may be "" for a condition that explains itself."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long the operations of a resource may take, and how often it is looked at. Seconds."""

    start_s: float = 60.0
    stop_s: float = 60.0
    monitor_s: float = 20.0
    interval_s: float = 10.0
    """Pause between two looks; 0 for none: then only its own signals tell of a failure."""
    answer_s: float | None = None
    """How long after a start a probe may go without an answer; None: `start_s`."""


class Resource(Protocol):
    """One resource of one group on this node.

    Raises:
        ResourceError: From start() and stop(): it is not certain that it got there.
    """

    @property
    def name(self) -> str:
        """Unique in its group, e.g. "db-filesystem"."""

    @property
    def times(self) -> Times:
        """Limits and interval."""

    async def start(self) -> None:
        """Make it ACTIVE, from whatever it is; returns when it can be used."""

    async def stop(self) -> None:
        """Make it harmless, STOPPED or STANDBY; returns when that was seen, not only ordered."""

    async def monitor(self) -> Reading:
        """Look at it now; never raises for a resource that is broken."""

    async def retire(self) -> None:
        """The agent leaves this node for good: stop what stop() leaves running as STANDBY.

        Raises:
            ResourceError: Something of it may still run.
        """

    async def close(self) -> None:
        """The agent ends: let go of connections; the resource stays as it is. Never raises."""
