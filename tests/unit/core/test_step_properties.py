# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for any events in any order at any time, not only for those that make sense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from core.alphabet import (
    PAIR_LETTERS,
    Happening,
    facts,
    group_letters,
    run,
    settle,
    stale_answers_change_nothing,
)
from core.harness import HASH, MINE, THEIRS, Bench, pair_settings, standby, taking_over
from fencing import FenceOutcome
from haagent.core import events
from haagent.core.events import DeadlinePassed, Event, PeerHeard, StopKind
from haagent.core.settings import S, Timing
from haagent.core.state import State
from haagent.core.step import deadline_ns
from haagent.core.wire import Body, Frame, GroupReport, LinkReport, Role

PAIR = ("web", "mail")
BEGINNINGS: list[Callable[[], Bench]] = [
    lambda: Bench(me=0, groups=PAIR),
    lambda: Bench(me=1, groups=PAIR),
    lambda: standby(groups=PAIR),
    lambda: taking_over(groups=PAIR),
]
LETTERS: list[Happening] = PAIR_LETTERS + group_letters(0) + group_letters(1)

# Anything an edge could ever hand over: right types, any values within the wire's and the
# configuration's limits. Small numbers, so that they often meet.
SMALL = st.integers(0, 8)
INCARNATIONS = st.sampled_from([THEIRS, THEIRS + 1, THEIRS + 2])
REPORTS = st.builds(
    GroupReport,
    name=st.sampled_from(["web", "mail", "other"]),
    role=st.sampled_from(Role),
    promotable=st.booleans(),
    reason=st.integers(0, 255),
    term=SMALL,
    held_term=SMALL,
    attempt=SMALL,
    attempt_term=SMALL,
    attempt_incarnation=st.sampled_from([0, MINE, THEIRS]),
    switchover=st.booleans(),
)
BODIES = st.builds(
    Body,
    echo=st.sampled_from([0, MINE]),
    stall_ms=SMALL,
    leaving=st.booleans(),
    fence_me=st.booleans(),
    pausing_ms=st.sampled_from([0, 0, 500, 2**32 - 1]),
    maintenance=st.booleans(),
    away=st.tuples(st.booleans(), st.booleans()),
    orders_version=SMALL,
    host_identity=st.just(bytes(16)),
    configuration_hash=st.sampled_from([HASH, HASH, b"x" * 16]),
    links=st.lists(st.builds(LinkReport, SMALL, st.integers(0, 0xFFFF)), max_size=2).map(tuple),
    groups=st.lists(REPORTS, max_size=3).map(tuple),
)


