# SPDX-License-Identifier: GPL-2.0-or-later
"""One resource on one machine: whether it runs, what it says of itself, and what is wrong with it.

A stop that claims to have stopped what still runs is not simulated: no design survives that, as
the machine says itself that it let go. What hides behind a lying monitor is: here, as in the real
kinds, a stop is an order of its own that fails by itself.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from haagent.core.settings import MS, S
from haagent.resources import Condition, Reading

if TYPE_CHECKING:
    from .machine import Machine

Work = Generator[int, None, None]
"""Something that takes time: it yields for how many ns it has to wait next."""


class StepFailed(Exception):  # noqa: N818 - a word of the model
    """A resource did not get to where it should be, as far as anybody can tell."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class Resource:
    """It outlives the agents that start and stop it; every flag below is a fault that lasts."""

    def __init__(self, machine: Machine, group: int, index: int) -> None:
        self._machine = machine
        self._group = group
        self._plan = machine.world.mix.plans[group]
        self.index = index
        self.honest = index == self._plan.resources - 1
        """The address: the kernel says whether it is there."""
        self.name = str(index)
        self.runs = False
        self.heal()

    def on_both(self) -> list[Resource]:
        """The same one of the same group on each machine."""
        return [m.groups[self._group][self.index] for m in self._machine.world.machines]

    def heal(self) -> None:
        """Nothing is wrong with it any more."""
        self.start_fails = self.start_hangs = self.stop_fails = self.stop_hangs = False
        self.lie: Condition | None = None
        """What its monitor says, whatever is true."""

    def look(self) -> Reading:
        """What its monitor says."""
        true = Condition.ACTIVE if self.runs else Condition.STOPPED
        if self.lie not in {None, true}:
            self._machine.world.note_once(f"monitor says {self.lie}, it is {true}")
        return Reading(self.lie or true)

    def start(self) -> Work:
        """What is ACTIVE is left alone; the rest is started, and seen ACTIVE.

        Raises:
            StepFailed: something of it may run.
        """
        yield self._duration_ns()
        if self.look().condition is Condition.ACTIVE:
            return
        fails, rng = self.start_fails, self._machine.world.rng
        if not fails or rng.random() < 0.5:
            self.set_runs(runs=True)
        if self.start_hangs:
            self._machine.world.note_once("start hung")
            yield self._plan.start_limit_ns
            raise StepFailed(self.name, "start hangs")
        yield self._duration_ns()
        if fails:
            raise StepFailed(self.name, "start failed")
        if self.look().condition is not Condition.ACTIVE:
            raise StepFailed(self.name, "not seen active")

    def stop(self) -> Work:
        """Stop it, and see it STOPPED.

        Raises:
            StepFailed: something of it may run.
        """
        yield self._duration_ns()
        if self.runs and self.stop_hangs:
            self._machine.world.note_once("stop hung")
            yield self._plan.stop_limit_ns
            raise StepFailed(self.name, "stop hangs")
        if self.runs and self.stop_fails:
            raise StepFailed(self.name, "still runs")
        self.set_runs(runs=False)
        if self.look().condition is not Condition.STOPPED:
            raise StepFailed(self.name, "not seen stopped")

    def set_runs(self, *, runs: bool) -> None:
        """It came up, or went down, on a machine that is powered."""
        if runs == self.runs:
            return
        world = self._machine.world
        self.runs = runs
        world.note(self._machine.node, "RUNS" if runs else "down", f"{self._group}.{self.name}")
        if runs:
            world.checker.one_holder()

    def _duration_ns(self) -> int:
        """All resources of a group together take at most 60 ms, or 4 s where they are slow."""
        longest_ns = 4 * S if self._machine.group_slow else 60 * MS
        return self._machine.world.rng.randint(1 * MS, longest_ns // (2 * self._plan.resources))
