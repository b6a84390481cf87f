# SPDX-License-Identifier: GPL-2.0-or-later
"""Every state within a few events of the important ones, and everything that can happen there.

The search is breadth first over real states. States are merged when they differ in nothing but
absolute times, counters and attempt numbers. That an answer to a question that is not open changes
nothing is checked in each of them, and the search goes on without it. What it finds is
`tests/transitions.txt`: for each phase of the pair and of the group, what an event makes of them
and what is asked for. A change of the core that changes the table shows up there as a diff
(`pytest --update` rewrites it).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path

import pytest

from core.alphabet import (
    NEVER,
    PAIR_LETTERS,
    Happening,
    group_letters,
    run,
    stale_answers_change_nothing,
)
from core.harness import Bench, active, fencing, says, standby, taking_over
from fencing import FenceOutcome
from haagent.core.detector import silence_ns
from haagent.core.effects import Beat, Effect, Reply
from haagent.core.events import Consent, Persisted
from haagent.core.gates import EVIDENCE_OLD_NS, recent_fences
from haagent.core.phases import (
    START_TRIES,
    Active,
    Alive,
    Blocked,
    Fencing,
    GroupPhase,
    PairPhase,
    Releasing,
    Silent,
    Standby,
    Starting,
    Suspect,
    TakingOver,
    Wanting,
)
from haagent.core.settings import MS, S, Timing
from haagent.core.state import State
from haagent.core.wire import Role

TABLE = Path(__file__).parents[2] / "transitions.txt"
DEPTH = 6
DEPTH_TWO_GROUPS = 3
STATES_MIN = 1000
"""A search that finds fewer than this is not searching."""
SEARCH_LIMIT_S = 1200
"""A million letters are nothing but computing: minutes of a processor, and CI's is shared."""
LONE = Timing(lone_start_after_ns=5 * S)


def roots() -> list[State]:
    """Where the search begins: a boot, and the phases that are many events away from it."""
    return [
        Bench(me=0).state,
        Bench(me=1, timing=LONE).state,
        standby().state,
        standby(says(Role.STANDBY), me=0).state,
        active().state,
        fencing().state,
        witnessed_fencing(),
        taking_over().state,
        shot_thrice(),
    ]


def shot_thrice() -> State:
    """Three power-offs were ordered and none was confirmed: the window is full (S10)."""
    bench = fencing()
    bench.state = replace(bench.state, fences_ns=bench.state.fences_ns * 3)
    bench.finish_fence(FenceOutcome.UNKNOWN)
    return bench.state


def witnessed_fencing() -> State:
    """The witnesses chose this node, and the power-off is ordered."""
    bench = standby(witnessed=True)
    bench.pass_time(450 * MS)
    bench.answer_evidence(consent=Consent.WON)
    bench.pass_time(600 * MS)
    bench.in_pair(Fencing)
    return bench.state


def both_retry(groups: tuple[str, str]) -> State:
    """Both groups were taken over, and neither could be started: two tries will be due at once."""
    bench = taking_over(groups=groups)
    for index in (0, 1):
        bench.feed(Persisted(bench.in_group(TakingOver, index).attempt))
        bench.probed(index=index)
    for index in (0, 1):
        bench.does_not_start(index)
    return bench.state


def abstract(state: State) -> Hashable:
    """What is left of a state without times, counters, attempts, and what its phases do not ask."""
    now_ns, timing = state.now_ns, state.settings.timing
    return (
        (state.settings.me, state.settings.witnessed),
        timing.lone_start_after_ns,
        _pair(state.pair, now_ns),
        tuple(_group(group.phase, now_ns) for group in state.groups),
        _hearing(state),
        (state.distrusted, replace(state.orders, version=0), state.stopping, state.exited),
        tuple(group.unreachable for group in state.groups),
        len(recent_fences(state, now_ns)) >= timing.max_fences,
    )


def _hearing(state: State) -> Hashable:
    """Of a living peer what it says; of a silent one for how long, and what was found out."""
    timing, view = state.settings.timing, state.view
    silent_ns = silence_ns(state, state.now_ns)
    silence = (silent_ns >= timing.suspect_after_ns) + (silent_ns >= timing.dead_after_ns)
    match state.pair:
        case Alive() if view is not None:
            body = view.body
            return silence, body.fence_me, tuple(report.role for report in body.groups)
        case Suspect() | Silent():
            answered_ns = state.evidence.answered_ns if state.evidence else None
            known = answered_ns is not None and state.now_ns - answered_ns < EVIDENCE_OLD_NS
            return silence, known
        case _:
            return None


def _pair(phase: PairPhase, now_ns: int) -> Hashable:
    """The phase with its reasons, and whether it waits for a time to come."""
    return (
        type(phase).__name__,
        getattr(phase, "cause", None),
        getattr(phase, "proof", None),
        getattr(phase, "fenced_ns", None) is not None,
        getattr(phase, "attempt", 0) is None,
        max(getattr(phase, "retry_ns", 0), getattr(phase, "fence_retry_ns", 0)) > now_ns,
    )


