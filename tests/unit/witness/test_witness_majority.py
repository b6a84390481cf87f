# SPDX-License-Identifier: GPL-2.0-or-later
"""Votes are counted right: a majority of those configured, and one winner where one is promised."""

from __future__ import annotations

from itertools import product

import pytest

from haagent.core.events import Consent
from haagent.witness import WitnessState, Word
from haagent.witness.majority import (
    Ballot,
    agreed_since_ns,
    bars,
    count,
    exclusive,
    stand_by,
)

Y, N, S = Word.YES, Word.NO, Word.SILENT


def votes(*words: Word, chooses: bool = True, ignored: bool = False) -> list[Ballot]:
    """Votes of witnesses that are all alike."""
    return [Ballot(word, chooses, ignored) for word in words]


@pytest.mark.parametrize(
    ("ballots", "consent"),
    [
        (votes(Y), Consent.WON),
        (votes(N), Consent.REFUSED),
        (votes(S), Consent.UNREACHABLE),
        (votes(Y, Y, N), Consent.WON),
        (votes(Y, S, Y), Consent.WON),
        (votes(Y, N, S), Consent.UNREACHABLE),
        (votes(Y, N, N), Consent.REFUSED),
        (votes(S, N, N), Consent.REFUSED),
        (votes(Y, S), Consent.UNREACHABLE),
        (votes(Y, N), Consent.REFUSED),
        (votes(Y, chooses=False), Consent.AGREED),
        (votes(S, ignored=True), Consent.AGREED),
        (votes(S, Y, ignored=True), Consent.AGREED),
        (votes(S, N, ignored=True), Consent.REFUSED),
        (votes(N, S, ignored=True) + votes(Y, Y), Consent.AGREED),
    ],
)
def test_majority_of_those_configured(ballots: list[Ballot], consent: Consent) -> None:
    """Half is no majority; silence is not a no, and only left out where the operator said so."""
    assert count(ballots) is consent


@pytest.mark.parametrize("seats", [*product([True, False], repeat=4), (True,), (False,)])
def test_two_nodes_never_both_win(seats: tuple[bool, ...]) -> None:
    """S9: however choosing witnesses are shared out between two nodes, WON is said to one at most.

    And where it can never be said to both, `exclusive` does not say less than is true.
    """
    both = False
    for shares in product([0, 1], repeat=len(seats)):
        won = []
        for node in (0, 1):
            words = [
                Y if not chooses or share == node else N
                for chooses, share in zip(seats, shares, strict=True)
            ]
            won.append(
                count([Ballot(w, c, ignored=False) for w, c in zip(words, seats, strict=True)])
            )
        assert won != [Consent.WON, Consent.WON]
        both = both or not {Consent.REFUSED} & set(won)
    assert exclusive(seats) is (not both and any(seats))


def test_status_foresees_what_would_be_unreachable() -> None:
    """Too few that answer bar a takeover; that one agreed to the peer just now does not."""
    plain = WitnessState("a", "etcd", "yes", "", ignored=False, chooses=True)
    silent = WitnessState("b", "etcd", "silent", "", ignored=False, chooses=True)
    away = WitnessState("c", "etcd", "silent", "", ignored=True, chooses=True)
    against = WitnessState("d", "etcd", "no", "", ignored=False, chooses=True)
    unasked = WitnessState("e", "etcd", "", "", ignored=False, chooses=True)
    assert not bars([])
    assert not bars([plain])
    assert bars([silent])
    assert bars([unasked])
    assert bars([plain, silent])
    assert not bars([plain, away])
    assert not bars([against])


@pytest.mark.parametrize(
    ("ballots", "stands"),
    [
        ([], False),
        (votes(Y), True),
        (votes(Y, Y, S), True),
        (votes(Y, S, S, ignored=True), False),
        (votes(S, ignored=True), False),
        (votes(Y, Y, chooses=False), False),
        (votes(Y) + votes(Y, Y, chooses=False), False),
    ],
)
def test_stood_by_is_what_the_other_cannot_be(ballots: list[Ballot], *, stands: bool) -> None:
    """S2 e: a majority of all that are configured, silent ones too, and never of both nodes."""
    assert stand_by(ballots) is stands


def test_unbroken_for_as_long_as_the_oldest_majority() -> None:
    """S2 e: a witness that agreed anew of late takes nothing from a majority without it."""
    ballots = [Ballot(Y, True, False, since_ns) for since_ns in (30, 10, 20)]  # noqa: FBT003  # a row
    assert agreed_since_ns(ballots) == 20
    ballots[1] = Ballot(S, True, False)  # noqa: FBT003  # a row
    assert agreed_since_ns(ballots) == 30
