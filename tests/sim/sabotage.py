# SPDX-License-Identifier: GPL-2.0-or-later
"""Broken cores: each breaks one rule, inside a with block, to prove that its checker can fire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fencing import FenceOutcome
from haagent import feeding
from haagent.core import detector, gates, groups, moves, pair, synced
from haagent.core import step as core
from haagent.core.effects import DANGEROUS
from haagent.core.events import (
    Consent,
    Event,
    FenceFinished,
    GroupStarted,
    GroupStopFailed,
    GroupStopped,
    Persisted,
    VipProbed,
)
from haagent.core.phases import Fenced, Fencing, Grant, TakingOver, Unheard, Wanting
from haagent.core.reasons import Reason
from haagent.core.settings import S
from haagent.core.state import Group, State, Step
from haagent.core.turn import Turn
from haagent.core.wire import Frame
from haagent.feeding import FeedingRight
from haagent.resources.health import Health, Nothing

from . import service, witness
from .situations import (
    active_goes_dumb,
    clock_first,
    database_dies_first,
    dead_power,
    late_loops,
    lock_lost_in_a_fence,
    nobody_can_shoot,
    nothing_starts,
    one_silence,
    shaky_clients,
    stale_record,
)
from .world import World


@contextmanager
def _patched(module: Any, name: str, put: Any) -> Iterator[None]:
    """One function of one module is another one, for a while."""
    kept = getattr(module, name)
    setattr(module, name, put)
    try:
        yield
    finally:
        setattr(module, name, kept)


@contextmanager
def believes_unknown() -> Iterator[None]:
    """S3 broken: a fence that proves nothing counts as proof."""
    right = core.step

    def step(state: State, event: Event, now_ns: int) -> Step:
        if isinstance(event, FenceFinished) and event.outcome is FenceOutcome.UNKNOWN:
            event = replace(event, outcome=FenceOutcome.CONFIRMED_OFF)
        return right(state, event, now_ns)

    with _patched(core, "step", step):
        yield


@contextmanager
def skips_the_join() -> Iterator[None]:
    """S5 broken: starts although the peer was never heard."""
    right = groups.off_or_gone

    def off_or_gone(state: State) -> Grant | None:
        return Grant.LEFT if isinstance(state.pair, Unheard) else right(state)

    with _patched(groups, "off_or_gone", off_or_gone):
        yield


@contextmanager
def no_judging_itself() -> Iterator[None]:
    """S6 broken in the core; the test lets the loop look at the clock first as well."""

    def judge_self(turn: Turn) -> None:
        turn.set(now_ns=turn.now_ns, wake_ns=None)

    with _patched(detector, "judge_self", judge_self):
        yield


@contextmanager
def ignores_attempts() -> Iterator[None]:
    """S4 broken: every answer is taken for the one that is waited for."""
    right = core.step

    def step(state: State, event: Event, now_ns: int) -> Step:
        if isinstance(event, FenceFinished) and isinstance(state.pair, Fencing):
            event = replace(event, attempt=state.pair.attempt)
        elif isinstance(event, GroupStarted | GroupStopped | VipProbed):
            waited = getattr(state.groups[event.group].phase, "attempt", None)
            event = replace(event, attempt=waited or event.attempt)
        elif isinstance(event, Persisted):
            for group in state.groups:
                if isinstance(group.phase, TakingOver):
                    event = replace(event, attempt=group.phase.attempt)
        return right(state, event, now_ns)

    with _patched(core, "step", step):
        yield


@contextmanager
def needs_no_promise() -> Iterator[None]:
    """S2 broken: starts as soon as it has asked, whatever the peer answers."""
    right = groups._wanting

    def wanting(turn: Turn, index: int, phase: Wanting) -> None:
        if groups.report(turn.state, index) is not None:
            groups.take_over(turn, index, Grant.YIELDED, phase.term)
        else:
            right(turn, index, phase)

    with _patched(groups, "_wanting", wanting):
        yield


@contextmanager
def shoots_for_nothing() -> Iterator[None]:
    """S9 broken: an active shoots a silent standby."""

    def gainable(_state: State, _group: Group) -> bool:
        return True

    with _patched(gates, "gainable", gainable):
        yield


@contextmanager
def shoots_at_once() -> Iterator[None]:
    """S9 broken: the second node does not let the first one shoot first."""

    def both_gain(_state: State) -> bool:
        return False

    with _patched(gates, "_both_gain", both_gain):
        yield


@contextmanager
def asks_no_witness() -> Iterator[None]:
    """S2 e broken: shoots whatever the witnesses say."""

    def witness_reasons(_settings: Any, _consent: Any) -> list[Reason]:
        return []

    with _patched(gates, "_witness_reasons", witness_reasons):
        yield


@contextmanager
def shoots_on_after_a_refusal() -> Iterator[None]:
    """S2 e broken: a fence once begun is nobody's business any more."""

    def fencing(_turn: Turn, _phase: Fencing) -> None:
        pass

    with _patched(pair, "_fencing", fencing):
        yield