def _group(phase: GroupPhase, now_ns: int) -> Hashable:
    match phase:
        case Standby():
            more: Hashable = phase.handed_over_until_ns > now_ns
        case Wanting():
            more = phase.switchover
        case TakingOver():
            more = (phase.grant, phase.persisted, phase.probed)
        case Starting():
            more = (phase.attempt is None, phase.retry_ns > now_ns, phase.tries >= START_TRIES)
        case Releasing():
            more = phase.reason
        case Blocked():
            more = phase.retry_ns > now_ns
        case _:
            more = None
    return type(phase).__name__, more


class Search:
    """Breadth first: every letter in every state that is new."""

    def __init__(self, letters: list[Happening], visit: Callable[[State], None]) -> None:
        self.letters = letters
        self.visit = visit
        self.transitions: set[tuple[str, str, str, str]] = set()
        self.seen: set[Hashable] = set()
        self.taken = 0

    def explore(self, states: list[State], depth: int) -> None:
        """Visit everything within that many letters of the states."""
        frontier = [state for state in states if self._is_new(state)]
        for _ in range(depth):
            following = []
            for state in frontier:
                self.visit(state)
                for letter in self.letters:
                    if not letter.is_awaited(state):
                        continue  # The visit has seen that it changes nothing.
                    after, effects = run(state, letter)
                    self.taken += 1
                    self._note(state, letter.name, after, effects)
                    if self._is_new(after) and not after.exited:
                        following.append(after)
            frontier = following

    def _is_new(self, state: State) -> bool:
        key = abstract(state)
        if key in self.seen:
            return False
        self.seen.add(key)
        return True

    def _note(self, before: State, name: str, after: State, effects: tuple[Effect, ...]) -> None:
        asked = sorted({_word(effect) for effect in effects if not isinstance(effect, Beat)})
        if asked or _phases(before) != _phases(after):
            row = (_phases(before), name, _phases(after), " ".join(asked))
            self.transitions.add(row)

    def table(self) -> str:
        """The transitions, by phases and letter."""
        lines = []
        last = ""
        for phases, name, after, asked in sorted(self.transitions):
            if phases != last:
                lines += ["", phases]
                last = phases
            lines.append(f"    {name:24}-> {after:24} {asked}".rstrip())
        return "\n".join([*HEAD, *lines, ""])


HEAD = [
    "# What an event makes of the phases of the pair and of one group, and what is asked for.",
    "# Found by tests/unit/core/test_small_scope.py; pytest --update rewrites it. Heartbeats, and",
    "# what changes nothing, are left out; one event may have several outcomes, by the rest of the",
    "# state.",
]


def _word(effect: Effect) -> str:
    if isinstance(effect, Reply):
        return "Reply(ok)" if effect.ok else "Reply(refused)"
    return type(effect).__name__


def _phases(state: State) -> str:
    names = [type(group.phase).__name__ for group in state.groups]
    return "/".join([type(state.pair).__name__, *names])


def answers_nobody_waits_for(state: State) -> None:
    """S4: in every state that is found, an answer with a number never given changes nothing."""
    stale_answers_change_nothing(state, NEVER)


@pytest.mark.timeout(SEARCH_LIMIT_S)
def test_one_group(update: bool) -> None:  # noqa: FBT001 - a fixture
    """S1 to S10 in every state within 6 events of the roots; the table found is the checked-in one.

    At each step: it does not raise; at most one dangerous effect, and that by the clock only; a
    start only with a grant, a durable term and silent addresses; a fence only from silence or on
    the peer's word with no gate closed; terms never fall; the core sleeps afterwards; stale
    answers change nothing.
    """
    search = Search(PAIR_LETTERS + group_letters(0), answers_nobody_waits_for)
    search.explore(roots(), DEPTH)
    assert len(search.seen) >= STATES_MIN
    found = search.table()
    if update:
        TABLE.write_text(found, encoding="utf-8")
    assert found == TABLE.read_text(encoding="utf-8"), "pytest --update, then review the diff"


def test_two_groups() -> None:
    """S1 to S10 with two groups, one held by each node, or both by one, or none by any."""
    groups = ("web", "mail")
    split = standby(says(Role.ACTIVE, term=1), says(Role.STANDBY, name="mail"), groups=groups, me=0)
    search = Search(PAIR_LETTERS + group_letters(0) + group_letters(1), answers_nobody_waits_for)
    search.explore(
        [
            split.state,
            Bench(groups=groups).state,
            taking_over(groups=groups).state,
            both_retry(groups),
        ],
        DEPTH_TWO_GROUPS,
    )
    assert len(search.seen) >= STATES_MIN


@pytest.mark.parametrize("phase", [Active, Blocked, Starting, TakingOver])
def test_search_reaches(phase: type) -> None:
    """The search can fail: the phases that matter are in the table."""
    assert f"/{phase.__name__}\n" in TABLE.read_text(encoding="utf-8")
