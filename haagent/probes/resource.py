# SPDX-License-Identifier: GPL-2.0-or-later
"""Probes among the resources: the holder of a group judges its service by what a client meets.

`ProbedResource` puts the probe into the monitor of the resource that it is about, so that a restart
in place restarts that one. `ProbeResource` stands alone, for a group whose service haagent does not
start: there a failure can only end in a hand-over.

A service may take `times.answer_s` from its start to its first answer, for no start waits for the
probe: the clients' way (a virtual address) may be made later, and a takeover waits for no check.
From the first answer on every failure is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from haagent.probes import Probe
from haagent.resources import Condition, Reading, Resource, Times

Clock = Callable[[], int]
"""Monotonic ns."""


class ProbedResource:
    """A resource that is ACTIVE only while the probe answers too.

    Args:
        resource: What is started and stopped; its name and times are ours.
        probe: Asked when the resource's own monitor says ACTIVE; keeps its own time limit.
        clock_ns: Monotonic.
    """

    def __init__(
        self, resource: Resource, probe: Probe, clock_ns: Clock = time.monotonic_ns
    ) -> None:
        self.resource = resource
        self._judge = _Judge(probe, clock_ns)

    @property
    def name(self) -> str:
        """Unique in its group."""
        return self.resource.name

    @property
    def times(self) -> Times:
        """Limits and interval."""
        return self.resource.times

    def ask(self, probe: Probe) -> None:
        """Go by another probe from now on."""
        self._judge.probe = probe

    async def start(self) -> None:
        """Start the resource; the probe comes later."""
        await self.resource.start()
        self._judge.begin(self.resource.times)

    async def stop(self) -> None:
        """Stop the resource."""
        await self.resource.stop()

    async def monitor(self) -> Reading:
        """Look at the resource, and ask the service if it runs here."""
        reading = await self.resource.monitor()
        return await self._judge.reading() if reading.condition is Condition.ACTIVE else reading

    async def retire(self) -> None:
        """Retire the resource."""
        await self.resource.retire()

    async def close(self) -> None:
        """Let go of the resource's connections."""
        await self.resource.close()


class ProbeResource:
    """Starts and stops nothing; its monitor is the probe.

    A probe answers wherever the service runs, so on a node that does not hold the group it would
    report the peer's service as our own: until start(), and after stop(), the reading is STOPPED
    and nobody is asked.

    Args:
        name: Unique in its group.
        probe: Keeps its own time limit.
        times: `answer_s`: how long the service may take to answer for the first time.
        clock_ns: Monotonic.
    """

    def __init__(
        self, name: str, probe: Probe, times: Times, clock_ns: Clock = time.monotonic_ns
    ) -> None:
        self._name = name
        self.times = times
        """Limits and interval."""
        self._judge = _Judge(probe, clock_ns)
        self._ours = False

    @property
    def name(self) -> str:
        """Unique in its group."""
        return self._name

    def ask(self, probe: Probe) -> None:
        """Go by another probe from now on."""
        self._judge.probe = probe

    async def start(self) -> None:
        """From now on the service is ours to judge."""
        self._ours = True
        self._judge.begin(self.times)

    async def stop(self) -> None:
        """From now on it is not."""
        self._ours = False

    async def monitor(self) -> Reading:
        """Ask once."""
        return await self._judge.reading() if self._ours else Reading(Condition.STOPPED)

    async def retire(self) -> None:
        """Same as stop()."""
        await self.stop()

    async def close(self) -> None:
        """There is nothing to let go of."""


class _Judge:
    """Makes readings of answers, patient with a service that was just started."""

    def __init__(self, probe: Probe, clock_ns: Clock) -> None:
        self.probe = probe
        self._clock_ns = clock_ns
        self._patient_until_ns = 0

    def begin(self, times: Times) -> None:
        """The service was started just now."""
        patience_s = times.start_s if times.answer_s is None else times.answer_s
        self._patient_until_ns = self._clock_ns() + round(patience_s * 1e9)

    async def reading(self) -> Reading:
        """Ask once, of a service that is to run here."""
        answer = await self.probe.answers()
        if answer.ok:
            self._patient_until_ns = 0
            return Reading(Condition.ACTIVE, answer.detail)
        if self._clock_ns() < self._patient_until_ns:
            return Reading(Condition.ACTIVE, f"has not answered yet: {answer.detail}")
        return Reading(Condition.FAILED, answer.detail)
