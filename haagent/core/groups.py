# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of a group on this node: asking, promising, taking over, holding, releasing.

A node never has an open asking (Wanting) and an open promise (Yielded) for the same group: they
are two phases. A promise names the attempt and the incarnation it was asked by, and is kept until
a later frame of the peer says that the attempt is closed; an attempt that was closed is never
acted upon. So of two nodes at most one holds a live promise (S1, S2 a and d).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

from haagent.core import moves
from haagent.core.effects import Persist, ProbeVip, StartGroup
from haagent.core.events import StopKind
from haagent.core.gates import barred, configuration_agrees, known_term
from haagent.core.phases import (
    START_TRIES,
    Active,
    Alive,
    Assessing,
    Blocked,
    Fenced,
    Grant,
    Left,
    Proof,
    Releasing,
    Standby,
    Starting,
    Stuck,
    TakingOver,
    Wanting,
    Yielded,
)
from haagent.core.reasons import Reason
from haagent.core.settings import S
from haagent.core.state import Group, State, Sync
from haagent.core.stops import order_stop, release
from haagent.core.turn import Turn
from haagent.core.wire import GroupReport, Role

WANT_NS = 5 * S
"""An asking that got no promise for so long is closed and asked anew."""
START_RETRY_NS = 5 * S
START_RETRY_MAX_NS = 60 * S
"""Pauses between two tries to start a group here, when nobody else could; they double."""
TAKE_OVER_NS = 10 * S
"""A disk that takes longer than this to write a hundred bytes has failed."""
BLOCKED_NS = 5 * S
"""Pause before a group that could not be taken over is tried again."""


def advance(turn: Turn, index: int) -> None:
    """What time, the pair's phase and the peer's words make of the group's phase."""
    group = turn.group(index)
    phase = group.phase
    waiting = isinstance(phase, Standby | Wanting | Yielded)
    if waiting and not barred(turn.state, group) and (grant := off_or_gone(turn.state)):
        take_over(turn, index, grant, _next_term(turn, index))
        return
    match phase:
        case Standby():
            _standby(turn, index, phase)
        case Wanting():
            _wanting(turn, index, phase)
        case Yielded():
            _yielded(turn, index, phase)
        case TakingOver():
            _taking_over(turn, index, phase)
        case Starting():
            _starting(turn, index, phase)
        case Active():
            _active(turn, index, phase)
        case Assessing() | Releasing():
            if turn.clock and turn.now_ns >= phase.until_ns:
                term = turn.group(index).term
                turn.enter(index, Stuck(term, phase.attempt, turn.now_ns))
            elif phase.retry_ns is not None and turn.now_ns >= phase.retry_ns:
                again = replace(phase, attempt=order_stop(turn, index), retry_ns=None)
                turn.enter(index, again)
        case Stuck():
            if turn.now_ns >= phase.retry_ns:
                retry_ns = turn.now_ns + turn.timing.stop_budget_ns
                turn.enter(index, Stuck(phase.term, order_stop(turn, index), retry_ns))
        case Blocked():
            if not _promise(turn, index) and turn.now_ns >= phase.retry_ns:
                turn.enter(index, Standby())
        case _:
            assert_never(phase)


def report(state: State, index: int) -> GroupReport | None:
    """What a living peer of the same configuration says of the group."""
    if not isinstance(state.pair, Alive) or state.view is None:
        return None
    if not configuration_agrees(state):
        return None
    return state.view.group(state.groups[index].settings.name)


def off_or_gone(state: State) -> Grant | None:
    """A grant that needs nothing from the peer: it is proved off, or left (S2 a, b, c).

    A node that is leaving itself takes nothing more.
    """
    if state.stopping is StopKind.LEAVE:
        return None
    if isinstance(state.pair, Fenced):
        return Grant.PEER_OFF
    if isinstance(state.pair, Left) and configuration_agrees(state):
        return Grant.LEFT
    return None


def take_over(turn: Turn, index: int, grant: Grant, term: int) -> None:
    """With a grant: make the term durable and probe the addresses, both at once."""
    attempt = turn.attempt()
    forced = isinstance(turn.state.pair, Fenced) and turn.state.pair.proof is Proof.FORCED
    until_ns = turn.now_ns + TAKE_OVER_NS
    turn.enter(index, TakingOver(grant, attempt, term, until_ns, probed=forced), term=term)
    turn.emit(Persist(attempt, turn.state.record))
    if not forced:
        turn.emit(ProbeVip(index, attempt))


def _next_term(turn: Turn, index: int) -> int:
    """One more than any term either node was heard to use."""
    return known_term(turn.state, turn.group(index)) + 1