@contextmanager
def lock_for_everybody() -> Iterator[None]:
    """S9 broken: the witnesses choose both nodes."""
    right = witness.Witness.claim

    def claim(this: witness.Witness, agent: Any) -> Consent:
        reached = this.reached_by(agent) and this.plan.chooses and not this.plan.ignored
        return Consent.WON if reached else right(this, agent)

    with _patched(witness.Witness, "claim", claim):
        yield


@contextmanager
def shoots_without_end() -> Iterator[None]:
    """S10 broken: forgets what it has shot."""

    def recent(_state: State, _now_ns: int) -> tuple[int, ...]:
        return ()

    with _patched(gates, "recent_fences", recent):
        yield


@contextmanager
def shoots_unasked() -> Iterator[None]:
    """S7 broken: takes every frame for a request to be fenced."""
    right = pair._alive

    def alive(turn: Turn, phase: Any) -> None:
        view = turn.state.view
        assert view is not None
        turn.set(view=replace(view, body=replace(view.body, fence_me=True)))
        right(turn, phase)

    with _patched(pair, "_alive", alive):
        yield


@contextmanager
def strikes_twice() -> Iterator[None]:
    """A step may have several dangerous effects."""
    with _patched(Turn, "may_strike", property(lambda _turn: True)):
        yield


@contextmanager
def strikes_before_reading() -> Iterator[None]:
    """S6 broken: any event may strike, also while frames lie unread."""

    def may_strike(turn: Turn) -> bool:
        if not any(isinstance(effect, DANGEROUS) for effect in turn.effects):
            return True
        turn.set(wake_ns=turn.now_ns)
        return False

    with _patched(Turn, "may_strike", property(may_strike)):
        yield


@contextmanager
def starts_before_the_disk() -> Iterator[None]:
    """The term need not be durable."""
    right = groups._taking_over

    def taking_over(turn: Turn, index: int, phase: TakingOver) -> None:
        right(turn, index, replace(phase, persisted=True))

    with _patched(groups, "_taking_over", taking_over):
        yield


@contextmanager
def repeats_terms() -> Iterator[None]:
    """Every holding has the same term."""

    def next_term(_turn: Turn, _index: int) -> int:
        return 1

    with _patched(groups, "_next_term", next_term):
        yield


@contextmanager
def powers_on_too_early() -> Iterator[None]:
    """The peer gets its power back before the takeover was settled."""
    right = pair._fenced

    def fenced(turn: Turn, phase: Fenced) -> None:
        busy = any(isinstance(group.phase, TakingOver) for group in turn.state.groups)
        if not busy or not turn.may_strike:
            right(turn, phase)
            return
        pair._power_on(turn, phase.since_ns, 0)

    with _patched(pair, "_fenced", fenced):
        yield


@contextmanager
def believes_failed_stops() -> Iterator[None]:
    """S7 broken: a group whose stop failed counts as stopped."""
    right = core.step

    def step(state: State, event: Event, now_ns: int) -> Step:
        if isinstance(event, GroupStopFailed):
            event = GroupStopped(event.group, event.attempt)
        return right(state, event, now_ns)

    with _patched(core, "step", step):
        yield


