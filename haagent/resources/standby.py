# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps running what a group needs on the node that does not hold it, such as a replica.

It works between two operations of a `GroupRunner`: from a stop that succeeded until the next start
or stop, which ends it first. It makes nothing ACTIVE, so it needs no grant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from haagent.bugs import die_of_bugs
from haagent.resources import Condition, Reading, Times
from haagent.resources.steps import StepFailedError, bounded, look

RETRY_S = 5.0
RETRY_MAX_S = 60.0
"""Pauses after a failure; they double, as those of a group that does not start."""

log = structlog.get_logger()


class StandbyResource(Protocol):
    """A `haagent.resources.Resource` that runs on both nodes."""

    @property
    def name(self) -> str:
        """Unique in its group."""

    @property
    def times(self) -> Times:
        """Limits and interval."""

    async def stand_by(self) -> None:
        """Make it STANDBY, from whatever it is; returns when that was seen."""

    async def stop(self) -> None:
        """Make it harmless, STOPPED or STANDBY; returns when that was seen."""

    async def monitor(self) -> Reading:
        """Look at it now."""

    async def retire(self) -> None:
        """Stop it altogether; returns when that was seen."""


class StandbyKeeper:
    """Those resources of one group that a standby keeps running, in the order of their start."""

    def __init__(
        self,
        resources: Sequence[StandbyResource],
        on_change: Callable[[bool, str], None] | None = None,
    ) -> None:
        """Nothing is begun yet.

        Args:
            resources: In the order of their start; names are unique.
            on_change: Called on the loop whenever `escaped`, or whether all are what begin() asks
                for, has changed: with the latter, and if it is not so with the reason. Nobody knows
                before the first call after a begin().
        """
        self._resources = tuple(resources)
        self._on_change = on_change
        self._told: tuple[bool, bool] | None = None
        """What was last told, and `escaped`."""
        self._escaped = False
        self._tasks: set[asyncio.Task[None]] = set()
        """The one at work, and those it replaced that have not ended yet."""
        self._readings: dict[str, Reading] = {}
        self._wake = asyncio.Event()
        self.mends = True
        """Bring back what fails, or only look at it (a frozen group)."""

    @property
    def readings(self) -> Mapping[str, Reading]:
        """The last look at each, while this is at work; else none."""
        return dict(self._readings)

    @property
    def escaped(self) -> bool:
        """Whether one is ACTIVE, or may be, and could not be stopped, or may not (frozen).

        What is frozen and FAILED is not counted: nobody has tried to stop it.
        """
        return self._escaped

    def look(self) -> None:
        """Look again now, whatever failed: one of them gave a sign that it is mended."""
        self._wake.set()

    def begin(self, *, on: bool) -> None:
        """The group was seen stopped here: keep these running, or stop them as well.

        May be called again, to change one for the other.
        """
        if not self._resources:
            return
        before = frozenset(self._tasks)
        for task in before:
            task.cancel()
        task = asyncio.create_task(self._work(before, on=on))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(die_of_bugs)

    async def end(self) -> None:
        """Do nothing more; returns when nothing of it is under way. They stay as they are."""
        tasks = frozenset(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._readings.clear()
        self._told, self._escaped = None, False

    async def _work(self, before: frozenset[asyncio.Task[None]], *, on: bool) -> None:
        if before:
            await asyncio.wait(before)
        self._told = None
        failures = 0
        while True:
            try:
                await (self._keep() if on else self._retire())
            except StepFailedError as error:
                log.warning("standby.failed", reason=str(error))
                self._tell(ok=False, detail=str(error), escaped=self._escaped)
                escaped = await self._contain()
                self._tell(ok=False, detail=escaped or str(error), escaped=bool(escaped))
                failures += 1
                await self._pause(min(RETRY_S * 2 ** (failures - 1), RETRY_MAX_S))
                continue
            self._tell_readings()
            if not on:
                return
            failures = 0
            waits = [each.times.interval_s or Times().interval_s for each in self._resources]
            await self._pause(min(waits))

    async def _pause(self, limit_s: float) -> None:
        """Until a sign comes; one that came while this worked is not overlooked."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._wake.wait()
        self._wake.clear()

    def _tell_readings(self) -> None:
        """Nothing has failed; but what is frozen, or changed at once, is not as it should be."""
        wrong = {
            name: reading
            for name, reading in self._readings.items()
            if reading.condition is not Condition.STANDBY
        }
        detail = ", ".join(
            f"{name} is {reading.condition}" + (f": {reading.detail}" if reading.detail else "")
            for name, reading in wrong.items()
        )
        active = any(reading.condition is Condition.ACTIVE for reading in wrong.values())
        self._tell(ok=not wrong, detail=detail, escaped=active)

    def _tell(self, *, ok: bool, detail: str, escaped: bool) -> None:
        self._escaped = escaped
        if (ok, escaped) != self._told:
            self._told = (ok, escaped)
            if self._on_change is not None:
                self._on_change(ok, detail)

    async def _contain(self) -> str:
        """One has failed: see that all are harmless, which a failed start alone does not question.

        Returns:
            Those that could not be made so, and why; "" for none.
        """
        escaped = []
        for resource in reversed(self._resources):
            try:
                await bounded(resource.name, resource.stop(), "stop", resource.times.stop_s)
            except StepFailedError as error:
                escaped.append(str(error))
        reason = ", ".join(escaped)
        if escaped:
            log.error("standby.escaped", reason=reason)
        return reason

    async def _keep(self) -> None:
        for resource in self._resources:
            reading = self._readings[resource.name] = await look(resource)
            if reading.condition is Condition.STANDBY or not self.mends:
                continue
            limit_s = resource.times.stop_s + resource.times.start_s
            try:
                await bounded(resource.name, resource.stand_by(), "stand-by", limit_s)
            except StepFailedError as error:
                self._readings[resource.name] = Reading(Condition.FAILED, error.reason)
                raise
            log.info("standby.runs", of=resource.name)
            self._readings[resource.name] = await look(resource)

    async def _retire(self) -> None:
        self._readings.clear()
        for resource in reversed(self._resources):
            await bounded(resource.name, resource.retire(), "retire", resource.times.stop_s)
            log.info("standby.retired", of=resource.name)
