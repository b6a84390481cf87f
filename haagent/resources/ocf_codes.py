# SPDX-License-Identifier: GPL-2.0-or-later
"""What the end of an OCF agent means.

    0    success; of a monitor: it runs (unpromoted, if it is promotable)
    1    failed
    2    its parameters do not fit this node       2 to 6: no attempt with the same configuration
    3    its agent cannot do that                           on the same node can end otherwise
    4    a permission is missing
    5    something that it needs is not installed
    6    its parameters are wrong on any node
    7    of a monitor only: cleanly stopped
    8    of a monitor only: it runs, promoted
    9    of a monitor only: it failed while promoted
    190  as 0, but degraded
    191  as 8, but degraded

Source: OCF resource agent API 1.1; Pacemaker Administration 2.1, "How are OCF Return Codes
Interpreted?".
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from haagent.resources import Condition, Reading, ResourceError
from haagent.resources.process import Finished

REASON = "ocf-exit-reason:"
"""Before the one line of an agent's output that is meant for the operator."""


class UnfitError(ResourceError):
    """It will not run on this node until its configuration or the node is changed."""


class Code(IntEnum):
    """Exit statuses of an agent."""

    OK = 0
    ARGS = 2
    UNIMPLEMENTED = 3
    PERMISSION = 4
    NOT_INSTALLED = 5
    NOT_CONFIGURED = 6
    NOT_RUNNING = 7
    RUNNING_PROMOTED = 8
    FAILED_PROMOTED = 9
    DEGRADED = 190
    DEGRADED_PROMOTED = 191


HARD: Final[dict[int, str]] = {
    Code.ARGS: "its parameters do not fit this node",
    Code.UNIMPLEMENTED: "its agent cannot do that",
    Code.PERMISSION: "a permission is missing on this node",
    Code.NOT_INSTALLED: "something that it needs is not installed on this node",
    Code.NOT_CONFIGURED: "its parameters are wrong",
}


def reason(finished: Finished) -> str:
    """What an agent says of how it ended: its exit reason, else its last line; "" for nothing."""
    # Not always at the beginning: what was written before may lack its line end.
    reasons = [line.partition(REASON)[2] for line in finished.tail if REASON in line]
    return (reasons or [*finished.tail] or [""])[-1].strip()


def failure(action: str, finished: Finished) -> ResourceError:
    """The end of an action that should have ended with 0, as an error with all that is known."""
    how = _how(action, finished)
    if finished.status in HARD and action in ("start", "promote"):
        return UnfitError(f"{how}; it ends the same until its configuration or this node changes")
    return ResourceError(how)


def reading_of(finished: Finished, *, promotable: bool, probe: bool) -> Reading:
    """What the end of a monitor says of the resource.

    Args:
        finished: The monitor's end.
        promotable: Whether the resource has two roles.
        probe: Whether nothing of it was ever up here. Then it is also stopped where it cannot even
            be examined, because it is not installed or could not have been started like that.
    """
    said = reason(finished)
    runs = Condition.STANDBY if promotable else Condition.ACTIVE
    match finished.status:
        case Code.OK:
            return Reading(runs)
        case Code.RUNNING_PROMOTED:
            return Reading(Condition.ACTIVE)
        case Code.DEGRADED:
            return Reading(runs, f"degraded: {said}")
        case Code.DEGRADED_PROMOTED:
            return Reading(Condition.ACTIVE, f"degraded: {said}")
        case Code.NOT_RUNNING:
            return Reading(Condition.STOPPED, said)
        case Code.ARGS | Code.NOT_INSTALLED | Code.NOT_CONFIGURED if probe:
            return Reading(Condition.STOPPED, f"cannot run here: {_how('monitor', finished)}")
        case Code.FAILED_PROMOTED:
            return Reading(Condition.FAILED, f"failed while promoted: {said}")
        case _:
            return Reading(Condition.FAILED, _how("monitor", finished))


def _how(action: str, finished: Finished) -> str:
    """One line: action, exit status, what that means, and what the agent said of it."""
    meaning = HARD.get(finished.status)
    parts = [f"{action} ended with {finished.status}{f' ({meaning})' if meaning else ''}"]
    return ": ".join(part for part in (*parts, reason(finished)) if part)