def _standby(turn: Turn, index: int, phase: Standby) -> None:
    if _promise(turn, index):
        return
    theirs = report(turn.state, index)
    if theirs is None or turn.state.stopping is not None:
        return
    if barred(turn.state, turn.group(index)) is not None:
        return
    if theirs.role is Role.ACTIVE and phase.handed_over_until_ns:
        turn.enter(index, Standby())
    elif theirs.role is Role.ACTIVE and moves.comes_home(turn, index):
        want(turn, index, switchover=True)
    elif theirs.role is Role.RELEASING or theirs.reason == Reason.HANDED_OVER:
        want(turn, index, switchover=False)
    elif not theirs.role.holds and not turn.state.orders.maintenance:
        patient = turn.now_ns < phase.handed_over_until_ns and theirs.promotable
        if not patient and goes_first(turn.state, turn.group(index), theirs):
            want(turn, index, switchover=False)


def goes_first(state: State, group: Group, theirs: GroupReport) -> bool:
    """At a joint start: the node that is able, then the last holder, then the preferred one."""
    mine = (True, group.held_term, group.settings.preferred == state.settings.me)
    other = (
        theirs.promotable,
        theirs.held_term,
        group.settings.preferred == state.settings.peer,
    )
    return mine > other


def want(turn: Turn, index: int, *, switchover: bool) -> None:
    """Ask the peer for the group; `switchover`: although it holds it and is well."""
    term = _next_term(turn, index)
    wanting = Wanting(turn.attempt(), term, switchover, turn.now_ns + WANT_NS)
    turn.enter(index, wanting)


def _promise(turn: Turn, index: int) -> bool:
    """Yield to the peer's open asking; never while one of ours is open."""
    theirs, view = report(turn.state, index), turn.state.view
    if theirs is None or view is None or theirs.role is not Role.WANTING:
        return False
    if theirs.attempt_term <= turn.group(index).term:
        return False  # Our frames tell it the term; it will ask for a higher one.
    phase = turn.group(index).phase
    pause = phase if isinstance(phase, Blocked) else None
    promise = Yielded(view.incarnation, theirs.attempt, theirs.attempt_term, pause)
    turn.enter(index, promise, term=theirs.attempt_term)
    return True


def _wanting(turn: Turn, index: int, phase: Wanting) -> None:
    barred_now = barred(turn.state, turn.group(index)) is not None
    if turn.now_ns >= phase.until_ns or turn.state.stopping is not None or barred_now:
        turn.enter(index, Standby())
        return
    theirs = report(turn.state, index)
    if theirs is None:
        return
    if theirs.role is Role.YIELDED:
        mine = (phase.attempt, phase.term, turn.state.incarnation)
        if mine == (theirs.attempt, theirs.attempt_term, theirs.attempt_incarnation):
            take_over(turn, index, Grant.YIELDED, phase.term)
    elif theirs.role is Role.WANTING:
        if not goes_first(turn.state, turn.group(index), theirs):
            turn.enter(index, Standby())  # Closes ours; the promise is given in a later step.
            turn.set(wake_ns=turn.now_ns)
    elif theirs.term >= phase.term or (
        theirs.role in {Role.ACTIVE, Role.TAKING_OVER} and not phase.switchover
    ):
        turn.enter(index, Standby())


def _yielded(turn: Turn, index: int, phase: Yielded) -> None:
    """The promise stands until the peer says, later, that its attempt is closed."""
    theirs, view = report(turn.state, index), turn.state.view
    if theirs is None or view is None:
        return
    asked = view.incarnation == phase.incarnation and theirs.role is Role.WANTING
    if (asked and theirs.attempt == phase.attempt) or theirs.role is Role.ASSESSING:
        return
    turn.enter(index, phase.pause or Standby())


def _taking_over(turn: Turn, index: int, phase: TakingOver) -> None:
    if phase.grant is Grant.PEER_OFF and not isinstance(turn.state.pair, Fenced):
        turn.enter(index, Standby())  # S8: the proof was taken back before anything started.
        turn.persist()
    elif (bar := barred(turn.state, turn.group(index))) is not None:
        blocked(turn, index, bar, "")  # It became known, or was ordered, meanwhile.
    elif phase.persisted and phase.probed:
        if turn.may_strike:
            moves_ns = moves.one_more(turn, index)
            _start(turn, index, phase.term, tries=0, moves_ns=moves_ns)
    elif turn.clock and turn.now_ns >= phase.until_ns:
        reason = Reason.VIP_NOT_PROBED if phase.persisted else Reason.NOT_DURABLE
        blocked(turn, index, reason, "no answer in time")


def _start(turn: Turn, index: int, term: int, *, tries: int, **changes: Any) -> None:
    attempt = turn.attempt()
    turn.emit(StartGroup(index, attempt))
    starting = Starting(term, attempt, tries=tries + 1)
    # Whoever serves it is complete, and says nothing of the peer yet (S11).
    turn.enter(index, starting, held_term=term, sync=Sync(complete=True), **changes)


