# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts votes. No clock, no socket: what a takeover depends on can be read here in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from haagent.core.events import Consent
from haagent.witness import WitnessState, Word


@dataclass(frozen=True, slots=True)
class Ballot:
    """One vote, and how it counts."""

    word: Word
    chooses: bool
    ignored: bool
    """Left out of the count if it is silent."""
    since_ns: int = 0
    """See `haagent.witness.Vote`."""


def exclusive(choosing: Sequence[bool]) -> bool:
    """Whether two nodes can never have a majority each, by what of the witnesses choose.

    Those that do not choose may agree to both nodes, those that do are shared out between them.
    """
    choosers = sum(choosing)
    others = len(choosing) - choosers
    return bool(choosers) and others + choosers // 2 < len(choosing) // 2 + 1


def count(ballots: Sequence[Ballot]) -> Consent:
    """What a majority of these says; not empty."""
    counted = [one for one in ballots if not (one.ignored and one.word is Word.SILENT)]
    needed = len(counted) // 2 + 1
    agree = sum(one.word is Word.YES for one in counted)
    if not counted:
        return Consent.AGREED
    if agree >= needed:
        whole = len(counted) == len(ballots)
        chosen = whole and exclusive([one.chooses for one in ballots])
        return Consent.WON if chosen else Consent.AGREED
    silent = sum(one.word is Word.SILENT for one in counted)
    return Consent.UNREACHABLE if agree + silent >= needed else Consent.REFUSED


def stand_by(ballots: Sequence[Ballot]) -> bool:
    """Whether a majority says yes that the other node cannot have as well; silence never helps."""
    strict = [Ballot(one.word, one.chooses, ignored=False) for one in ballots]
    return bool(strict) and count(strict) is Consent.WON


def agreed_since_ns(ballots: Sequence[Ballot]) -> int:
    """Since when a majority that `count` calls WON has agreed without a break."""
    agreeing = sorted(one.since_ns for one in ballots if one.word is Word.YES)
    return agreeing[len(ballots) // 2]


def is_barred(ballots: Sequence[Ballot]) -> bool:
    """Whether too few are there now for any takeover to be agreed to.

    What they would say to a claim is not known before it is made: who is there agrees.
    """
    there = [
        one if one.word is Word.SILENT else Ballot(Word.YES, one.chooses, one.ignored)
        for one in ballots
    ]
    return bool(ballots) and count(there) is Consent.UNREACHABLE


def bars(witnesses: Sequence[WitnessState]) -> bool:
    """The same of what the agent tells; one that was not asked yet is not there."""
    return is_barred(
        [Ballot(Word(one.word or Word.SILENT), one.chooses, one.ignored) for one in witnesses]
    )


def alarms(witnesses: Sequence[WitnessState]) -> list[dict[str, str]]:
    """Each witness that would not agree to a takeover, as an alarm."""
    found = []
    for witness in witnesses:
        if witness.word != "yes":
            effect = "; it is left out of the count" if witness.ignored else ""
            text = f"witness {witness.name}: {witness.detail}{effect}"
            found.append({"code": f"witness_{witness.name}", "text": text})
    return found
