# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings notices to one receiver, one after another, and tries again; nothing ever waits for it.

A receiver that is dead costs a bounded queue, of which the oldest is dropped for the newest, and a
program every minute. What is dropped is counted, logged, and told with the next that gets through.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import count

import structlog

from haagent.alerts import Receiver
from haagent.alerts.notice import Notice, Sender, variables
from haagent.alerts.post import program
from haagent.bugs import die_of_bugs
from haagent.resources import ResourceError
from haagent.resources.process import Programs

QUEUE_MAX = 64
"""A bad night: a failover makes about five notices."""
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses between tries; the last one again and again."""
GIVE_UP_S = 3600.0
"""A notice that could not be delivered for so long is dropped."""
REFUSED = 65
"""Exit status of a command that asks not to be tried again (sysexits.h, EX_DATAERR)."""

log = structlog.get_logger()


class Courier:
    """One receiver's queue, and the one task that works it off.

    Args:
        receiver: Of this configuration.
        sender: This node.
        delivered: Called with each notice that got through.
    """

    def __init__(
        self, receiver: Receiver, sender: Sender, delivered: Callable[[Notice], None]
    ) -> None:
        self._receiver = receiver
        self._sender = sender
        self._delivered = delivered
        self._queue: deque[Notice] = deque()
        self._programs = Programs(f"alert {receiver.name}")
        self._worker: asyncio.Task[None] | None = None
        self._told = 0
        """Of `dropped`, how many the receiver was told of."""
        self.delivered = 0
        self.failed = 0
        """Tries."""
        self.trouble = ""
        """Why the last try failed; "" if it did not."""
        self.dropped = 0
        """Notices that never got through, since the agent started."""

    @property
    def waiting(self) -> int:
        """Notices that are not delivered yet."""
        return len(self._queue)

    def tell(self, notice: Notice) -> None:
        """Deliver it after those before it; never waits and never raises."""
        if len(self._queue) >= QUEUE_MAX:
            # Not the first, which is under way.
            oldest = self._queue[1]
            del self._queue[1]
            self._drop(oldest, "the queue is full")
        self._queue.append(notice)
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())
            self._worker.add_done_callback(die_of_bugs)

    async def close(self) -> None:
        """Kill what runs and forget what waits: what stands is raised by the next agent."""
        if self._queue:
            log.warning("alert.forgotten", alert=self._receiver.name, waiting=self.waiting)
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait({self._worker})
        self._queue.clear()
        self._programs.close()

    def _drop(self, notice: Notice, reason: str) -> None:
        self.dropped += 1
        log.warning(
            "alert.dropped",
            alert=self._receiver.name,
            code=notice.subject.code,
            state=notice.kind.value,
            reason=reason,
            dropped=self.dropped,
        )

    async def _work(self) -> None:
        """Ends when there is nothing left to do."""
        try:
            while self._queue:
                await self._deliver(self._queue[0])
                self._queue.popleft()
        finally:
            self._worker = None

    async def _deliver(self, notice: Notice) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + GIVE_UP_S
        for number in count():
            status, reason = await self._try(notice)
            if status == 0:
                self.delivered += 1
                self.trouble = ""
                self._delivered(notice)
                return
            self.failed += 1
            if not self.trouble:  # One line when it begins to fail.
                log.warning("alert.failed", alert=self._receiver.name, reason=reason)
            self.trouble = reason
            if status == REFUSED or loop.time() >= end_s:
                self._drop(notice, reason)
                return
            await asyncio.sleep(RETRY_S[min(number, len(RETRY_S) - 1)])

    async def _try(self, notice: Notice) -> tuple[int, str]:
        """The exit status, and why it is not 0."""
        told = self.dropped
        environment = variables(notice, self._sender, self._receiver.name, told - self._told)
        try:
            done = await self._programs.run(
                program(self._receiver, environment), self._receiver.timeout_s
            )
        except ResourceError as error:
            return -1, str(error)
        if done.status == 0:
            self._told = told
        return done.status, str(done)
