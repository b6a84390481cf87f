# SPDX-License-Identifier: GPL-2.0-or-later
"""Two workers at one device: which answers first, and what the other may still do late."""

from __future__ import annotations

import asyncio

from fencing import FenceOutcome, Power
from fencing.verify import Happened, Progress, Tell
from fencing.worker import Message


class Orders:
    """What one worker of an attempt has sent and read, as it tells of it."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._ordered_ns: int | None = None
        self._before_ns: int | None = None
        self._acknowledged = True
        self.read_off = asyncio.Event()

    def heard(self, progress: Progress) -> None:
        """Take note of a step and pass it on."""
        match progress.happened:
            case Happened.ORDERED:
                self._before_ns, self._ordered_ns = self._ordered_ns, progress.at_ns
                self._acknowledged = False
            case Happened.NOT_SENT:
                self._ordered_ns = self._before_ns
            case Happened.ACKNOWLEDGED:
                self._acknowledged = True
            case Happened.READ if progress.text == Power.OFF:
                self.read_off.set()
        self._tell(progress)

    def late_ns(self, *, proved: bool) -> int | None:
        """When the last order left that may still be carried out; None if there is none.

        With the proof that the power is off, an acknowledged order has had its effect.
        """
        return None if proved and self._acknowledged else self._ordered_ns


async def soon(asked: asyncio.Task[Message], orders: Orders, budget_s: float) -> bool:
    """Whether a worker reads off, or ends, within its budget."""
    reading = asyncio.create_task(orders.read_off.wait())
    try:
        done, _ = await asyncio.wait(
            {asked, reading}, timeout=budget_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        reading.cancel()
    return bool(done)


async def first_confirmed(racing: set[asyncio.Task[Message]]) -> list[Message]:
    """The answers there are when one is a proof, or when there are all."""
    left = set(racing)
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        if any(confirmed(task.result()) for task in done):
            break
    return [task.result() for task in racing if task.done()]


def confirmed(answer: Message) -> bool:
    """Whether this answer to "off" is the proof."""
    return bool(answer["outcome"] == FenceOutcome.CONFIRMED_OFF)