@contextmanager
def takes_up_what_may_run() -> Iterator[None]:
    """ADR 0003 broken: monitors are believed when they say that a group runs here already."""

    def found(this: service.Service) -> bool:
        return this._may_run(0) > 0

    with _patched(service.Service, "found", found):
        yield


@contextmanager
def ignores_configurations() -> Iterator[None]:
    """Shoots whatever configuration the peer runs."""

    def configuration_agrees(_state: State) -> bool:
        return True

    with _patched(gates, "configuration_agrees", configuration_agrees):
        yield


@contextmanager
def moves_without_end() -> Iterator[None]:
    """A group is moved however often it has been moved already."""

    def restless(_group: Group, _now_ns: int) -> bool:
        return False

    with _patched(moves, "restless", restless):
        yield


@contextmanager
def trusts_the_unknown() -> Iterator[None]:
    """Holds data to what the peer said last, and to nothing if that was "unknown"."""

    def too_old(state: State, group: Group) -> bool:
        limit, theirs = group.settings.max_lag, state.view and state.view.group(group.settings.name)
        if limit is None or not theirs or theirs.position < 0:
            return False
        return theirs.position - group.position > limit

    with _patched(gates, "too_old", too_old):
        yield


@contextmanager
def forgets_the_frozen() -> Iterator[None]:
    """Decides as if no group were frozen."""
    right = core.step

    def step(state: State, event: Event, now_ns: int) -> Step:
        thawed = replace(state.orders, frozen=frozenset())
        done = right(replace(state, orders=thawed), event, now_ns)
        if done.state.orders == thawed:
            done = replace(done, state=replace(done.state, orders=state.orders))
        return done

    with _patched(core, "step", step):
        yield


@contextmanager
def bears_losses() -> Iterator[None]:
    """A group that was lost here stays here, as it is."""

    def lost(_turn: Turn, _index: int, _detail: str) -> None:
        pass

    with _patched(groups, "lost", lost):
        yield


@contextmanager
def mends_nothing() -> Iterator[None]:
    """What the monitors say leads to nothing."""

    def judge(health: Health, *_: Any) -> tuple[Health, Nothing]:
        return health, Nothing()

    with _patched(service, "judge", judge):
        yield


@contextmanager
def starts_nothing() -> Iterator[None]:
    """Nobody goes first at a joint start: no service, for ever."""

    def goes_first(_state: State, _group: Group, _theirs: Any) -> bool:
        return False

    with _patched(groups, "goes_first", goes_first):
        yield


@contextmanager
def never_sleeps() -> Iterator[None]:
    """The deadline is always over."""

    def deadline_ns(state: State) -> int | None:
        return None if state.exited else state.now_ns

    with _patched(core, "deadline_ns", deadline_ns):
        yield


@contextmanager
def commits_alone_unproved() -> Iterator[None]:
    """S11 broken: commits go on alone as soon as the peer gets none, whatever it was told."""
    right = synced.advance

    def advance(turn: Turn, index: int) -> None:
        sync = turn.group(index).sync
        turn.change(index, sync=replace(sync, stale=True))
        right(turn, index)

    with _patched(synced, "advance", advance):
        yield


@contextmanager
def believes_old_answers() -> Iterator[None]:
    """S11 broken: any word of the standby's counts, also one to an earlier number (S4)."""

    def disowned(state: State, group: Group) -> bool:
        theirs = state.view.group(group.settings.name) if state.view else None
        return theirs is not None and not theirs.complete

    with _patched(synced, "_disowned", disowned):
        yield


@contextmanager
def forgets_what_it_lacks() -> Iterator[None]:
    """S11 broken: a standby takes over whether or not it was told that it is complete."""

    def lacks(_state: State, _group: Group) -> bool:
        return False

    with _patched(gates, "lacks", lacks):
        yield


@contextmanager
def feeds_on() -> Iterator[None]:
    """S2 e broken: the watchdog is fed with or without a right to."""

    def lasts(_right: FeedingRight, _now_ns: int) -> bool:
        return True

    with _patched(FeedingRight, "lasts", lasts):
        yield


