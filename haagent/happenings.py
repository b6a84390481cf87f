# SPDX-License-Identifier: GPL-2.0-or-later
"""What of the core's steps an operator's hooks are told."""

from __future__ import annotations

from collections.abc import Iterator

from fencing import FenceOutcome
from haagent.core.events import Event, FenceFinished
from haagent.core.moves import restless
from haagent.core.phases import (
    HOLDING,
    Active,
    Assessing,
    Blocked,
    Fencing,
    GroupPhase,
    Stuck,
    Yielded,
)
from haagent.core.reasons import Reason
from haagent.core.state import Group, State
from haagent.hooks import Happening, Occasion


def happenings(before: State, event: Event, after: State) -> Iterator[Happening]:
    """What this step changed that a hook may be set for, in order; most steps change nothing."""
    match before.pair, event:
        case Fencing(attempt=ours), FenceFinished(attempt=answered) if ours == answered:
            yield Happening(Occasion.FENCE, reason=event.outcome.value, detail=event.detail)
            if event.outcome is not FenceOutcome.CONFIRMED_OFF:
                text = f"the peer could not be proved off: {event.detail}"
                yield Happening(Occasion.ALARM, reason="fence_unconfirmed", detail=text)
    if after.distrusted and not before.distrusted:
        text = "a fence device said off while the peer lived"
        yield Happening(Occasion.ALARM, reason="fence_distrusted", detail=text)
    if before.groups is not after.groups:
        for old, new in zip(before.groups, after.groups, strict=True):
            if old.phase is not new.phase:
                yield from _of_group(old, new)
            if restless(new, after.now_ns) and not restless(old, before.now_ns):
                name, reason = new.settings.name, Reason.TOO_MANY_MOVES
                text = f"{name}: {reason.text}"
                yield Happening(Occasion.ALARM, name, new.term, reason.code, text)


def _of_group(old: Group, new: Group) -> Iterator[Happening]:
    name, term = new.settings.name, new.term
    was, now = _resting(old), _resting(new)
    if isinstance(now, Active) and not isinstance(was, Active):
        yield Happening(Occasion.ACTIVE, name, term)
    held = isinstance(was, HOLDING) and not isinstance(was, Assessing)
    if held and not isinstance(now, HOLDING):
        reason = now.reason.code if isinstance(now, Blocked) else ""
        yield Happening(Occasion.STANDBY, name, term, reason)
    if isinstance(now, Stuck) and not isinstance(was, Stuck):
        text = f"{name} cannot be stopped here: this node asks to be fenced"
        yield Happening(Occasion.ALARM, name, term, "stuck", text)
    if isinstance(now, Blocked) and not isinstance(was, Blocked):
        text = f"{now.reason.text}: {now.detail}" if now.detail else now.reason.text
        yield Happening(Occasion.ALARM, name, term, now.reason.code, text)


def _resting(group: Group) -> GroupPhase:
    """The phase; of a group that was promised to the peer, the reason not to start it here."""
    phase = group.phase
    return phase.pause if isinstance(phase, Yielded) and phase.pause is not None else phase
