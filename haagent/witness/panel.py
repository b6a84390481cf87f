# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks all witnesses of a pair at once, and keeps what they said last for the operator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from haagent.bugs import die_of_bugs
from haagent.core.events import Consent
from haagent.core.phases import Active, Alive, Left
from haagent.core.state import State
from haagent.host import boottime_ns
from haagent.witness import Seat, Vote, Witness, WitnessState, Word, keeps_claim
from haagent.witness.majority import Ballot, agreed_since_ns, count, stand_by
from haagent.witness.observing import ObserverWitness
from haagent.witness.telegram import Seal

LOOK_EVERY_S = 5.0
"""A witness that is lost shows in `status` after so long, and costs next to nothing till then."""
LOOK_OFTEN_S = 1.0
"""While the peer is not heard, so that an active knows that they stand by it."""
GIVES_UP_NS = 2_500_000_000
"""So long before the end of a consent that cannot be renewed the fence is given up: as long as the
core waits between two questions (1 s), and the longest `timeout` of a witness."""
BACK_OFF_NS = 3_000_000_000
"""Each node may hold half of the votes: then the second node leaves them to the first so long."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kept:
    """A consent that no other node can have had since."""

    since_ns: int
    """By our monotonic clock, rather too late than too early."""
    asked_ns: int
    """When it was last asked for, and given."""
    until_ns: int = 0
    """No other node has it before, rather too early than too late."""


class Panel:
    """The witnesses as the agent uses them.

    Args:
        seats: All of them; none is a panel that is never asked.
        second: This is the second node of the configuration.
    """

    def __init__(self, seats: Sequence[Seat], *, second: bool) -> None:
        self.seats = tuple(seats)
        self.stood_by: Callable[[int], None] = lambda _: None
        """Hears when a majority that stands by us was asked, by CLOCK_BOOTTIME."""
        self.kept: Kept | None = None
        """The consent to our takeover, where they chose us; None: it was not given, or taken."""
        self.claimed = asyncio.Event()
        """Set after every claim."""
        self.votes: dict[str, Vote] = {}
        """What each said last, by its name."""
        self.looked_ns: int | None = None
        """When the last round of questions ended, monotonic."""
        self.serving = False
        """A witness that was asked last for its consent knows that the service answers."""
        self._observers = [
            seat.witness for seat in seats if isinstance(seat.witness, ObserverWitness)
        ]
        self._second = second
        self._back_off_ns = 0
        self._claimed = False
        self._lost = False
        """The peer is not heard."""
        self._held: dict[int, int] = {}
        self._news = asyncio.Event()
        self._curious: list[asyncio.Future[None]] = []
        """Who waits for the end of a round that has not begun yet."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._claiming = asyncio.Lock()

    def start(self) -> None:
        """Look after the witnesses from now on.

        Raises:
            EdgeError: not permitted to open raw sockets.
        """
        for seat in self.seats:
            seat.witness.open()
        if self.seats:
            self._spawn(self._look_after())

    def states(self) -> list[WitnessState]:
        """What each said last."""
        unasked = "not asked yet"
        return [
            WitnessState(
                seat.name,
                seat.kind,
                vote.word.value if vote else "",
                vote.detail if vote else unasked,
                seat.ignored,
                seat.witness.chooses,
            )
            for seat in self.seats
            for vote in (self.votes.get(seat.name),)
        ]

    async def look_now(self) -> list[WitnessState]:
        """What each says to a question that is asked after this call, in the round of all day."""
        if self.seats:
            answered = asyncio.get_running_loop().create_future()
            self._curious.append(answered)
            self._news.set()
            await answered
        return self.states()

    async def close(self) -> None:
        """Give back what was given, as far as that is quick, and ask no more."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._claimed:
            await self._release()
        for seat in self.seats:
            seat.witness.close()

    def copy(self, heartbeat: bytes) -> None:
        """Let the observers hear what the peer hears."""
        for observer in self._observers:
            observer.copy(heartbeat)

    def take_keys(self, seal: Seal) -> None:
        """Speak to the observers by these keys from now on."""
        for observer in self._observers:
            observer.seal = seal

    async def claim(self, terms: tuple[int, ...]) -> Consent:
        """Ask for the witnesses' consent to a takeover; never raises.

        Args:
            terms: The highest term known here of each group; () when it is not wanted now: then
                what was given is given back.
        """
        if not self.seats or not terms:
            self.serving = False
            if self._claimed:
                self.kept = None
                self._spawn(self._give_back())
            return Consent.UNASKED
        async with self._claiming:
            if time.monotonic_ns() < self._back_off_ns:
                return Consent.REFUSED
            self._claimed = True
            asked_ns = time.monotonic_ns()
            votes = await self._ask(lambda witness: witness.claim(terms))
            self.serving = any(vote.serving for vote in votes)
            consent = self._count(votes)
            if consent is Consent.WON:
                since_ns, until_ns = agreed_since_ns(self._ballots(votes)), self._until_ns(votes)
                self.kept = Kept(since_ns, asked_ns, until_ns)
            elif consent is not Consent.UNREACHABLE:
                self.kept = None
            elif self.kept and time.monotonic_ns() >= self.kept.until_ns - GIVES_UP_NS:
                # Soon the other node may have it: only who holds it may fence (S2 e).
                log.warning("witness.consent_ran_out")
                consent = Consent.REFUSED
            self.claimed.set()
            if consent is Consent.REFUSED:
                # What we hold without a majority must not keep the other node from one.
                await self._release()
                split = any(
                    vote.word is Word.YES and seat.witness.chooses
                    for seat, vote in zip(self.seats, votes, strict=True)
                )
                if split and self._second:
                    self._back_off_ns = time.monotonic_ns() + BACK_OFF_NS
            return consent

    def observe(self, before: State, state: State) -> None:
        """After each step of the core: consent that is not needed any more is given back."""
        if not self.seats or (before.pair is state.pair and before.groups is state.groups):
            return
        lost = not isinstance(state.pair, Alive | Left)
        if lost != self._lost:
            self._lost = lost
            self._news.set()
        held = {
            index: group.phase.term
            for index, group in enumerate(state.groups)
            if isinstance(group.phase, Active)
        }
        if held != self._held:
            self._held = held
            self._news.set()
        if keeps_claim(before.pair) and not keeps_claim(state.pair):
            self.kept = None
            # A claim that is on its way has its turn first.
            self._spawn(self._give_back())

    async def _give_back(self) -> None:
        async with self._claiming:
            if self._claimed:
                await self._release()

    async def _release(self) -> None:
        self._claimed, self.kept = False, None
        await asyncio.gather(*(seat.witness.release() for seat in self.seats))

    async def _look_after(self) -> None:
        while True:
            self._news.clear()
            curious, self._curious = self._curious, []
            self._count(await self._ask(lambda witness: witness.look(self._held)))
            for answered in curious:
                if not answered.done():
                    answered.set_result(None)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_OFTEN_S if self._lost else LOOK_EVERY_S):
                    await self._news.wait()

    async def _ask(self, question: Callable[[Witness], Coroutine[Any, Any, Vote]]) -> list[Vote]:
        """The same question to all of them, each within its own limit."""
        asked_ns = boottime_ns()
        votes = await asyncio.gather(*(self._ask_one(seat, question) for seat in self.seats))
        if stand_by(self._ballots(votes)):
            self.stood_by(asked_ns)
        return votes

    async def _ask_one(
        self, seat: Seat, question: Callable[[Witness], Coroutine[Any, Any, Vote]]
    ) -> Vote:
        try:
            async with asyncio.timeout(seat.limit_s):
                return await question(seat.witness)
        except TimeoutError:
            return Vote(Word.SILENT, f"no answer within {seat.limit_s:g} s")

    def _count(self, votes: Sequence[Vote]) -> Consent:
        for seat, vote in zip(self.seats, votes, strict=True):
            before = self.votes.get(seat.name)
            if before is None or before.word is not vote.word:
                log.info("witness.said", witness=seat.name, word=vote.word.value, why=vote.detail)
            self.votes[seat.name] = vote
        self.looked_ns = time.monotonic_ns()
        return count(self._ballots(votes))

    def _ballots(self, votes: Sequence[Vote]) -> list[Ballot]:
        return [
            Ballot(vote.word, seat.witness.chooses, seat.ignored, vote.since_ns)
            for seat, vote in zip(self.seats, votes, strict=True)
        ]

    def _until_ns(self, votes: Sequence[Vote]) -> int:
        """Until when nobody else can have a majority: as long as all keep their word."""
        return min(
            vote.until_ns
            for seat, vote in zip(self.seats, votes, strict=True)
            if seat.witness.chooses and vote.word is Word.YES
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(die_of_bugs)
