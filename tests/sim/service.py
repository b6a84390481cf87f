# SPDX-License-Identifier: GPL-2.0-or-later
"""The resources of one group as an agent runs them: haagent/resources/group.py in simulated time.

The decisions are the real ones (haagent/resources/health.py). What there is a task is a generator
here, and what there is cancelled belongs to an older job here.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from haagent.core.events import (
    GroupLost,
    GroupStarted,
    GroupStartFailed,
    GroupStopFailed,
    GroupStopped,
)
from haagent.core.settings import MS
from haagent.resources import Condition
from haagent.resources.health import Decision, Health, Lost, Nothing, Restart, fail, judge

from .resources import StepFailed, Work

if TYPE_CHECKING:
    from .agent import Agent

MAY_RUN = {Condition.ACTIVE, Condition.FAILED}
LACKS = {Condition.STOPPED, Condition.FAILED}


class Service:
    """One group's resources in the hands of one agent process."""

    def __init__(self, agent: Agent, group: int) -> None:
        self._agent = agent
        self._group = group
        self._world = agent.world
        self._node = agent.machine.node
        self._plan = agent.world.mix.plans[group]
        self._resources = agent.machine.groups[group]
        self._health = Health()
        self._lost = False
        self._mends = True
        self._watching = False
        self._job = 0
        """The operation, restart or watch that goes on; a new one ends the older ones."""
        self._stop_from: int | None = None
        """How many resources may still run after a stop that failed; None: nobody knows."""

    def found(self) -> bool:
        """Whether its address is here, which the kernel knows (ADR 0003); monitors may lie."""
        looks = {resource.look().condition for resource in self._resources[:-1]}
        found = self._resources[-1].runs
        if found and looks & LACKS:
            self._world.note_once("taken up in pieces")
        elif not found and looks & MAY_RUN:
            self._world.note_once("not taken up, though it may run")
        return found

    def start(self, attempt: int) -> None:
        """Begin to start it, instead of whatever goes on."""
        self._begin(self._start(attempt))

    def stop(self, attempt: int) -> None:
        """Begin to stop it, instead of whatever goes on."""
        self._begin(self._stop(attempt))

    def manage(self, *, on: bool) -> None:
        """Mend what fails, or leave it and only look (a frozen group)."""
        if on and not self._mends:
            self._health = Health()
            self._lost = False
            if self._watching:
                self._watch(at_once=True)
        self._mends = on

    # Jobs.

    def _begin(self, work: Work) -> None:
        self._lost = False
        self._health = Health()
        self._take_up(work)

    def _take_up(self, work: Work) -> None:
        self._watching = False
        self._job += 1
        self._go_on(work, self._job)

    def _go_on(self, work: Work, job: int) -> None:
        if job != self._job:
            return
        wait_ns = next(work, None)
        if wait_ns is not None:
            self._agent.later(wait_ns, self._go_on, work, job)

    # Operations.

    def _start(self, attempt: int) -> Work:
        yield self._world.rng.randint(0, 5 * MS)
        try:
            yield from self._start_from(0)
        except StepFailed as failure:
            self._agent.answer(0, GroupStartFailed(self._group, attempt, str(failure)))
        else:
            self._agent.answer(0, GroupStarted(self._group, attempt))
            self._watch()

    def _stop(self, attempt: int) -> Work:
        yield self._world.rng.randint(0, 5 * MS)
        try:
            yield from self._stop_all()
        except StepFailed as failure:
            self._agent.answer(0, GroupStopFailed(self._group, attempt, str(failure)))
        else:
            self._agent.answer(0, GroupStopped(self._group, attempt))

    def _start_from(self, index: int) -> Work:
        self._stop_from = None
        for resource in self._resources[index:]:
            yield from resource.start()

    def _stop_all(self) -> Work:
        if self._stop_from is None:
            self._stop_from = len(self._resources)
        else:
            self._stop_from = max(self._stop_from, self._may_run(self._stop_from))
        while self._stop_from:
            yield from self._resources[self._stop_from - 1].stop()
            self._stop_from -= 1
        self._stop_from = None

    def _may_run(self, index: int) -> int:
        looks = [r.index + 1 for r in self._resources[index:] if r.look().condition in MAY_RUN]
        return max(looks, default=0)

    # Health.

    def _watch(self, *, at_once: bool = False) -> None:
        self._job += 1
        self._watching = True
        for index in range(len(self._resources)):
            self._go_on(self._watch_one(index, at_once=at_once), self._job)

    def _watch_one(self, index: int, *, at_once: bool) -> Work:
        interval_ns, rng = self._plan.interval_ns, self._world.rng
        yield 0 if at_once else rng.randint(interval_ns * 9 // 10, interval_ns)
        while True:
            self._judge(index)
            yield rng.randint(interval_ns * 9 // 10, interval_ns)

    def _judge(self, index: int) -> None:
        reading = self._resources[index].look()
        if self._lost or not self._mends:
            return
        name, now_ns = self._resources[index].name, self._agent.machine.local_ns()
        self._health, decision = judge(self._health, self._plan.policy, name, reading, now_ns)
        match decision:
            case Restart():
                self._take_up(self._restart(decision))
            case Lost():
                self._lose(decision.detail)
            case Nothing():
                pass

    def _lose(self, detail: str) -> None:
        self._lost = True
        self._world.note(self._node, "group lost", f"{self._group}: {detail}")
        self._agent.answer(0, GroupLost(self._group, detail))

    def _restart(self, restart: Restart) -> Work:
        decision: Decision = restart
        while isinstance(decision, Restart):
            detail = f"{self._group}.{decision.name}: {decision.detail}"
            self._world.note(self._node, "restart in place", detail)
            decision = yield from self._restart_once(int(decision.name))
        self._watch()
        if isinstance(decision, Lost):
            self._lose(decision.detail)

    def _restart_once(self, index: int) -> Generator[int, None, Decision]:
        """Stop the resource and everything after it, then start them again."""
        try:
            for resource in reversed(self._resources[index:]):
                yield from resource.stop()
        except StepFailed as failure:
            return Lost(str(failure))
        try:
            yield from self._start_from(index)
        except StepFailed as failure:
            now_ns = self._agent.machine.local_ns()
            self._health, decision = fail(
                self._health, self._plan.policy, failure.name, failure.reason, now_ns
            )
            return decision
        self._world.note_once("mended in place")
        return Nothing()
