# SPDX-License-Identifier: GPL-2.0-or-later
"""An observer agrees to one takeover at a time, and to none of a node that lives."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

import pytest
from core.harness import body, says

from haagent.core.settings import S
from haagent.core.wire import Frame, Role
from haagent.observer.judge import Judge, Rules
from haagent.witness.telegram import Ask, Said

RULES = Rules(("alpha", "beta"), ("web",), 1 * S, 10 * S, 30 * S, probed=True)
OLD = 100 * S
"""The judge was started at 0 and has its youth behind it."""


def frame(sender: int, counter: int, *, incarnation: int = 7, term: int = 1) -> Frame:
    """A heartbeat."""
    said = body(says(Role.ACTIVE, term=term))
    return Frame(sender, 0, incarnation + sender, counter, said)


@pytest.fixture
def judge() -> Judge:
    """Has seen the service a moment ago, and hears nobody."""
    made = Judge(RULES, 0)
    made.probed(served=True, now_ns=OLD)
    return made


def test_silent_node_may_be_taken_over_from(judge: Judge) -> None:
    """Nobody is heard: the first that asks is agreed with, the other is not."""
    assert judge.asked(1, Ask.CLAIM, (1,), OLD)[0] is Said.YES
    assert judge.asked(0, Ask.CLAIM, (1,), OLD) == (Said.NO, "agreed to the takeover of beta")
    assert judge.asked(0, Ask.LOOK, (), OLD)[0] is Said.NO
    assert judge.asked(1, Ask.LOOK, (), OLD)[0] is Said.YES


def test_living_node_is_not(judge: Judge) -> None:
    """S2 e: while the other node is heard, no takeover from it; after dead_after, yes."""
    judge.hear(frame(0, 1), OLD)
    assert judge.asked(1, Ask.CLAIM, (1,), OLD + S // 2) == (Said.NO, "hears alpha")
    assert judge.asked(1, Ask.CLAIM, (1,), OLD + S)[0] is Said.YES


def test_living_node_that_serves_nobody_is(judge: Judge) -> None:
    """Its agent beats, and for serving_grace no client was answered: then it may be taken over."""
    for at_ns in range(OLD, OLD + 10 * S, S // 2):
        judge.hear(frame(0, at_ns), at_ns)
        judge.probed(served=False, now_ns=at_ns)
        assert judge.asked(1, Ask.CLAIM, (1,), at_ns)[0] is Said.NO
    judge.hear(frame(0, OLD + 10 * S), OLD + 10 * S)
    assert judge.asked(1, Ask.CLAIM, (1,), OLD + 10 * S)[0] is Said.YES
    unprobed = Judge(replace(RULES, probed=False), 0)
    unprobed.hear(frame(0, 1), OLD)
    assert unprobed.asked(1, Ask.CLAIM, (1,), OLD)[0] is Said.NO
    assert not unprobed.serving(OLD)


def test_consent_lasts_for_the_lease(judge: Judge) -> None:
    """Renewed by each claim; given back, or run out, it is the other's to have."""
    assert judge.asked(1, Ask.CLAIM, (1,), OLD)[0] is Said.YES
    assert judge.asked(1, Ask.CLAIM, (1,), OLD + 20 * S)[0] is Said.YES
    assert judge.asked(0, Ask.CLAIM, (1,), OLD + 49 * S)[0] is Said.NO
    assert judge.asked(0, Ask.CLAIM, (1,), OLD + 50 * S)[0] is Said.YES
    assert judge.asked(1, Ask.RELEASE, (), OLD + 50 * S)[0] is Said.YES
    assert judge.asked(1, Ask.CLAIM, (1,), OLD + 50 * S)[0] is Said.NO
    judge.asked(0, Ask.RELEASE, (), OLD + 50 * S)
    assert judge.asked(1, Ask.CLAIM, (1,), OLD + 50 * S)[0] is Said.YES


def test_young_observer_agrees_to_nothing() -> None:
    """It does not know what it had agreed to before it was started: it stands by nobody."""
    judge = Judge(RULES, OLD)
    assert judge.asked(1, Ask.CLAIM, (1,), OLD + 29 * S)[0] is Said.YOUNG
    assert judge.asked(1, Ask.LOOK, (), OLD + 29 * S)[0] is Said.YOUNG
    assert judge.asked(1, Ask.LOOK, (), OLD + 30 * S)[0] is Said.YES
    assert judge.asked(1, Ask.CLAIM, (1,), OLD + 30 * S)[0] is Said.YES


def test_release_that_comes_late_ends_no_later_claim(judge: Judge) -> None:
    """A datagram may be overtaken: a claim is given back by its own name."""
    assert judge.asked(1, Ask.CLAIM, (1,), OLD, b"one.")[0] is Said.YES
    assert judge.asked(1, Ask.CLAIM, (1,), OLD, b"two.")[0] is Said.YES
    judge.asked(1, Ask.RELEASE, (), OLD, b"one.")
    assert judge.asked(0, Ask.LOOK, (), OLD)[0] is Said.NO
    judge.asked(1, Ask.RELEASE, (), OLD, b"two.")
    assert judge.asked(0, Ask.LOOK, (), OLD)[0] is Said.YES


def test_node_that_slept_through_a_takeover_is_refused(judge: Judge) -> None:
    """The terms are those that both nodes were heard to tell."""
    judge.hear(frame(0, 1, term=9), OLD)
    said, why = judge.asked(1, Ask.CLAIM, (3,), OLD + 5 * S)
    assert (said, why) == (Said.NO, "web was in term 9, and this node knows of 3 only")
    assert judge.asked(1, Ask.CLAIM, (9,), OLD + 5 * S)[0] is Said.YES


def test_replayed_heartbeats_are_no_life(judge: Judge) -> None:
    """Neither the same frame again, nor one of an incarnation that has ended."""
    assert judge.hear(frame(0, 5), OLD)
    assert not judge.hear(frame(0, 5), OLD + 2 * S)
    assert judge.hear(frame(0, 1, incarnation=20), OLD + 2 * S)
    assert not judge.hear(frame(0, 6), OLD + 4 * S)
    assert judge.asked(1, Ask.CLAIM, (1,), OLD + 4 * S)[0] is Said.YES


def test_of_two_nodes_one_has_a_majority_of_observers() -> None:
    """Any order of claims, releases, restarts and lost questions: never two winners at one time."""
    for seed in range(300):
        rng = Random(seed)  # noqa: S311 - histories, not secrets
        now_ns = OLD
        judges = [Judge(RULES, 0) for _ in range(3)]
        won = [0, 0]
        """Until when each node may believe that it has the majority."""
        for _ in range(60):
            now_ns += rng.randint(0, 8 * S)
            node, ask = rng.choice(list(product((0, 1), (Ask.CLAIM, Ask.CLAIM, Ask.RELEASE))))
            if rng.random() < 0.1:
                judges[rng.randrange(3)] = Judge(RULES, now_ns)
            reached = [judge for judge in judges if rng.random() < 0.8]
            words = [judge.asked(node, ask, (1,), now_ns)[0] for judge in reached]
            if ask is Ask.RELEASE:
                won[node] = 0
            elif words.count(Said.YES) >= 2:
                won[node] = now_ns + RULES.lease_ns
                assert won[1 - node] <= now_ns, seed
