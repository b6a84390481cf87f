# SPDX-License-Identifier: GPL-2.0-or-later
"""What this node says in its heartbeats."""

from __future__ import annotations

from typing import assert_never

from haagent.core.events import StopKind
from haagent.core.gates import barred
from haagent.core.operator import PAUSE_MS, all_stopped
from haagent.core.phases import (
    HOLDING,
    Active,
    Assessing,
    Blocked,
    GroupPhase,
    Releasing,
    Standby,
    Starting,
    Stuck,
    TakingOver,
    Wanting,
    Yielded,
)
from haagent.core.reasons import Reason
from haagent.core.settings import MS
from haagent.core.state import Group, LinkState, State
from haagent.core.wire import AGE_NEVER_MS, Body, GroupReport, LinkReport, Role


def role(phase: GroupPhase) -> Role:
    """The word on the wire for a phase."""
    match phase:
        case Assessing():
            return Role.ASSESSING
        case Standby():
            return Role.STANDBY
        case Wanting():
            return Role.WANTING
        case Yielded():
            return Role.YIELDED
        case TakingOver() | Starting():
            return Role.TAKING_OVER
        case Active():
            return Role.ACTIVE
        case Releasing():
            return Role.RELEASING
        case Stuck():
            return Role.STUCK
        case Blocked():
            return Role.BLOCKED
        case _:
            assert_never(phase)


def not_promotable(state: State, group: Group) -> Reason | None:
    """Why this node could not take the group now, as far as it knows itself."""
    if state.stopping is not None:
        return Reason.STOPPING
    if isinstance(group.phase, Blocked):
        return group.phase.reason
    if isinstance(group.phase, Yielded) and group.phase.pause is not None:
        return group.phase.pause.reason
    if isinstance(group.phase, Stuck):
        return Reason.START_FAILED
    if state.cut_off_ns is not None or group.unreachable or group.doubtful:
        return Reason.ISOLATED
    if (bar := barred(state, group)) is not None:
        return bar
    if not group.standby_ready and not isinstance(group.phase, HOLDING):
        return Reason.STANDBY_NOT_READY
    if isinstance(group.phase, Standby) and state.now_ns < group.phase.handed_over_until_ns:
        return Reason.HANDED_OVER
    return None


def body(state: State, now_ns: int) -> Body:
    """The next heartbeat: a function of the state alone."""
    leaving = all_stopped(state)
    pausing = state.stopping is StopKind.PAUSE
    return Body(
        echo=state.view.incarnation if state.view else state.stranger,
        stall_ms=state.stall_ns // MS,
        leaving=leaving,
        fence_me=any(isinstance(group.phase, Stuck) for group in state.groups),
        pausing_ms=PAUSE_MS if pausing else 0,
        maintenance=state.orders.maintenance,
        away=state.orders.away,
        orders_version=state.orders.version,
        host_identity=state.settings.host_identity,
        configuration_hash=state.settings.configuration_hash,
        links=tuple(_link(link, now_ns) for link in state.links),
        groups=tuple(_group(state, group) for group in state.groups),
        release=state.settings.release,
        unfed_s=state.settings.unfed_s,
    )


def _link(link: LinkState, now_ns: int) -> LinkReport:
    if link.heard_ns is None:
        return LinkReport(0, AGE_NEVER_MS)
    age_ms = max(0, now_ns - link.heard_ns) // MS
    return LinkReport(max(0, link.counter), min(age_ms, AGE_NEVER_MS))


def _group(state: State, group: Group) -> GroupReport:
    phase = group.phase
    attempt = attempt_term = incarnation = 0
    if isinstance(phase, Wanting):
        attempt, attempt_term, incarnation = phase.attempt, phase.term, state.incarnation
    elif isinstance(phase, Yielded):
        attempt, attempt_term, incarnation = phase.attempt, phase.term, phase.incarnation
    reason, sync = not_promotable(state, group), group.sync
    speaks = isinstance(phase, Starting | Active | Releasing)
    answers = state.view is not None and state.view.incarnation == sync.seen_of
    return GroupReport(
        name=group.settings.name,
        role=role(phase),
        promotable=reason is None,
        reason=reason or 0,
        term=group.term,
        held_term=group.held_term,
        attempt=attempt,
        attempt_term=attempt_term,
        attempt_incarnation=incarnation,
        switchover=isinstance(phase, Wanting) and phase.switchover,
        position=group.position,
        word=sync.word if speaks else 0,
        given=speaks and sync.given,
        seen=sync.seen if answers else 0,
        complete=sync.complete,
        stopped=group.settings.name in state.orders.stopped,
        frozen=group.settings.name in state.orders.frozen,
    )
