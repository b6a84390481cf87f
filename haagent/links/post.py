# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks the peer's agent, and answers it, in letters: one question at a time in each direction.

A question or answer goes piece by piece, the next one when the last has arrived; what is lost is
sent again. A question that arrives twice is carried out once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from haagent.bugs import die_of_bugs
from haagent.errors import EdgeError
from haagent.links.letters import PIECE_BYTES_MAX, UNWRITTEN, Letter, Seal

RESEND_S = 0.1
"""As often as heartbeats go: a lost letter costs no more than a lost heartbeat."""
TEXT_BYTES_MAX = 512_000
"""Of a question or an answer; a record of a drill has some ten thousand."""

Answerer = Callable[[Mapping[str, object]], Awaitable[Mapping[str, object]]]
"""Answers one question of the peer; EdgeError becomes a refusal."""

log = structlog.get_logger()


@dataclass(slots=True)
class Exchange:
    """One question and its answer, as one of the two sides sees it."""

    number: int
    peer: int
    """Incarnation of the other side."""
    ours: bytes | None
    """Our text; None while it is being made."""
    theirs: bytearray = field(default_factory=bytearray)
    theirs_total: int = UNWRITTEN
    arrived: int = 0
    """How much of our text the other side has."""
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def complete(self) -> bool:
        """All of their text is here."""
        return len(self.theirs) == self.theirs_total

    def take(self, letter: Letter) -> bool:
        """Take a piece in; whether anything is new."""
        before = (len(self.theirs), self.theirs_total, self.arrived)
        if letter.total != UNWRITTEN and letter.total <= TEXT_BYTES_MAX:
            self.theirs_total = letter.total
        if letter.offset == len(self.theirs) <= self.theirs_total:
            room = self.theirs_total - len(self.theirs)
            self.theirs += letter.piece[:room]
        if self.ours is not None:
            self.arrived = max(self.arrived, min(letter.have, len(self.ours)))
        return before != (len(self.theirs), self.theirs_total, self.arrived)


@dataclass(slots=True)
class Post:
    """Letters with the peer's agent."""

    me: int
    """Our node's number."""
    incarnation: int
    seal: Seal
    send: Callable[[bytes], None]
    """Sends bytes over every link."""
    peer: Callable[[], int | None]
    """Gives the peer's present incarnation, None while it is not heard."""
    answerer: Answerer
    refused: int = field(default=0, init=False)
    """Letters that were not authentic, or of another time."""
    _number: int = field(default=0, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _asking: Exchange | None = field(default=None, init=False)
    _answering: Exchange | None = field(default=None, init=False)
    _work: asyncio.Task[None] | None = field(default=None, init=False)

    async def ask(self, question: Mapping[str, object], timeout_s: float) -> dict[str, Any]:
        """Ask the peer's agent and return its reply.

        Raises:
            EdgeError: It is not heard, or did not answer in time: it may have done it or not.
        """
        text = json.dumps(question).encode()
        try:
            async with asyncio.timeout(timeout_s), self._turn:
                peer = self.peer()
                if peer is None:
                    raise EdgeError("the peer's agent is not heard")
                self._number += 1
                exchange = self._asking = Exchange(self._number, peer, text)
                while not exchange.complete:
                    self._push(exchange, answers=False)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(RESEND_S):
                            await exchange.moved.wait()
                    exchange.moved.clear()
        except TimeoutError:
            raise EdgeError("the peer's agent has not answered") from None
        finally:
            self._asking = None
        reply: dict[str, Any] = json.loads(exchange.theirs)
        return reply

    def take(self, data: bytes) -> None:
        """Take in a datagram that begins with MAGIC; never raises."""
        letter = self.seal.opened(data)
        if (
            letter is None
            or letter.sender != 1 - self.me
            or letter.destination != self.incarnation
            or letter.origin != self.peer()
        ):
            self.refused += 1
        elif letter.answers:
            self._take_answer(letter)
        else:
            self._take_question(letter)

    async def close(self) -> None:
        """Answer nobody any more."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait({self._work})

    def _take_answer(self, letter: Letter) -> None:
        exchange = self._asking
        if exchange is None or (letter.number, letter.origin) != (exchange.number, exchange.peer):
            return
        if exchange.take(letter):
            exchange.moved.set()

    def _take_question(self, letter: Letter) -> None:
        exchange = self._answering
        if exchange is None or exchange.peer != letter.origin or letter.number > exchange.number:
            if letter.offset != 0:
                return
            exchange = self._answering = Exchange(letter.number, letter.origin, None)
        elif letter.number < exchange.number:
            return
        whole = exchange.complete
        exchange.take(letter)
        if exchange.complete and not whole:
            self._work = asyncio.get_running_loop().create_task(self._answer(exchange))
            self._work.add_done_callback(die_of_bugs)
        self._push(exchange, answers=True)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            question = json.loads(exchange.theirs)
            reply = await self.answerer(question if isinstance(question, dict) else {})
        except (EdgeError, ValueError) as error:
            reply = {"ok": False, "message": str(error), "data": None}
        exchange.ours = json.dumps(reply).encode()
        self._push(exchange, answers=True)

    def _push(self, exchange: Exchange, *, answers: bool) -> None:
        """Send the piece that the other side lacks next, and say how much of its text is here."""
        ours = exchange.ours
        piece = b"" if ours is None else ours[exchange.arrived :][:PIECE_BYTES_MAX]
        letter = Letter(
            self.me,
            answers,
            self.incarnation,
            exchange.peer,
            exchange.number,
            len(exchange.theirs),
            exchange.arrived,
            UNWRITTEN if ours is None else len(ours),
            piece,
        )
        self.send(self.seal.closed(letter))