SETTINGS = st.builds(
    lambda timing, **of_groups: pair_settings(groups=PAIR, timing=timing, **of_groups),
    st.builds(Timing, dead_after_ns=st.sampled_from([S, 9 * S]), stop_budget_ns=st.just(3 * S)),
    preferred=st.integers(0, 1),
    max_lag=st.sampled_from([None, 0, 5]),
    failback_after_ns=st.sampled_from([None, S]),
)
ATTEMPTS = st.integers(0, 20)
GROUPS = st.integers(0, 1)
LINKS, WORDS, FLAGS = st.integers(0, 1), st.just("x"), st.booleans()
FRAMES = st.builds(Frame, st.just(0), LINKS, INCARNATIONS, st.integers(0, 40), BODIES)
ANSWERED = st.sampled_from([None, "02:00:00:00:00:01"])
ANYTHING: st.SearchStrategy[Event] = st.one_of(
    st.builds(PeerHeard, LINKS, st.integers(0, 10 * S), FRAMES),
    st.just(DeadlinePassed()),
    st.sampled_from(facts()),
    st.builds(events.EvidenceGathered, ATTEMPTS, FLAGS, FLAGS, FLAGS),
    st.builds(events.FenceFinished, ATTEMPTS, st.sampled_from(FenceOutcome), WORDS),
    st.builds(events.PowerOnFinished, ATTEMPTS, FLAGS, WORDS),
    st.builds(events.Persisted, ATTEMPTS),
    st.builds(events.PersistFailed, ATTEMPTS, WORDS),
    st.builds(events.VipProbed, GROUPS, ATTEMPTS, ANSWERED),
    st.builds(events.VipProbeFailed, GROUPS, ATTEMPTS, WORDS),
    st.builds(events.GroupStarted, GROUPS, ATTEMPTS),
    st.builds(events.GroupStartFailed, GROUPS, ATTEMPTS, WORDS),
    st.builds(events.GroupStopped, GROUPS, ATTEMPTS),
    st.builds(events.GroupStopFailed, GROUPS, ATTEMPTS, WORDS),
    st.builds(events.GroupLost, GROUPS, WORDS),
    st.builds(events.SwitchoverAsked, SMALL, st.one_of(st.none(), GROUPS)),
    st.builds(events.MaintenanceAsked, SMALL, FLAGS),
    st.builds(events.ConfirmOffAsked, SMALL, FLAGS),
    st.builds(events.AwayAsked, SMALL, st.integers(0, 1), FLAGS),
    st.builds(
        events.GroupOrdered,
        SMALL,
        st.just(0),
        st.sampled_from(["stop", "start", "freeze", "unfreeze"]),
    ),
    st.builds(events.FailoverAsked, SMALL, st.sampled_from([None, 0])),
    st.builds(events.PositionRead, st.just(0), st.integers(-1, 100)),
    st.builds(events.ReachChanged, st.just(0), FLAGS, FLAGS),
    st.builds(events.StandbyRead, st.just(0), FLAGS, FLAGS),
    st.builds(events.OffProved, SMALL, st.integers(0, 3600 * S)),
    st.builds(events.Reconfigured, SETTINGS),
    st.builds(events.StopAsked, st.sampled_from(StopKind)),
)
"""Any event at all, for two groups; a frame's time of arrival is drawn as its age."""
PASSED_NS = st.sampled_from([0, 1, S // 10, S // 3, S, 7 * S, 3600 * S])


def bound(event: Event, state: State, now_ns: int) -> Event:
    """The event as it would reach that state: frames are the peer's, and not from the future."""
    if isinstance(event, events.Reconfigured):
        return replace(event, settings=replace(event.settings, me=state.settings.me))
    if not isinstance(event, PeerHeard):
        return event
    frame = replace(event.frame, sender=1 - state.settings.me)
    return replace(event, frame=frame, heard_ns=max(0, now_ns - event.heard_ns))


@settings(max_examples=400)
@given(
    st.sampled_from(BEGINNINGS), st.lists(st.tuples(ANYTHING, PASSED_NS), min_size=1, max_size=25)
)
def test_any_events(beginning: Callable[[], Bench], happened: list[tuple[Event, int]]) -> None:
    """Step never raises, keeps the safety rules and then sleeps, for any events at any times."""
    state = beginning().state
    for event, passed_ns in happened:
        now_ns = state.now_ns + passed_ns
        for _, _, done in settle(state, bound(event, state, now_ns), now_ns):
            state = done.state


@settings(max_examples=150)
@given(
    st.sampled_from(BEGINNINGS), st.lists(st.sampled_from(LETTERS), max_size=40), st.integers(0, 99)
)
def test_long_ways(beginning: Callable[[], Bench], letters: list[Happening], old: int) -> None:
    """S1 to S10 on long ways that make sense; and S4 at their end: stale answers change nothing."""
    state = beginning().state
    given_before = state.last_attempt
    for letter in letters:
        state, _ = run(state, letter)
    waited_for = {getattr(group.phase, "attempt", None) for group in state.groups}
    asked = (state.pair, state.evidence, state.confirming)
    waited_for |= {getattr(something, "attempt", None) for something in asked}
    attempt = min(old, given_before)
    if attempt not in waited_for:
        stale_answers_change_nothing(state, attempt)


@given(st.lists(st.sampled_from(LETTERS), max_size=20))
def test_same_input_same_output(letters: list[Happening]) -> None:
    """The core is a function: the same events at the same times give the same effects."""
    runs = []
    for _ in range(2):
        state, effects = standby(groups=PAIR).state, []
        for letter in letters:
            state, asked = run(state, letter)
            effects.append(asked)
        runs.append((state, effects))
    assert runs[0] == runs[1]


@given(st.lists(st.sampled_from(LETTERS), max_size=20))
def test_never_later_than_the_next_heartbeat(letters: list[Happening]) -> None:
    """The published deadline is never further away than one interval: the peer hears from us."""
    state = standby(groups=PAIR).state
    for letter in letters:
        state, _ = run(state, letter)
        wanted_ns = deadline_ns(state)
        assert state.exited == (wanted_ns is None)
        if wanted_ns is not None:
            assert wanted_ns <= state.now_ns + state.settings.timing.interval_ns
