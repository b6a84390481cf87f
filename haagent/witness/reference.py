# SPDX-License-Identifier: GPL-2.0-or-later
"""An address that must answer an echo request: a vote for whoever can reach it.

It chooses nobody, since it may answer both nodes; it tells one that is cut off that it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from haagent.reach import Reference
from haagent.reach.echo import EchoAsker
from haagent.reach.watch import NUMBERS, REPEAT_S, not_before
from haagent.witness import Vote, Word


class ReferenceWitness:
    """See `haagent.witness.Witness`.

    Args:
        reference: Who is asked.
        timeout_s: How long an answer may take.
    """

    chooses = False

    def __init__(self, reference: Reference, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._asker = EchoAsker([reference], self._heard)
        self._number = 0
        self._first = 0
        """Of the question that is open."""
        self._answered: asyncio.Event | None = None

    def open(self) -> None:
        """Listen for answers.

        Raises:
            EdgeError: not permitted to open raw sockets.
        """
        self._asker.open()

    async def claim(self, terms: tuple[int, ...]) -> Vote:
        """See `Witness.claim`."""
        del terms
        return await self.look({})

    async def look(self, held: Mapping[int, int]) -> Vote:
        """See `Witness.look`."""
        del held
        self._asker.drain()  # What waits here is older than the question.
        self._answered = answered = asyncio.Event()
        self._first = (self._number + 1) % NUMBERS
        waiting = asyncio.create_task(answered.wait())
        try:
            async with asyncio.timeout(self._timeout_s):
                while not answered.is_set():
                    self._number = (self._number + 1) % NUMBERS
                    self._asker.ask(self._number)
                    await asyncio.wait({waiting}, timeout=REPEAT_S)
        except TimeoutError:
            self._asker.drain()  # A loop that was late finds the answer here (S6).
        finally:
            waiting.cancel()
        if answered.is_set():
            return Vote(Word.YES, "answers")
        return Vote(Word.SILENT, f"no answer within {self._timeout_s:g} s")

    async def release(self) -> None:
        """See `Witness.release`."""

    def close(self) -> None:
        """See `Witness.close`."""
        self._asker.close()

    def _heard(self, reference: Reference, number: int) -> None:
        del reference
        if self._answered is not None and not_before(number, self._first):
            self._answered.set()
