# SPDX-License-Identifier: GPL-2.0-or-later
"""Watches the pair throughout a drill, and says when to stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from haagent.bugs import die_of_bugs
from haagent.drill.client import Clients
from haagent.drill.holders import Holders
from haagent.drill.pair import Pair, Status, codes, roles
from haagent.drill.timeline import Timeline
from haagent.errors import EdgeError

LOOK_HERE_S = 0.1
LOOK_THERE_S = 0.5
SESSION_EVERY_S = 2.0
"""A third of the time after which the agents take a drill that says nothing for dead."""
LEASE_S = 3.0
"""Of a silence that is renewed all the time."""
BY_A_PERSON = {"interrupted", "terminal_lost"}
"""What stops a drill without speaking against the pair."""
DATA_CODES = {"data_too_old"}
PASSING = ("late", "peer_late", "drill_due_")
"""Begins of codes: an agent late for a moment, a day that has come. No faults of the pair's."""
AGENT_GONE = "agent_gone"
"""No alarm of the pair's: nobody on this node is there to raise one."""


class StoppedError(Exception):
    """A condition to stop came true before anything irrevocable was done."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class DeviatedError(Exception):
    """What was expected did not come."""


class Watch:
    """The pair, looked at all the time.

    Args:
        pair: Both agents.
        timeline: Is told of every change.
        clients: Are asked for their gaps.
        holders: Is asked for two holders.
    """

    def __init__(self, pair: Pair, timeline: Timeline, clients: Clients, holders: Holders) -> None:
        self._pair = pair
        self._timeline = timeline
        self.clients = clients
        self._holders = holders
        self.here: Status | None = None
        """The newest status of this node, None while its agent does not answer."""
        self.here_ns = 0
        """When it came, monotonic."""
        self.there: Status | None = None
        self.allowed: Callable[[str], bool] = lambda _: False
        """Says of an alarm's code that it belongs to what the drill does at the moment."""
        self.gap_budget_s = 1.0
        self.still = True
        """No role may change at the moment."""
        self.committed = False
        """Power was cut, or will be whatever we do: from now on the drill goes to its end."""
        self.stopped: StoppedError | None = None
        self.deviations: list[str] = []
        self.silent_s_max = 0.0
        """The peer's longest silence, as this node's agent measured it."""
        self._known: set[str] | None = None
        """Alarms that were there before; None: nobody said yet what is normal."""
        self._roles: dict[str, str] = {}
        self._silenced: list[str] = []
        """Links that are to stay silent."""
        self._moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, identity: str) -> None:
        """Begin to look.

        Args:
            identity: The drill's id, so that the agents go on to believe in it.
        """
        self._go(self._look_here())
        self._go(self._look_there())
        self._go(self._say_we_live(identity))
        self._go(self._renew())

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def silence(self, links: list[str]) -> None:
        """Have this node's agent neither send nor hear on these links until `mend`.

        The lease is short and renewed: should this program die, it ends within LEASE_S.
        """
        self._silenced = links
        await self._silence()

    async def mend(self) -> None:
        """End every fault that this node carries."""
        self._silenced = []
        await self._pair.order("lift")

    def settle(self) -> None:
        """What is now is how it should be: only what comes on top is a second fault."""
        self._known = codes(self.here) | codes(self.there)
        self._roles = roles(self.here)

    def forget(self) -> StoppedError | None:
        """Return why the drill was stopped, and judge anew from here."""
        reason, self.stopped, self._holders.twice = self.stopped, None, ""
        return reason

    def stop(self, code: str, text: str) -> None:
        """Have the drill stopped; only the first reason counts."""
        if self.stopped is None:
            self.stopped = StoppedError(code, text)
            self._timeline.tell("drill", f"STOP: {text}")
            self._moved.set()

    async def until(self, wanted: Callable[[], bool], limit_s: float, what: str) -> None:
        """Wait until something is so.

        Raises:
            StoppedError: A condition to stop came first, and stopping is still free.
            DeviatedError: It was not so within the limit.
        """
        end_s = time.monotonic() + limit_s
        while not wanted():
            self.check()
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise DeviatedError(f"not within {limit_s:g} s: {what}")
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, LOOK_HERE_S)):
                    await self._moved.wait()

    async def quiet(self, for_s: float) -> None:
        """Watch for so long that nothing happens that must not.

        Raises:
            StoppedError: Something did.
        """
        end_s = time.monotonic() + for_s
        await self.until(lambda: time.monotonic() >= end_s, for_s + 1, "the time has passed")

    def check(self) -> None:
        """Raise StoppedError if there is a reason, and stopping is still free."""
        self._judge()
        if self.stopped is not None and not self.committed:
            raise self.stopped

    def _judge(self) -> None:
        """Every condition to stop."""
        if self.stopped is not None or self._known is None:
            return
        if self._holders.twice:
            self.stop("two_holders", self._holders.twice)
        if self.still and self.here is not None and roles(self.here) != self._roles:
            now = ", ".join(f"{name} {role}" for name, role in roles(self.here).items())
            self.stop("role_changed", f"a role changed that was to stay: {now}")
        for name, client in self.clients.of.items():
            if client.unanswered_s() > self.gap_budget_s:
                text = f"nobody answered the client of {name} for {self.gap_budget_s:g} s"
                self.stop("client_gap", text)
        if self.here is None and not self.allowed(AGENT_GONE):
            self.stop("second_fault", f"a second fault: the agent of {self._pair.me} is gone")
        if self._new() & DATA_CODES:
            self.stop("data_too_old", "the standby's data is further behind than max_lag allows")
        new = sorted(code for code in self._new() - DATA_CODES if not self.allowed(code))
        if new:
            self.stop("second_fault", f"a second fault: {', '.join(new)}")

    def calm(self) -> bool:
        """Both agents answer, and nothing is wrong that was not wrong at the beginning."""
        return self.here is not None and self.there is not None and not self._new()

    def _new(self) -> set[str]:
        """Codes of what was not there at the beginning."""
        said = {c for c in codes(self.here) | codes(self.there) if not c.startswith(PASSING)}
        return said - (self._known or set())

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(die_of_bugs)
        self._tasks.append(task)

    async def look(self) -> None:
        """See what this node's agent says now, not a moment ago."""
        self.here = await self._pair.status(self._pair.me)
        self.here_ns = time.monotonic_ns()
        self._tell(self._pair.me, self.here)
        if self.here is not None:
            peer = self.here["peer_state"]
            self.silent_s_max = max(self.silent_s_max, peer["silent_ms"] / 1000)
            if peer["phase"] != "alive":
                self._timeline.state(self._pair.peer, peer["phase"])
        self._moved.set()

    async def _look_here(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_HERE_S)

    async def _look_there(self) -> None:
        while True:
            self.there = await self._pair.status(self._pair.peer)
            if self.there is not None:
                self._tell(self._pair.peer, self.there)
            self._moved.set()
            await asyncio.sleep(LOOK_THERE_S)

    async def _say_we_live(self, identity: str) -> None:
        while True:
            await asyncio.sleep(SESSION_EVERY_S)
            for node in (self._pair.me, self._pair.peer):
                with suppress(EdgeError):
                    await self._pair.order("begin", node, id=identity)

    async def _silence(self) -> None:
        await self._pair.order("silence", links=self._silenced, for_s=LEASE_S)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            if self._silenced:
                with suppress(EdgeError):  # Then it ends, and the drill sees what comes of it.
                    await self._silence()

    def _tell(self, node: str, status: Status | None) -> None:
        if status is None:
            self._timeline.state(node, "its agent does not answer")
            return
        found = roles(status)
        self._timeline.state(node, ", ".join(f"{name} {role}" for name, role in found.items()))
