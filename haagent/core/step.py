# SPDX-License-Identifier: GPL-2.0-or-later
"""The heart: one event and the time in, a new state and effects out.

Theory of operation
===================

The core is a function. Its input is an event (`events.py`) and the monotonic time; its output is
the next state (`state.py`, one frozen value) and effects (`effects.py`). Every effect that has a
result carries an attempt number, and the result comes back as an event with that number; a number
nobody waits for changes nothing (S4).

One step has five parts, always in this order:

1. `detector.judge_self`: was I late myself? Then silence is counted anew (S6).
2. The event is taken in. Facts only: a frame, an answer, a wish of the operator.
3. `pair.advance`: what is known of the peer. Unheard, Alive, Suspect, Silent (a gate says no, by
   name), Fencing, Fenced, PoweringOn, Left. Only here is anybody shot, and only when
   `gates.fence_reasons` has nothing to say.
4. `groups.advance` for each group. Only here is anything started, and only with a grant (S2):
   the peer's promise to this very attempt, its farewell, or its proved death.
5. The heartbeat, if it is due or if our role changed: the peer learns of a change at once.

Decisions depend on what holds, not on how it came about: parts 3 and 4 look at the state, so a
lost or doubled event cannot lose a decision. A dangerous effect (a fence, a power-on, a start)
leaves alone, and only in a step of the clock: whatever else is due waits for the next one, which
comes at once.

The loop that drives this must hand over all queued input before it hands over `DeadlinePassed`:
then an agent that was frozen reads the heartbeats it slept through before it shoots or starts
anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from haagent.core import beat, detector, gates, groups, operator, pair, standing, stops, synced
from haagent.core.effects import Beat, GroupRecord, Manage, Record, StandBy, StartGroup, StopGroup
from haagent.core.events import (
    AwayAsked,
    ConfirmOffAsked,
    DeadlinePassed,
    Event,
    EvidenceGathered,
    FailoverAsked,
    FenceFinished,
    FenceReadied,
    GroupLost,
    GroupOrdered,
    GroupStarted,
    GroupStartFailed,
    GroupStopFailed,
    GroupStopped,
    LinkChanged,
    MaintenanceAsked,
    OffProved,
    PeerHeard,
    Persisted,
    PersistFailed,
    PositionRead,
    PowerOnFinished,
    ReachChanged,
    Reconfigured,
    StandbyRead,
    StopAsked,
    SwitchoverAsked,
    SyncRead,
    VipProbed,
    VipProbeFailed,
)
from haagent.core.phases import (
    Active,
    Alive,
    Assessing,
    GroupPhase,
    PairPhase,
    PoweringOn,
    Releasing,
    Starting,
    Stuck,
    Suspect,
    TakingOver,
    Unheard,
)
from haagent.core.reasons import Reason
from haagent.core.settings import PairSettings
from haagent.core.state import Group, LinkState, State, Step, Sync
from haagent.core.turn import Turn


def start(  # noqa: PLR0913 - all of it is needed, once, by keyword
    settings: PairSettings,
    *,
    incarnation: int,
    now_ns: int,
    record: Record,
    same_boot: bool,
    found: frozenset[int],
) -> Step:
    """The first state of an agent, and what it must do before anything else.

    Args:
        settings: The pair as this node sees it.
        incarnation: Random, never 0.
        now_ns: Monotonic.
        record: What the last agent on this node made durable; empty when nothing was found.
        same_boot: That agent ran since this machine was booted.
        found: Groups that certainly run here now; what only may run is stopped.

    Returns:
        Each group is either taken up (held by our own last agent, in this boot, and found
        running or frozen) or cleared of leftovers: a freshly booted node starts nothing (S5).
    """
    remembered = dict(record.groups)
    turn = Turn(
        State(
            settings=settings,
            incarnation=incarnation,
            now_ns=now_ns,
            beat_ns=now_ns,
            pair=_first_phase(record, now_ns, same_boot=same_boot),
            groups=(),
            links=tuple(LinkState() for _ in settings.links),
            quiet_from_ns=now_ns,
            stalled_at_ns=now_ns,
            wake_ns=now_ns,
            fences_ns=record.fences_ns if same_boot else (),
            orders=record.orders,
        ),
        now_ns,
        clock=True,
    )
    for index, group in enumerate(settings.groups):
        known = remembered.get(group.name, GroupRecord(0, held=False, held_term=0))
        phase: GroupPhase
        attempt = turn.attempt()
        frozen = group.name in turn.state.orders.frozen
        if same_boot and known.held and (index in found or frozen):
            # What runs here already is only completed, and of a frozen group nothing is started.
            phase = Starting(known.term, attempt, tries=1)
            turn.emit(StartGroup(index, attempt))
        else:
            phase = Assessing(attempt, now_ns + settings.timing.stop_budget_ns)
            turn.emit(StopGroup(index, attempt))
        resumed = isinstance(phase, Starting)
        entry = Group(
            group,
            phase,
            known.term,
            known.term if known.held else known.held_term,
            now_ns,
            peer_term=known.peer_term,
            peer_position=known.peer_position,
            sync=Sync(complete=resumed),
        )
        turn.set(groups=(*turn.state.groups, entry))
        if frozen:
            turn.emit(Manage(index, on=False))
        if group.name in turn.state.orders.stopped:
            turn.emit(StandBy(index, on=False))
    return Step(turn.state, tuple(turn.effects))


def _first_phase(record: Record, now_ns: int, *, same_boot: bool) -> PairPhase:
    """An agent that died with the peer off owes it its power; to one that is on it does nothing.

    After a boot of this node too, but then the order is of another clock: it allows no second
    shot, and makes nobody who is heard a liar.
    """
    if not record.owes_power:
        return Unheard(now_ns)
    fenced_ns = record.fences_ns[-1] if same_boot and record.fences_ns else None
    return PoweringOn(now_ns, fenced_ns, None, 0, now_ns)


def step(state: State, event: Event, now_ns: int) -> Step:
    """What the event makes of the state at that time; see the theory of operation above.

    Args:
        state: From start() or the step before.
        event: What happened.
        now_ns: Monotonic, never less than at the step before.

    Returns:
        The next state, and effects in the order in which they are to be begun.
    """
    if state.exited:
        return Step(state)
    turn = Turn(state, now_ns, clock=isinstance(event, DeadlinePassed))
    detector.judge_self(turn)
    _take(turn, event)
    pair.advance(turn)
    for index in range(len(state.groups)):
        groups.advance(turn, index)
        synced.advance(turn, index)
    operator.settle_switchovers(turn)
    operator.settle_stopping(turn)
    _beat(turn, state)
    if turn.state.exited:
        operator.exit_now(turn)
    return Step(turn.state, tuple(turn.effects))


def _take(turn: Turn, event: Event) -> None:
    """Facts only; what follows from them is decided afterwards."""
    match event:
        case PeerHeard():
            pair.peer_heard(turn, event)
        case DeadlinePassed():
            pass
        case LinkChanged():
            _link_changed(turn, event)
        case EvidenceGathered():
            gates.take_evidence(turn, event)
            operator.confirm_evidence(turn, event)
        case FenceFinished():
            pair.fence_finished(turn, event)
        case FenceReadied():
            turn.set(fence_ready=event.ready, fence_detail=event.detail)
        case PowerOnFinished():
            pair.power_on_finished(turn, event)
        case Persisted() | PersistFailed():
            _persist_answered(turn, event)
        case VipProbed() | VipProbeFailed() | GroupStarted() | GroupStartFailed():
            _start_answered(turn, event)
        case GroupStopped() | GroupStopFailed():
            _stop_answered(turn, event)
        case GroupLost():
            if isinstance(turn.group(event.group).phase, Active):
                groups.lost(turn, event.group, event.detail)
        case SwitchoverAsked():
            operator.switchover_asked(turn, event)
        case MaintenanceAsked():
            standing.maintenance_asked(turn, event)
        case ConfirmOffAsked():
            operator.confirm_off_asked(turn, event)
        case OffProved():
            operator.off_proved(turn, event)
        case AwayAsked() | GroupOrdered():
            standing.ordered(turn, event)
        case FailoverAsked():
            standing.failover_asked(turn, event)
        case PositionRead() | StandbyRead() | ReachChanged():
            _known_of_group(turn, event)
        case Reconfigured():
            _reconfigured(turn, event.settings)
        case SyncRead():
            synced.told(turn, event)
        case StopAsked():
            operator.stop_asked(turn, event)
        case _:
            assert_never(event)


def _known_of_group(turn: Turn, event: PositionRead | StandbyRead | ReachChanged) -> None:
    """Facts about a group that are no phase of it."""
    changed = list(turn.state.groups)
    group = changed[event.group]
    match event:
        case PositionRead():
            group = replace(group, position=event.position)
        case StandbyRead():
            group = replace(group, standby_ready=event.ready)
        case ReachChanged():
            group = replace(group, unreachable=not event.reachable, doubtful=event.doubtful)
        case _:
            assert_never(event)
    changed[event.group] = group
    turn.set(groups=tuple(changed))
    if isinstance(event, StandbyRead) and event.escaped:
        stops.escaped(turn, event.group)


def _reconfigured(turn: Turn, settings: PairSettings) -> None:
    """What was decided stands. The peer hears at once that we may differ from it now."""
    groups = zip(turn.state.groups, settings.groups, strict=True)
    renewed = tuple(replace(group, settings=new) for group, new in groups)
    turn.set(settings=settings, groups=renewed, beat_ns=turn.now_ns)


def _link_changed(turn: Turn, event: LinkChanged) -> None:
    links = list(turn.state.links)
    links[event.link] = LinkState(
        event.carrier, links[event.link].counter, links[event.link].heard_ns
    )
    cut_off = gates.without_carrier(turn.state.settings, links)
    since_ns = turn.now_ns if turn.state.cut_off_ns is None else turn.state.cut_off_ns
    turn.set(links=tuple(links), cut_off_ns=since_ns if cut_off else None)


def _persist_answered(turn: Turn, event: Persisted | PersistFailed) -> None:
    """Only a takeover waits for the disk; every other record is written in passing."""
    for index, group in enumerate(turn.state.groups):
        if not isinstance(group.phase, TakingOver) or group.phase.attempt != event.attempt:
            continue
        if isinstance(event, Persisted):
            groups.confirm(turn, index, persisted=True)
        else:
            groups.blocked(turn, index, Reason.NOT_DURABLE, event.detail)


def _start_answered(
    turn: Turn, event: VipProbed | VipProbeFailed | GroupStarted | GroupStartFailed
) -> None:
    phase = turn.group(event.group).phase
    probing = isinstance(event, VipProbed | VipProbeFailed)
    if not isinstance(phase, TakingOver if probing else Starting):
        return
    if phase.attempt != event.attempt:
        return  # S4
    match event:
        case VipProbed(answered=None):
            groups.confirm(turn, event.group, probed=True)
        case VipProbed(answered=answered):
            if pair.proved_by_device(turn.state, phase):
                turn.set(distrusted=True)
            groups.blocked(turn, event.group, Reason.VIP_ANSWERS, f"{answered} answers")
        case VipProbeFailed():
            groups.blocked(turn, event.group, Reason.VIP_NOT_PROBED, event.detail)
        case GroupStarted():
            groups.started(turn, event.group, phase.term)
        case GroupStartFailed():
            groups.hand_over_or_retry(turn, event.group, event.detail)
        case _:
            assert_never(event)


def _stop_answered(turn: Turn, event: GroupStopped | GroupStopFailed) -> None:
    phase = turn.group(event.group).phase
    if not isinstance(phase, Assessing | Releasing | Stuck) or phase.attempt != event.attempt:
        return  # S4
    if isinstance(event, GroupStopped):
        stops.stopped(turn, event.group)
    else:
        stops.stop_failed(turn, event.group)


def _beat(turn: Turn, before: State) -> None:
    """Regularly, and at once when the peer should know: roles and attempts travel in a beat."""
    news = turn.state.groups is not before.groups and _said(turn.state) != _said(before)
    if not news and turn.now_ns < turn.state.beat_ns:
        return
    interval_ns = turn.timing.interval_ns
    due_ns = turn.state.beat_ns + interval_ns
    regular = turn.now_ns >= turn.state.beat_ns and due_ns > turn.now_ns
    turn.set(beat_ns=due_ns if regular else turn.now_ns + interval_ns)
    turn.emit(Beat(beat.body(turn.state, turn.now_ns)))


def _said(state: State) -> list[tuple[GroupPhase, int, int, int]]:
    return [(g.phase, g.term, g.sync.word, g.sync.seen) for g in state.groups]


def deadline_ns(state: State) -> int | None:
    """When the core wants DeadlinePassed at the latest; None after it has exited.

    Silence is judged to the nanosecond; everything slower is looked at with each heartbeat.
    """
    if state.exited:
        return None
    deadlines = [state.beat_ns]
    if state.wake_ns is not None:
        deadlines.append(state.wake_ns)
    if state.view is not None and state.now_ns >= state.pause_until_ns:
        heard_ns = max(state.view.heard_ns, state.quiet_from_ns)
        if isinstance(state.pair, Alive):
            deadlines.append(heard_ns + state.settings.timing.suspect_after_ns)
        elif isinstance(state.pair, Suspect):
            deadlines.append(heard_ns + state.settings.timing.dead_after_ns)
    return min(deadlines)