def _starting(turn: Turn, index: int, phase: Starting) -> None:
    state, waits = turn.state, phase.attempt is None
    ended = state.stopping is StopKind.LEAVE
    ended = ended or turn.group(index).settings.name in state.orders.stopped
    if _superseded(state, index, phase.term) or ended:
        release(turn, index)
    elif _frozen(turn, index):
        return  # It is neither mended nor moved; what was begun may end.
    elif waits and turn.now_ns >= phase.retry_ns and turn.may_strike:
        _start(turn, index, phase.term, tries=phase.tries)


def _active(turn: Turn, index: int, phase: Active) -> None:
    state, name = turn.state, turn.group(index).settings.name
    theirs = report(state, index)
    asked = theirs is not None and theirs.role is Role.WANTING and theirs.switchover
    away = state.orders.away[state.settings.me] and _could_take(state, index)
    group = turn.group(index)
    # What comes back for both nodes comes back for one of them first.
    lost_clients = _cut_off(turn) or (group.unreachable and group.doubtful)
    cut_off = lost_clients and _peer_able(turn, index)
    must = state.stopping is StopKind.LEAVE or name in state.orders.stopped
    must = must or _superseded(state, index, phase.term)
    if must or ((asked or away or cut_off) and not _frozen(turn, index)):
        release(turn, index)


def _frozen(turn: Turn, index: int) -> bool:
    return turn.group(index).settings.name in turn.state.orders.frozen


def _cut_off(turn: Turn) -> bool:
    """No switched link has had a carrier for so long that a shaky cable is no explanation."""
    since_ns = turn.state.cut_off_ns
    return since_ns is not None and turn.now_ns - since_ns >= turn.timing.dead_after_ns


def _could_take(state: State, index: int) -> bool:
    """The peer says that it could take the group."""
    theirs = report(state, index)
    return theirs is not None and theirs.promotable and not theirs.role.holds


def _peer_able(turn: Turn, index: int) -> bool:
    """The peer could take the group, and nothing forbids to hand it over by ourselves."""
    if turn.state.orders.maintenance or _frozen(turn, index):
        return False
    if moves.restless(turn.group(index), turn.now_ns):
        return False
    return _could_take(turn.state, index)


def _superseded(state: State, index: int, term: int) -> bool:
    """S8, seen from the other side: the peer took our group over, in a later term."""
    view = state.view
    if not isinstance(state.pair, Alive) or view is None:
        return False
    theirs = view.group(state.groups[index].settings.name)
    if theirs is None or theirs.role is not Role.ACTIVE:
        return False
    return (theirs.term, state.settings.me) > (term, state.settings.peer)


def started(turn: Turn, index: int, term: int) -> None:
    """Everything of the group runs here and its clients can reach it."""
    assert isinstance(turn.group(index).phase, Starting)
    turn.enter(index, Active(term, turn.now_ns), accept_loss_until_ns=0, gave_up=False)


def lost(turn: Turn, index: int, detail: str) -> None:
    """A resource failed for good; a frozen group stays as it is."""
    if not _frozen(turn, index):
        hand_over_or_retry(turn, index, detail)


def hand_over_or_retry(turn: Turn, index: int, detail: str) -> None:
    """The group does not run here as it should: the peer takes it if it can (S2 a)."""
    phase = turn.group(index).phase
    assert isinstance(phase, Starting | Active)
    once_more = isinstance(phase, Starting) and phase.tries < START_TRIES
    if _peer_able(turn, index) and not once_more:
        release(turn, index, Reason.START_FAILED, detail)
    elif isinstance(phase, Starting):
        pause_ns = START_RETRY_NS << min(phase.tries - START_TRIES, 10) if not once_more else 0
        retry_ns = turn.now_ns + min(pause_ns, START_RETRY_MAX_NS)
        turn.enter(index, replace(phase, attempt=None, detail=detail, retry_ns=retry_ns))
    else:
        turn.enter(index, Starting(phase.term, None, turn.now_ns, detail=detail))
    turn.set(wake_ns=turn.now_ns)


def blocked(turn: Turn, index: int, reason: Reason, detail: str) -> None:
    """A takeover that did not come to a start; nothing of the group runs here."""
    turn.enter(index, Blocked(reason, detail, turn.now_ns + BLOCKED_NS))
    turn.persist()


def confirm(turn: Turn, index: int, *, persisted: bool = False, probed: bool = False) -> None:
    """One of the two things a takeover waits for is done."""
    phase = turn.group(index).phase
    assert isinstance(phase, TakingOver)
    turn.enter(
        index,
        replace(phase, persisted=phase.persisted or persisted, probed=phase.probed or probed),
    )
