# SPDX-License-Identifier: GPL-2.0-or-later
"""Third parties that must agree before a takeover (S2 e): a majority of those configured.

Each witness has one vote. What it takes to get it is the witness's own affair: etcd gives a lock,
a reference an answer. Those that `choose` agree to one node only for as long as it keeps what it
was given, so that where both nodes would shoot, only the winner does (S9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from haagent.core.phases import Fenced, Fencing, PairPhase, Silent, Suspect

DRIFT = 50
"""Two clocks may differ by this part of a lease."""


class Word(StrEnum):
    """A vote."""

    YES = "yes"
    NO = "no"
    SILENT = "silent"
    """No answer in time: it is not known what it would have been."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What a witness said, and why."""

    word: Word
    detail: str
    """For the operator."""
    serving: bool = False
    """It knows that the service answers its clients."""
    since_ns: int = 0
    """Of a yes to a claim, by one that chooses: since when it has agreed without a break, and so
    has not stood by the other node. By our monotonic clock, rather too late than too early."""
    until_ns: int = 0
    """Of the same: it agrees to nobody else before, asked again or not; rather too early."""


class Witness(Protocol):
    """One third party. Each question has the witness's own limit; none raises."""

    chooses: bool
    """It agrees to one node at a time."""

    def open(self) -> None:
        """Get ready to be asked.

        Raises:
            EdgeError: not permitted to open raw sockets.
        """

    async def claim(self, terms: tuple[int, ...]) -> Vote:
        """Ask for its consent to a takeover, and keep it if it is given.

        Args:
            terms: The highest term known here, of each group in the order of the configuration.
        """

    async def look(self, held: Mapping[int, int]) -> Vote:
        """Ask whether it is there, and has not agreed to the peer's takeover.

        Args:
            held: The terms of the groups active here, by their place in the configuration.
        """

    async def release(self) -> None:
        """Give back what a claim was given."""

    def close(self) -> None:
        """Ask no more; what was given is left to expire."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A witness at its place in the majority."""

    name: str
    kind: str
    witness: Witness
    limit_s: float
    """For one question."""
    ignored: bool = False
    """While it does not answer, the majority is counted without it."""


@dataclass(frozen=True, slots=True)
class WitnessState:
    """What is known of a witness, for the operator."""

    name: str
    kind: str
    word: str
    """What it said last: "yes", "no" or "silent"; "" before it was asked."""
    detail: str
    ignored: bool
    chooses: bool


def keeps_claim(pair: PairPhase) -> bool:
    """Whether a node in this phase may still need the consent that it was given."""
    return isinstance(pair, Suspect | Silent | Fencing | Fenced)
