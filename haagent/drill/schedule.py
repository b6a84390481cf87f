# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the timer's drill begins now, and if not, why not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from haagent.config import Configuration
from haagent.drill.archive import Entry, Verdict
from haagent.drill.kinds import Where
from haagent.drill.pair import Status, holds_all, holds_none

AGAIN = timedelta(hours=20)
"""After a drill that was due and did not begin: once a day is often enough to be told why."""


def why_not(
    configuration: Configuration, entries: Sequence[Entry], here: Status, now: datetime
) -> str | None:
    """Why the configured drill does not begin on this node now; None if it does.

    Args:
        configuration: Of this node.
        entries: Earlier drills, oldest first.
        here: What the agent of this node says of itself.
        now: Local time.
    """
    practice = configuration.drill.practice
    if practice.level is None:
        return "[drill] names no level"
    mine = [entry for entry in entries if entry.kind is practice.level]
    done = [entry for entry in mine if entry.verdict is not Verdict.SKIPPED]
    due = practice.due(done[-1].began if done else None, configuration.cluster)
    if due is not None and now < due:
        return f"{practice.level} is not due before {due.astimezone(now.tzinfo):%Y-%m-%d %H:%M}"
    if (dark := practice.not_now(now)) is not None:
        return f"{practice.level} is due, and waits: {dark}"
    if mine and mine[-1].verdict is Verdict.SKIPPED and now - mine[-1].began < AGAIN:
        return f"{practice.level} is due; it did not begin at the last try, {mine[-1].id}"
    return _misplaced(configuration, practice.level.plan.where, here)


def _misplaced(configuration: Configuration, where: Where, here: Status) -> str | None:
    """Each drill is begun by one node of the two."""
    names, me = configuration.node_names, configuration.pair.me
    match where:
        case Where.ANY if me != 0:
            return f"it is run by {names[0]}"
        case Where.STANDBY if not holds_none(here):
            return "it is run by the node that stands by"
        case Where.ACTIVE if not holds_all(here):
            return "it is run by the node that holds every group"
        case _:
            return None
