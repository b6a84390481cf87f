# SPDX-License-Identifier: GPL-2.0-or-later
"""Letters between two agents over a bad wire, and from people who have no key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haagent.core.wire import Refusal, cluster_id
from haagent.errors import EdgeError
from haagent.links.letters import Letter, Seal
from haagent.links.post import TEXT_BYTES_MAX, Post

SEAL = Seal(cluster_id("shop"), 1, {1: b"k" * 32})
ANSWER_S = 10.0
"""For exchanges of milliseconds, on a loaded machine."""


@dataclass
class Wire:
    """Two agents' posts, a wire between them that may lose, and everything that passed it."""

    loses: Callable[[int], bool] = lambda _: False
    asked: list[Mapping[str, object]] = field(default_factory=list)
    passed: list[tuple[int, bytes]] = field(default_factory=list)
    """For whom, and what."""
    heard: list[int | None] = field(default_factory=lambda: [200, 100])
    """The incarnation that each node hears of the other."""

    def __post_init__(self) -> None:
        self.posts = [self.post(0, 100), self.post(1, 200)]

    def post(self, node: int, incarnation: int) -> Post:
        """An agent's post."""
        return Post(
            node, incarnation, SEAL, self._way(1 - node), lambda: self.heard[node], self._answer
        )

    def _way(self, to: int) -> Callable[[bytes], None]:
        def send(data: bytes) -> None:
            self.passed.append((to, data))
            if not self.loses(len(self.passed)):
                for _ in range(2):  # As over two links.
                    asyncio.get_running_loop().call_soon(self.posts[to].take, data)

        return send

    async def _answer(self, question: Mapping[str, object]) -> Mapping[str, object]:
        self.asked.append(question)
        if question.get("refuse"):
            raise EdgeError("no")
        return {"ok": True, "message": "", "data": question}


def over(wire: Callable[[], Wire], work: Callable[[Wire], Awaitable[None]]) -> None:
    """Run something between two posts."""

    async def main() -> None:
        await work(wire())

    asyncio.run(main())


@pytest.mark.parametrize("size", [0, 10, 999, 1000, 1001, 40_000])
def test_question_and_answer_arrive_whole(size: int) -> None:
    """However long both are, each arrives as it was sent, and the question is carried out once."""

    async def work(wire: Wire) -> None:
        question = {"what": "x" * size}
        assert (await wire.posts[0].ask(question, ANSWER_S))["data"] == question
        assert wire.asked == [question]

    over(Wire, work)


def test_losses_are_made_good() -> None:
    """With two of three letters lost it takes longer, and nothing else."""

    async def work(wire: Wire) -> None:
        question = {"what": "x" * 3000}
        assert (await wire.posts[1].ask(question, 60.0))["data"] == question
        assert wire.asked == [question]

    chance = Random(7)  # noqa: S311  # a bad wire, no secret
    over(lambda: Wire(loses=lambda _: chance.random() < 2 / 3), work)


def test_both_ask_at_once() -> None:
    """Questions in both directions do not get in each other's way."""

    async def work(wire: Wire) -> None:
        asked = [post.ask({"from": post.me}, ANSWER_S) for post in wire.posts for _ in range(5)]
        assert [reply["data"] for reply in await asyncio.gather(*asked)] == (
            [{"from": 0}] * 5 + [{"from": 1}] * 5
        )

    over(Wire, work)


def test_refusal_comes_back() -> None:
    """What the other side refuses is a reply like any other."""

    async def work(wire: Wire) -> None:
        reply = await wire.posts[0].ask({"refuse": True}, ANSWER_S)
        assert (reply["ok"], reply["message"]) == (False, "no")

    over(Wire, work)


def test_silent_peer_is_an_error() -> None:
    """Nobody heard, or nobody answers: an error within the limit."""

    async def work(wire: Wire) -> None:
        with pytest.raises(EdgeError, match="has not answered"):
            await wire.posts[0].ask({"what": "status"}, 0.3)
        wire.heard[0] = None
        with pytest.raises(EdgeError, match="is not heard"):
            await wire.posts[0].ask({"what": "status"}, 0.3)

    over(lambda: Wire(loses=lambda _: True), work)


def test_replayed_letters_change_nothing() -> None:
    """S4: what was recorded is carried out neither again, nor by the agent that follows."""

    async def work(wire: Wire) -> None:
        for number in range(3):
            await wire.posts[0].ask({"number": number}, ANSWER_S)
        recorded = list(wire.passed)
        for to, data in recorded:
            wire.posts[to].take(data)
        await asyncio.sleep(0)
        assert len(wire.asked) == 3
        successor = wire.post(1, 201)
        for to, data in recorded:
            if to == 1:
                successor.take(data)
        await asyncio.sleep(0)
        assert len(wire.asked) == 3
        assert successor.refused == len([to for to, _ in recorded if to == 1])

    over(Wire, work)


@pytest.mark.parametrize(
    "other",
    [
        Seal(cluster_id("other"), 1, {1: b"k" * 32}),
        Seal(cluster_id("shop"), 1, {1: b"x" * 32}),
        Seal(cluster_id("shop"), 2, {2: b"k" * 32}),
    ],
    ids=["other cluster", "other key", "unknown key id"],
)
def test_stranger_is_not_answered(other: Seal) -> None:
    """A letter of another cluster, or without our key, is counted and dropped."""

    async def work(wire: Wire) -> None:
        letter = Letter(0, False, 100, 200, 1, 0, 0, 2, b"{}")  # noqa: FBT003  # a field
        wire.posts[1].take(other.closed(letter))
        wire.posts[1].take(SEAL.closed(replace(letter, sender=1)))
        wire.posts[1].take(SEAL.closed(replace(letter, origin=99)))
        assert wire.posts[1].refused == 3
        wire.posts[1].take(SEAL.closed(letter))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert wire.asked == [{}]

    over(Wire, work)


def test_endless_text_is_not_kept() -> None:
    """A text that is announced as longer than the limit is not begun to be kept."""

    async def work(wire: Wire) -> None:
        piece = b"x" * 1000
        letter = Letter(0, False, 100, 200, 1, 0, 0, TEXT_BYTES_MAX + 1, piece)  # noqa: FBT003
        wire.posts[1].take(SEAL.closed(letter))
        exchange = wire.posts[1]._answering
        assert exchange is not None
        assert not exchange.complete
        assert len(exchange.theirs) <= len(piece)

    over(Wire, work)


@given(st.binary(max_size=1500))
def test_any_bytes_are_a_letter_or_none(data: bytes) -> None:
    """Whatever arrives: it is taken for no letter, and nothing is raised."""
    assert SEAL.opened(data) is None
    assert SEAL.opened(b"HAAL" + data) is None


@given(st.integers(0, 200), st.integers(0, 7))
def test_one_changed_bit_is_no_letter(at: int, bit: int) -> None:
    """Every bit of a letter is signed."""
    data = bytearray(SEAL.closed(Letter(0, True, 1, 2, 3, 4, 5, 6, b"piece" * 24)))  # noqa: FBT003
    data[at % len(data)] ^= 1 << bit
    assert SEAL.opened(bytes(data)) is None


def test_agent_without_letters_counts_them() -> None:
    """What an older agent makes of one is the refusal that it counts, so both may run together."""
    assert Refusal.NOT_OURS.value == "not_ours"
    assert not SEAL.closed(Letter(0, True, 1, 2, 3, 4, 5, 6, b"")).startswith(b"HAAG")  # noqa: FBT003
