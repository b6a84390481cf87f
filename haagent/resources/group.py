# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts, watches, restarts in place and stops the resources of one group, in their order.

One operation at a time: start(), stop() and a restart in place never overlap each other or a
monitor. An operation ends the watch over the group first, a restart that is under way included, so
stop() always wins. Groups share nothing, so none waits for another.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from haagent.bugs import die_of_bugs
from haagent.resources import Condition, Reading, Resource, ResourceError
from haagent.resources.health import Decision, Health, Lost, Nothing, Policy, Restart, fail, judge
from haagent.resources.steps import StepFailedError, bounded, look

JITTER = 0.1
"""Part of an interval by which looks are spread, so that those of many resources do not meet."""

log = structlog.get_logger()


class GroupRunner:
    """The resources of one group on this node."""

    def __init__(
        self,
        resources: Sequence[Resource],
        policy: Policy,
        on_lost: Callable[[str], None],
        on_reading: Callable[[str, Reading], None],
    ) -> None:
        """Nothing is begun yet.

        Args:
            resources: In the order of their start; names are unique.
            policy: When to restart in place, and when to give up.
            on_lost: Called once between two operations, on the loop, with the reason: restarts in
                place did not help, or one could not be carried out. The caller stops the group.
            on_reading: Called on the loop with every reading of a monitor, and the resource's name.
        """
        self._resources = tuple(resources)
        self._policy = policy
        self._on_lost = on_lost
        self._on_reading = on_reading
        self._wakes = {resource.name: asyncio.Event() for resource in resources}
        self._readings: dict[str, Reading] = {}
        self._health = Health()
        self._lost = False
        self.mends = True
        """What fails is mended, or only looked at (a frozen group); see manage()."""
        self._operation = asyncio.Lock()
        self._watches: set[asyncio.Task[None]] = set()
        self._restarting: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._stop_from: int | None = None
        """How many resources may still run after a stop that failed; None: nobody knows."""

    @property
    def readings(self) -> Mapping[str, Reading]:
        """The last reading of each resource that was looked at since the last operation."""
        return dict(self._readings)

    async def found(self) -> bool:
        """Whether all of the group is ACTIVE here now, for certain; touches nothing.

        Only what is certain is taken up without a grant (S2): what may run is stopped instead.
        """
        async with self._operation:
            await self._end_watch()
            readings = await self._look_at(0)
            return all(reading.condition is Condition.ACTIVE for reading in readings)

    async def resume(self) -> None:
        """Take up what runs here as it is: nothing is touched, each is looked at now."""
        async with self._operation:
            await self._begin()
            self._stop_from = None
            for wake in self._wakes.values():
                wake.set()
            self._watch()

    async def start(self) -> None:
        """Make every resource ACTIVE, in order, then watch over them.

        Raises:
            ResourceError: Names the one that failed, and why. What was started stays: stop() it.
        """
        async with self._operation:
            await self._begin()
            try:
                await self._start_from(0)
            except StepFailedError as error:
                raise ResourceError(str(error)) from error
            self._watch()

    async def stop(self) -> None:
        """Make every resource harmless, in reverse order (S7).

        After one that failed or was cancelled it goes on there, as far as all that was stopped
        before still is.

        Raises:
            ResourceError: Names the one that was not seen stopped; those before it still run.
        """
        async with self._operation:
            await self._begin()
            try:
                await self._stop_all()
            except StepFailedError as error:
                raise ResourceError(str(error)) from error

    async def retire(self) -> None:
        """Stop the group, then what stop() leaves running: this node is left for good.

        Raises:
            ResourceError: Something of it may still run.
        """
        await self.stop()
        async with self._operation:
            for resource in reversed(self._resources):
                limit_s = resource.times.stop_s
                try:
                    await bounded(resource.name, resource.retire(), "retire", limit_s)
                except StepFailedError as error:
                    raise ResourceError(str(error)) from error

    async def close(self) -> None:
        """Watch no more, and leave every resource as it is."""
        async with self._operation:
            await self._end_watch()
            for resource in self._resources:
                await resource.close()

    def manage(self, *, on: bool) -> None:
        """Mend what fails, or leave it and only look (a frozen group)."""
        if on and not self.mends:
            self._health = Health()
            self._lost = False  # Whoever was told of a loss left the frozen group as it was.
            for wake in self._wakes.values():
                wake.set()
        self.mends = on

    def reconfigure(self, policy: Policy) -> None:
        """Go by another policy, and by what the resources' times have become."""
        self._policy = policy
        for wake in self._wakes.values():
            wake.set()

    def look(self, name: str) -> None:
        """Have a resource looked at now: it gave a sign that it changed."""
        self._wakes[name].set()

    async def _begin(self) -> None:
        """Begin an operation: what was known of the group holds no longer."""
        await self._end_watch()
        self._lost = False
        self._health = Health()
        self._readings.clear()

    async def _start_from(self, index: int) -> None:
        self._stop_from = None
        for resource in self._resources[index:]:
            begun_ns = time.monotonic_ns()
            # A sign from before this start is old news; one that it gives from now on is not.
            self._wakes[resource.name].clear()
            await bounded(resource.name, resource.start(), "start", resource.times.start_s)
            took_ms = (time.monotonic_ns() - begun_ns) // 1_000_000
            log.info("resource.started", of=resource.name, took_ms=took_ms)
            self._readings[resource.name] = Reading(Condition.ACTIVE)

    async def _stop_all(self) -> None:
        if self._stop_from is None:
            self._stop_from = len(self._resources)
        else:
            # Those above were seen stopped, but that was then: somebody may have started one.
            self._stop_from = max(self._stop_from, await self._may_run(self._stop_from))
        while self._stop_from:
            await self._stop_one(self._resources[self._stop_from - 1])
            self._stop_from -= 1
        self._stop_from = None

    async def _stop_one(self, resource: Resource) -> None:
        begun_ns = time.monotonic_ns()
        await bounded(resource.name, resource.stop(), "stop", resource.times.stop_s)
        took_ms = (time.monotonic_ns() - begun_ns) // 1_000_000
        log.info("resource.stopped", of=resource.name, took_ms=took_ms)

    async def _end_watch(self) -> None:
        """End every monitor, and a restart that is under way; returns when they have ended."""
        restarting = {self._restarting} if self._restarting is not None else set()
        # A restart that was about to end may have begun a new watch over the group.
        while tasks := {task for task in self._watches | restarting if not task.done()}:
            await self._end(tasks)
        self._restarting = None

    async def _end(self, tasks: set[asyncio.Task[None]]) -> None:
        """Cancel these and wait until they have ended; what they raise is told elsewhere."""
        # A second time would disturb one while it tidies up. (Its own cancelling() counts the
        # cancellations of its time limits, too.)
        for task in tasks - self._ending:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _watch(self) -> None:
        for resource in self._resources:
            task = asyncio.create_task(self._watch_one(resource))
            self._watches.add(task)
            task.add_done_callback(self._watches.discard)
            task.add_done_callback(die_of_bugs)

    async def _watch_one(self, resource: Resource) -> None:
        wake = self._wakes[resource.name]
        while True:
            interval_s = resource.times.interval_s
            pause_s = interval_s * random.uniform(1 - JITTER, 1) if interval_s else None  # noqa: S311 - spreads load
            try:
                async with asyncio.timeout(pause_s):
                    await wake.wait()
            except TimeoutError:
                pass
            wake.clear()
            reading = await look(resource)
            self._note(resource.name, reading)
            self._judge(resource.name, reading)

    async def _may_run(self, index: int) -> int:
        """Look at all from `index` on at once.

        Returns:
            How many resources there are up to the last one that is, or may be, ACTIVE; 0: none is.
        """
        may_run = {Condition.ACTIVE, Condition.FAILED}
        readings = await self._look_at(index)
        counts = [
            n for n, each in enumerate(readings, start=index + 1) if each.condition in may_run
        ]
        return max(counts, default=0)

    async def _look_at(self, index: int) -> list[Reading]:
        # Not gather(): cancelled, that would return before all of them have ended.
        async with asyncio.TaskGroup() as looks:
            tasks = [looks.create_task(look(each)) for each in self._resources[index:]]
        return [task.result() for task in tasks]

    def _note(self, name: str, reading: Reading) -> None:
        before = self._readings.get(name)
        self._readings[name] = reading
        if before is None or before.condition is not reading.condition:
            say = log.info if reading.condition is Condition.ACTIVE else log.warning
            say("resource.seen", of=name, condition=reading.condition.value, detail=reading.detail)
        self._on_reading(name, reading)

    def _judge(self, name: str, reading: Reading) -> None:
        if self._lost or self._restarting is not None or not self.mends:
            return
        now_ns = time.monotonic_ns()
        self._health, decision = judge(self._health, self._policy, name, reading, now_ns)
        match decision:
            case Restart():
                self._restarting = asyncio.create_task(self._restart(decision))
                self._restarting.add_done_callback(die_of_bugs)
            case Lost():
                self._lose(decision.detail)
            case Nothing():
                pass

    def _lose(self, detail: str) -> None:
        self._lost = True
        log.error("resource.lost", detail=detail)
        self._on_lost(detail)

    async def _restart(self, restart: Restart) -> None:
        """Restart in place until it succeeds or the policy ends it; then watch again."""
        await self._end(set(self._watches))
        decision: Decision = restart
        while isinstance(decision, Restart):
            log.warning("resource.restarting", of=decision.name, detail=decision.detail)
            decision = await self._restart_once(decision.name)
        # Without an await from here on: a watch must never see a restart that has ended.
        self._restarting = None
        self._watch()
        if isinstance(decision, Lost):
            self._lose(decision.detail)

    async def _restart_once(self, name: str) -> Decision:
        """Stop the resource and everything after it, then start them again."""
        index = [resource.name for resource in self._resources].index(name)
        try:
            for resource in reversed(self._resources[index:]):
                await self._stop_one(resource)
        except StepFailedError as error:
            return Lost(str(error))  # No second try: whoever stops the group escalates it (S7).
        try:
            await self._start_from(index)
        except StepFailedError as error:
            now_ns = time.monotonic_ns()
            self._health, decision = fail(
                self._health, self._policy, error.name, error.reason, now_ns
            )
            return decision
        return Nothing()
