# SPDX-License-Identifier: GPL-2.0-or-later
"""Steady state, the method, what came of it, the rollback (always), steady state again."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Any

from haagent.drill import steady
from haagent.drill.archive import Verdict
from haagent.drill.chaos import chaos
from haagent.drill.kinds import Kind
from haagent.drill.methods import METHODS
from haagent.drill.rollback import Step, roll_back
from haagent.drill.scene import Scene
from haagent.drill.watch import DeviatedError, StoppedError
from haagent.errors import EdgeError


@dataclass(slots=True)
class Ending:
    """How it ended, as far as is known: the first bad news is the verdict."""

    verdict: Verdict = Verdict.PASSED
    reason: str = ""
    deviations: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    async def attempt(self, work: Awaitable[None], before: str = "") -> bool:
        """Take the result of a part of it in; whether it went well."""
        try:
            await work
        except StoppedError as stopped:
            self.worse(Verdict.ABORTED, f"{before}{stopped}")
        except (DeviatedError, EdgeError) as deviated:
            self.worse(Verdict.FAILED, f"{before}{deviated}")
        else:
            return True
        return False

    async def hold(self, work: Awaitable[None], before: str = "") -> None:
        """The same for what must be so of every drill: that one was stopped is no excuse."""
        if not await self.attempt(work, before):
            self.verdict = Verdict.FAILED

    def worse(self, verdict: Verdict, reason: str) -> None:
        """Something was not as it should be."""
        self.deviations.append(reason)
        if self.verdict is Verdict.PASSED:
            self.verdict, self.reason = verdict, reason

    def noticed(self, deviations: Iterable[str]) -> None:
        """Take in what deviated beside the way and ended nothing: no drill passes with that."""
        for deviation in deviations:
            if deviation not in self.deviations:
                self.worse(Verdict.FAILED, deviation)


async def experiment(scene: Scene) -> Ending:
    """Run it; whatever happens on the way, the pair is put back as far as that goes."""
    watch, timeline, ending = scene.watch, scene.timeline, Ending()
    timeline.phase("before")
    if await ending.attempt(steady.before(scene), "no steady state to begin with: "):
        timeline.phase("method")
        method = chaos if scene.kind is Kind.CHAOS else METHODS[scene.kind]
        try:
            await ending.attempt(method(scene))
        finally:  # Also if it died of a bug of ours.
            await ending.hold(_undo(scene, ending))
        timeline.phase("after")
        await ending.hold(steady.after(scene), "the pair did not end as it began: ")
        await ending.hold(scene.writes.count())
        await ending.attempt(_clients(scene))
    else:
        # Whatever it was, it was not us: nothing was done, and nothing is to be undone.
        ending.verdict = Verdict.ABORTED
    if watch.stopped is not None and str(watch.stopped) not in ending.reason:
        # Seen when it was too late to stop, or on the way back.
        ending.worse(Verdict.FAILED, str(watch.stopped))
    ending.noticed(watch.deviations)
    return ending


async def _undo(scene: Scene, ending: Ending) -> None:
    scene.timeline.phase("rollback")
    if scene.kind is not Kind.CHECK:
        ending.steps = await roll_back(scene)
    for step in ending.steps:
        scene.say(step.text)
    failed = [step.text for step in ending.steps if not step.ok]
    if failed:
        raise DeviatedError("; ".join(failed))


async def _clients(scene: Scene) -> None:
    steady.within_budgets(scene, scene.timeline.zero_ns)


def report(scene: Scene, ending: Ending) -> dict[str, Any]:
    """The record's part that tells how it went."""
    timeline = scene.timeline
    end_ms = timeline.ms()
    begins = [*(at_ms for _, at_ms in timeline.phases[1:]), end_ms]
    phases = zip(timeline.phases, begins, strict=True)
    budget_ms = steady.gap_budget_s(scene) * 1000
    return {
        "verdict": ending.verdict.value,
        "reason": ending.reason,
        "deviations": ending.deviations,
        "phases": [{"name": n, "from_ms": at, "to_ms": end} for (n, at), end in phases],
        "moments": timeline.moments,
        "states": {name: [list(one) for one in known] for name, known in timeline.states.items()},
        "clients": {
            name: {
                **client.report(timeline.ms),
                "worst_ms": round(client.worst_s(timeline.zero_ns) * 1000, 1),
                "budget_ms": budget_ms,
            }
            for name, client in scene.watch.clients.of.items()
        },
        "writes": scene.writes.report(),
        "rto": scene.times,
        "rollback": [{"step": s.name, "ok": s.ok, "text": s.text} for s in ending.steps],
        "left": [s.command for s in ending.steps if not s.ok],
        "ended_ms": end_ms,
    }
