# SPDX-License-Identifier: GPL-2.0-or-later
"""The panel asks everybody at once, waits for nobody, and gives back what is not needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from core.harness import Bench, active, silent, standby

from haagent.core.events import Consent
from haagent.core.settings import MS
from haagent.core.state import State
from haagent.host import boottime_ns
from haagent.witness import Seat, Vote, Witness, Word
from haagent.witness.panel import GIVES_UP_NS, LOOK_OFTEN_S, Panel
from witness.loop import looped

LIMIT_S = 0.2
LASTS_S = 60.0
PATIENCE_S = 10.0


class Third:
    """A witness at the edge: says what it is told to, after a while."""

    chooses = True

    def __init__(self, word: Word = Word.YES, takes_s: float = 0.0) -> None:
        self.word = word
        self.takes_s = takes_s
        self.lasts_s = LASTS_S
        self.claims = 0
        self.held: Mapping[int, int] = {}
        self.mine = False
        self.changed = asyncio.Event()

    def open(self) -> None:
        """See Witness."""

    async def claim(self, terms: tuple[int, ...]) -> Vote:
        """See Witness."""
        self.claims += 1
        await asyncio.sleep(self.takes_s)
        self.mine = self.word is Word.YES
        until_ns = time.monotonic_ns() + round(self.lasts_s * 1e9)
        return Vote(self.word, f"asked by {terms}", since_ns=7, until_ns=until_ns)

    async def look(self, held: Mapping[int, int]) -> Vote:
        """See Witness."""
        self.held = dict(held)
        self.changed.set()
        return Vote(self.word, "looked")

    async def release(self) -> None:
        """See Witness."""
        self.mine = False
        self.changed.set()

    def close(self) -> None:
        """See Witness."""


@asynccontextmanager
async def panel(*thirds: Third, second: bool = False) -> AsyncIterator[Panel]:
    """A panel of these, not yet looking after them."""
    seats = [Seat(f"w{n}", "etcd", one, LIMIT_S) for n, one in enumerate(thirds)]
    made = Panel(seats, second=second)
    try:
        yield made
    finally:
        await made.close()


def alive() -> State:
    """The peer is heard again."""
    return standby().state


@looped
async def test_late_witness_is_silent_and_keeps_nobody_waiting() -> None:
    """One that hangs has its limit; the majority of the others stands."""
    async with panel(Third(), Third(), Third(takes_s=60.0)) as three:
        begin_s = time.monotonic()
        assert await three.claim((1,)) is Consent.WON
        assert time.monotonic() - begin_s < PATIENCE_S
        words = [state.word for state in three.states()]
        assert words == ["yes", "yes", "silent"]
        assert three.states()[2].detail == "no answer within 0.2 s"


@looped
async def test_nobody_is_asked_for_nothing() -> None:
    """No terms, no question: a node that gains nothing takes the lock from nobody."""
    third = Third()
    async with panel(third) as one:
        assert await one.claim(()) is Consent.UNASKED
        assert third.claims == 0
    async with panel() as none:
        assert await none.claim((1,)) is Consent.UNASKED


@looped
async def test_consent_is_given_back_when_the_peer_is_heard() -> None:
    """Also one that is still on its way when the peer speaks again."""
    third = Third(takes_s=0.1)
    suspect = silent().state
    async with panel(third) as one:
        claiming = asyncio.create_task(one.claim((1,)))
        await asyncio.sleep(0)
        one.observe(suspect, alive())
        assert await claiming is Consent.WON
        async with asyncio.timeout(PATIENCE_S):
            await third.changed.wait()
        assert not third.mine


@looped
async def test_consent_is_kept_while_the_fence_runs() -> None:
    """From suspicion to the takeover nothing is given back."""
    third = Third()
    bench = silent()
    async with panel(third) as one:
        await one.claim((1,))
        before = bench.state
        bench.pass_time(600 * MS)
        one.observe(before, bench.state)
        await asyncio.sleep(0.05)
        assert third.mine


@looped
async def test_half_of_the_votes_is_given_back() -> None:
    """Two nodes with half each would block each other for ever: both let go, the second waits."""
    for second in (False, True):
        mine, theirs = Third(), Third(Word.NO)
        async with panel(mine, theirs, second=second) as two:
            assert await two.claim((1,)) is Consent.REFUSED
            assert not mine.mine
            theirs.word = Word.YES
            again = await two.claim((1,))
            assert again is (Consent.REFUSED if second else Consent.WON)
            assert mine.claims == (1 if second else 2)


@looped
async def test_refusal_of_all_makes_nobody_wait() -> None:
    """The second node asks again at once where nothing was split: the holder may have died."""
    third = Third(Word.NO)
    async with panel(third, second=True) as one:
        assert await one.claim((1,)) is Consent.REFUSED
        third.word = Word.YES
        assert await one.claim((1,)) is Consent.WON


@looped
async def test_unreachable_majority_keeps_what_it_has() -> None:
    """A witness lost in the middle of a fence does not cost the consent of the others."""
    mine, lost = Third(), Third(Word.SILENT)
    async with panel(mine, lost) as two:
        assert await two.claim((1,)) is Consent.UNREACHABLE
        assert mine.mine


@looped
async def test_terms_of_what_is_held_are_told_at_once() -> None:
    """The witnesses learn of a takeover when it is done, not at their next turn."""
    third = Third()
    async with panel(third) as one:
        one.start()
        async with asyncio.timeout(PATIENCE_S):
            await third.changed.wait()
        assert third.held == {}
        third.changed.clear()
        bench: Bench = active()
        one.observe(standby().state, bench.state)
        async with asyncio.timeout(PATIENCE_S):
            await third.changed.wait()
        assert third.held == {0: 1}


@looped
async def test_end_of_the_agent_gives_back() -> None:
    """An agent that ends leaves no lock for the other node to wait for."""
    third: Third = Third()
    as_witness: Witness = third
    one = Panel([Seat("w", "etcd", as_witness, LIMIT_S)], second=False)
    await one.claim((1,))
    assert third.mine
    await one.close()
    assert not third.mine


@looped
async def test_ballots_are_counted_with_their_policy() -> None:
    """`ignore` of a seat reaches the count."""
    seat = Seat("w", "etcd", Third(Word.SILENT), LIMIT_S)
    assert await Panel([seat], second=False).claim((1,)) is Consent.UNREACHABLE
    ignoring = Panel([replace(seat, ignored=True)], second=False)
    assert await ignoring.claim((1,)) is Consent.AGREED


@looped
async def test_who_wants_to_know_is_told_of_a_question_that_was_asked_after() -> None:
    """What a witness said before is no answer; nobody is asked beside the round of all day."""
    third = Third()
    async with panel(third) as one:
        one.start()
        async with asyncio.timeout(PATIENCE_S):
            assert [state.word for state in await one.look_now()] == ["yes"]
            third.word = Word.NO
            assert [state.word for state in await one.look_now()] == ["no"]
    async with panel() as none:
        assert await none.look_now() == []


@looped
async def test_what_was_won_is_known_with_its_times() -> None:
    """S2 e: kept from the moment of the consent, and of the question; lost with a refusal."""
    third = Third()
    async with panel(third) as one:
        before_ns = time.monotonic_ns()
        await one.claim((1,))
        assert one.kept is not None
        assert one.kept.since_ns == 7
        assert before_ns <= one.kept.asked_ns <= time.monotonic_ns()
        assert one.claimed.is_set()
        asked_ns = one.kept.asked_ns
        third.word = Word.SILENT
        await one.claim((1,))
        assert one.kept.asked_ns == asked_ns, "silence neither takes it nor makes it younger"
        third.word = Word.NO
        await one.claim((1,))
        assert one.kept is None


@looped
async def test_what_runs_out_is_a_refusal_in_time() -> None:
    """S2 e: unasked, a consent ends for us before the other node can have it; then it is none."""
    short, long = Third(), Third()
    short.lasts_s = GIVES_UP_NS / 1e9 + 0.1
    async with panel(short, long) as two:
        assert await two.claim((1,)) is Consent.WON
        short.word = long.word = Word.SILENT
        assert await two.claim((1,)) is Consent.UNREACHABLE
        assert two.kept is not None
        await asyncio.sleep(two.kept.until_ns / 1e9 - GIVES_UP_NS / 1e9 - time.monotonic() + 0.01)
        assert await two.claim((1,)) is Consent.REFUSED
        assert two.kept is None
        assert not long.mine
        assert await two.claim((1,)) is Consent.UNREACHABLE, "nothing is left to run out"


@looped
async def test_what_is_not_wanted_now_is_given_back() -> None:
    """S2 e: a node that would shoot nobody leaves the witnesses to the other."""
    third = Third()
    async with panel(third) as one:
        await one.claim((1,))
        third.changed.clear()
        assert await one.claim(()) is Consent.UNASKED
        assert one.kept is None
        async with asyncio.timeout(PATIENCE_S):
            await third.changed.wait()
        assert not third.mine


@looped
async def test_what_was_won_ends_when_the_peer_is_heard() -> None:
    """S2 e: a later silence begins with a consent of its own."""
    async with panel(Third()) as one:
        await one.claim((1,))
        one.observe(silent().state, alive())
        assert one.kept is None


@looped
async def test_each_majority_for_us_is_told_with_the_time_of_the_question() -> None:
    """S2 e: the right to feed the watchdog counts from before the witnesses were asked."""
    stood: list[int] = []
    third = Third(takes_s=0.05)
    async with panel(third) as one:
        one.stood_by = stood.append
        before_ns = boottime_ns()
        await one.claim((1,))
        assert len(stood) == 1
        assert before_ns <= stood[0] <= boottime_ns() - 50 * MS
        third.word = Word.NO
        await one.claim((1,))
        assert len(stood) == 1


@looped
async def test_lost_peer_makes_the_looks_frequent() -> None:
    """S2 e: whoever has nobody but the witnesses asks them at once, and then again and again."""
    third = Third()
    async with panel(third) as one:
        one.start()
        for before, after in ((alive(), silent().state), (silent().state, alive())):
            async with asyncio.timeout(LOOK_OFTEN_S * 4):
                await third.changed.wait()
                third.changed.clear()
                one.observe(before, after)
                await third.changed.wait()
                third.changed.clear()