@contextmanager
def takes_hearing_for_being_heard() -> Iterator[None]:
    """S2 e broken: a frame of the peer gives the right to feed, whatever it says that it heard."""

    def heard(right: FeedingRight, _frame: Frame) -> None:
        if right._sent:
            right.agreed(right._sent[-1][1])

    with _patched(FeedingRight, "heard", heard):
        yield


@contextmanager
def waits_too_short() -> Iterator[None]:
    """S2 e broken: the peer's watchdog is given its bare timeout."""
    with _patched(feeding, "outwait_ns", lambda _unfed_s: 2 * S):
        yield


@dataclass(frozen=True, slots=True)
class Sabotage:
    """A break, and the first word of the checker that must see it."""

    breaks: Callable[[], Any]
    checker: str
    only: tuple[str, ...]
    """The faults in whose presence the break does harm."""
    prepares: Callable[[World], None] | None = None
    faults_ns: int | None = None
    unfed: bool = False
    """Only histories in which the watchdogs are the last fence level."""


SABOTAGES = (
    Sabotage(believes_unknown, "S1", ("bmc_does_nothing", "partition")),
    Sabotage(skips_the_join, "S1", ("partition", "isolated")),
    Sabotage(no_judging_itself, "justified", ("stop_process",), clock_first, 60 * S),
    Sabotage(ignores_attempts, "durable", ("disk_slow", "disk_full", "switchover")),
    Sabotage(needs_no_promise, "S1", ("switchover", "lan_split")),
    Sabotage(shoots_for_nothing, "S9", ("partition",)),
    Sabotage(shoots_at_once, "S9: both", ("duplicate",), one_silence, 24 * S),
    Sabotage(asks_no_witness, "witness", ("witness_lost", "partition", "power_loss")),
    Sabotage(shoots_on_after_a_refusal, "consent", ("duplicate",), lock_lost_in_a_fence, 60 * S),
    Sabotage(lock_for_everybody, "S9: both", ("duplicate",), one_silence, 24 * S),
    Sabotage(feeds_on, "S1", ("duplicate",), nobody_can_shoot, 48 * S, unfed=True),
    Sabotage(waits_too_short, "S1", ("duplicate",), nobody_can_shoot, 48 * S, unfed=True),
    Sabotage(
        takes_hearing_for_being_heard, "S1", ("duplicate",), active_goes_dumb, 48 * S, unfed=True
    ),
    Sabotage(shoots_without_end, "S10", ("kill",), dead_power, 80 * S),
    Sabotage(shoots_unasked, "justified", ("kill",)),
    Sabotage(strikes_twice, "one dangerous", ("power_loss",), nothing_starts, 20 * S),
    Sabotage(strikes_before_reading, "justified", ("duplicate",), late_loops, 60 * S),
    Sabotage(starts_before_the_disk, "durable", ("disk_slow",)),
    Sabotage(repeats_terms, "terms", ("switchover", "power_loss")),
    Sabotage(powers_on_too_early, "power on", ("power_loss", "partition")),
    Sabotage(believes_failed_stops, "S1", ("stop_fails", "switchover")),
    Sabotage(takes_up_what_may_run, "S1", ("duplicate",), stale_record, 30 * S),
    Sabotage(ignores_configurations, "configuration", ("reload", "partition")),
    Sabotage(moves_without_end, "moves", ("duplicate",), shaky_clients, 80 * S),
    Sabotage(trusts_the_unknown, "data", ("duplicate",), database_dies_first, 40 * S),
    Sabotage(commits_alone_unproved, "S11", ("partition", "replication_broken", "power_loss")),
    Sabotage(believes_old_answers, "S11", ("partition", "replication_broken", "one_way", "delay")),
    Sabotage(forgets_what_it_lacks, "S11", ("replication_broken", "power_loss")),
    Sabotage(forgets_the_frozen, "frozen", ("order_group", "group_lost", "clients_lost")),
    Sabotage(bears_losses, "liveness: group", ("group_lost",)),
    Sabotage(mends_nothing, "liveness: group", ("resource_dies",)),
    Sabotage(starts_nothing, "liveness", ("kill",)),
    Sabotage(never_sleeps, "spin", ("kill",)),
)
