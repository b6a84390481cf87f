# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps running what a group needs on the node that does not hold it, such as a replica.

It works between two operations of a `GroupRunner`: from a stop that succeeded until the next start
or stop, which ends it first. It makes nothing ACTIVE, so it needs no grant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from haagent.resources import Condition, Reading, Times
from haagent.resources.steps import StepFailedError, bounded, die_of_bugs, look

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

    async def monitor(self) -> Reading:
        """Look at it now."""

    async def retire(self) -> None:
        """Stop it altogether; returns when that was seen."""


class StandbyKeeper:
    """Those resources of one group that a standby keeps running, in the order of their start."""

    def __init__(self, resources: Sequence[StandbyResource]) -> None:
        """Nothing is begun yet."""
        self._resources = tuple(resources)
        self._tasks: set[asyncio.Task[None]] = set()
        """The one at work, and those it replaced that have not ended yet."""
        self._readings: dict[str, Reading] = {}
        self.mends = True
        """Bring back what fails, or only look at it (a frozen group)."""

    @property
    def readings(self) -> Mapping[str, Reading]:
        """The last look at each, while this is at work; else none."""
        return dict(self._readings)

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

    async def _work(self, before: frozenset[asyncio.Task[None]], *, on: bool) -> None:
        if before:
            await asyncio.wait(before)
        failures = 0
        while True:
            try:
                await (self._keep() if on else self._retire())
            except StepFailedError as error:
                log.warning("standby.failed", reason=str(error))
                failures += 1
                await asyncio.sleep(min(RETRY_S * 2 ** (failures - 1), RETRY_MAX_S))
                continue
            if not on:
                return
            failures = 0
            waits = [each.times.interval_s or Times().interval_s for each in self._resources]
            await asyncio.sleep(min(waits))

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
