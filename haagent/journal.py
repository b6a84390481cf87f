# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of the core's steps: every change of phase and every order, none of the heartbeats."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import structlog

from haagent.core.effects import Beat, Persist, Reply
from haagent.core.events import DeadlinePassed, Event, PeerHeard, PositionRead, SyncRead
from haagent.core.phases import GroupPhase, PairPhase
from haagent.core.state import State, Step

PAIR_CHANGED = "pair.changed"
GROUP_CHANGED = "group.changed"
EVENT_TAKEN = "core.took"
EFFECT_ORDERED = "core.ordered"
TELLS_OF_STEPS = {PAIR_CHANGED, GROUP_CHANGED, EVENT_TAKEN, EFFECT_ORDERED}

QUIET = (PeerHeard, DeadlinePassed, PositionRead, SyncRead)
"""Events that come all day and tell nothing by themselves."""

log = structlog.get_logger()


class Journal:
    """Tells each step that changed something, with its monotonic time."""

    def observe(self, before: State, event: Event, step: Step, now_ns: int) -> None:
        """Log one step; quiet ones cost nothing but the comparison."""
        quiet = isinstance(event, QUIET)
        if quiet and before.pair is step.state.pair and before.groups is step.state.groups:
            return
        cause = type(event).__name__
        if not quiet:
            log.info(EVENT_TAKEN, at_ns=now_ns, cause=cause, **_facts(event, step.state))
        if before.pair is not step.state.pair:
            self._tell_pair(before, step.state, cause, now_ns)
        changed = before.groups is not step.state.groups
        for was, group in zip(before.groups, step.state.groups, strict=True) if changed else ():
            if type(was.phase) is not type(group.phase):
                log.info(
                    GROUP_CHANGED,
                    at_ns=now_ns,
                    cause=cause,
                    group=group.settings.name,
                    before=_name(was.phase),
                    after=_name(group.phase),
                    term=group.term,
                )
        for effect in step.effects:
            if not isinstance(effect, Beat | Persist | Reply):
                name = type(effect).__name__
                facts = _facts(effect, step.state)
                log.info(EFFECT_ORDERED, at_ns=now_ns, effect=name, **facts)

    def _tell_pair(self, before: State, after: State, cause: str, now_ns: int) -> None:
        reasons = _reasons(after)
        if type(before.pair) is not type(after.pair) or reasons != _reasons(before):
            log.info(
                PAIR_CHANGED,
                at_ns=now_ns,
                cause=cause,
                before=_name(before.pair),
                after=_name(after.pair),
                reasons=reasons,
            )


def _name(phase: PairPhase | GroupPhase) -> str:
    return type(phase).__name__.lower()


def _reasons(state: State) -> list[str]:
    return [reason.code for reason in getattr(state.pair, "reasons", ())]


def _facts(value: Any, state: State) -> dict[str, Any]:
    """The fields of an event or effect; its `group` is a number there, and here a name."""
    facts = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(index := facts.get("group"), int):
        facts["group"] = state.groups[index].settings.name
    return facts
