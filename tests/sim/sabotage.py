# SPDX-License-Identifier: GPL-2.0-or-later
"""Broken cores: each breaks one rule, inside a with block, to prove that its checker can fire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fencing import FenceOutcome
from haagent.core import detector, gates, groups, pair
from haagent.core import step as core
from haagent.core.effects import DANGEROUS
from haagent.core.events import (
    Event,
    FenceFinished,
    GroupStarted,
    GroupStopped,
    Persisted,
    VipProbed,
)
from haagent.core.phases import Fenced, Fencing, Grant, TakingOver, Unheard, Wanting
from haagent.core.settings import S
from haagent.core.state import Group, State, Step
from haagent.core.turn import Turn

from .patching import patched
from .sabotage_consent import (
    asks_no_witness,
    feeds_on,
    lock_for_everybody,
    shoots_on_after_a_refusal,
    takes_hearing_for_being_heard,
    waits_too_short,
)
from .sabotage_data import (
    believes_old_answers,
    commits_alone_unproved,
    forgets_what_it_lacks,
)
from .sabotage_groups import (
    bears_losses,
    believes_failed_stops,
    forgets_the_frozen,
    mends_nothing,
    moves_without_end,
    starts_nothing,
    takes_up_what_may_run,
    trusts_the_unknown,
)
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
def believes_unknown() -> Iterator[None]:
    """S3 broken: a fence that proves nothing counts as proof."""
    right = core.step

    def step(state: State, event: Event, now_ns: int) -> Step:
        if isinstance(event, FenceFinished) and event.outcome is FenceOutcome.UNKNOWN:
            event = replace(event, outcome=FenceOutcome.CONFIRMED_OFF)
        return right(state, event, now_ns)

    with patched(core, "step", step):
        yield


@contextmanager
def skips_the_join() -> Iterator[None]:
    """S5 broken: starts although the peer was never heard."""
    right = groups.off_or_gone

    def off_or_gone(state: State) -> Grant | None:
        return Grant.LEFT if isinstance(state.pair, Unheard) else right(state)

    with patched(groups, "off_or_gone", off_or_gone):
        yield


@contextmanager
def no_judging_itself() -> Iterator[None]:
    """S6 broken in the core; the test lets the loop look at the clock first as well."""

    def judge_self(turn: Turn) -> None:
        turn.set(now_ns=turn.now_ns, wake_ns=None)

    with patched(detector, "judge_self", judge_self):
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

    with patched(core, "step", step):
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

    with patched(groups, "_wanting", wanting):
        yield


@contextmanager
def shoots_for_nothing() -> Iterator[None]:
    """S9 broken: an active shoots a silent standby."""

    def gainable(_state: State, _group: Group) -> bool:
        return True

    with patched(gates, "gainable", gainable):
        yield


@contextmanager
def shoots_at_once() -> Iterator[None]:
    """S9 broken: the second node does not let the first one shoot first."""

    def both_gain(_state: State) -> bool:
        return False

    with patched(gates, "_both_gain", both_gain):
        yield


@contextmanager
def shoots_without_end() -> Iterator[None]:
    """S10 broken: forgets what it has shot."""

    def recent(_state: State, _now_ns: int) -> tuple[int, ...]:
        return ()

    with patched(gates, "recent_fences", recent):
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

    with patched(pair, "_alive", alive):
        yield


@contextmanager
def strikes_twice() -> Iterator[None]:
    """A step may have several dangerous effects."""
    with patched(Turn, "may_strike", property(lambda _turn: True)):
        yield


@contextmanager
def strikes_before_reading() -> Iterator[None]:
    """S6 broken: any event may strike, also while frames lie unread."""

    def may_strike(turn: Turn) -> bool:
        if not any(isinstance(effect, DANGEROUS) for effect in turn.effects):
            return True
        turn.set(wake_ns=turn.now_ns)
        return False

    with patched(Turn, "may_strike", property(may_strike)):
        yield


@contextmanager
def starts_before_the_disk() -> Iterator[None]:
    """The term need not be durable."""
    right = groups._taking_over

    def taking_over(turn: Turn, index: int, phase: TakingOver) -> None:
        right(turn, index, replace(phase, persisted=True))

    with patched(groups, "_taking_over", taking_over):
        yield


@contextmanager
def repeats_terms() -> Iterator[None]:
    """Every holding has the same term."""

    def next_term(_turn: Turn, _index: int) -> int:
        return 1

    with patched(groups, "_next_term", next_term):
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

    with patched(pair, "_fenced", fenced):
        yield


@contextmanager
def ignores_configurations() -> Iterator[None]:
    """Shoots whatever configuration the peer runs."""

    def configuration_agrees(_state: State) -> bool:
        return True

    with patched(gates, "configuration_agrees", configuration_agrees):
        yield


@contextmanager
def never_sleeps() -> Iterator[None]:
    """The deadline is always over."""

    def deadline_ns(state: State) -> int | None:
        return None if state.exited else state.now_ns

    with patched(core, "deadline_ns", deadline_ns):
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
