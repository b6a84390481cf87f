# SPDX-License-Identifier: GPL-2.0-or-later
"""Steady state, the method, what came of it, the rollback (always), steady state again."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from haagent.drill.archive import Verdict
from haagent.drill.kinds import Kind
from haagent.drill.methods import METHODS
from haagent.drill.pair import roles
from haagent.drill.rollback import Step, roll_back
from haagent.drill.scene import Scene
from haagent.drill.watch import DeviatedError, StoppedError
from haagent.errors import EdgeError

STEADY_S = 2.0
"""How long the clients are served without a fault, before and after."""
SERVED_S = 10.0
"""For the first answer, and for the pair to be seen."""


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

    def worse(self, verdict: Verdict, reason: str) -> None:
        """Something was not as it should be."""
        self.deviations.append(reason)
        if self.verdict is Verdict.PASSED:
            self.verdict, self.reason = verdict, reason


async def experiment(scene: Scene) -> Ending:
    """Run it; whatever happens on the way, the pair is put back as far as that goes."""
    watch, timeline, ending = scene.watch, scene.timeline, Ending()
    timeline.phase("before")
    if await ending.attempt(_before(scene), "no steady state to begin with: "):
        timeline.phase("method")
        await ending.attempt(METHODS[scene.kind](scene))
        timeline.phase("rollback")
        if scene.kind is not Kind.CHECK:
            ending.steps = await roll_back(scene)
        for step in ending.steps:
            scene.say(step.text)
            if not step.ok:
                ending.worse(Verdict.FAILED, step.text)
        timeline.phase("after")
        await ending.attempt(_after(scene), "the pair did not end as it began: ")
        _clients(scene, ending)
    else:
        # Whatever it was, it was not us: nothing was done, and nothing is to be undone.
        ending.verdict = Verdict.ABORTED
    if watch.stopped is not None:
        # Seen when it was too late to stop, or on the way back.
        ending.worse(Verdict.FAILED, str(watch.stopped))
    ending.deviations = list(dict.fromkeys([*ending.deviations, *watch.deviations]))
    return ending


async def _before(scene: Scene) -> None:
    """The clients are served, and what is now is how it should be."""
    watch = scene.watch
    watch.still = False

    def seen() -> bool:
        return watch.here is not None and watch.there is not None and _served(scene)

    await watch.until(seen, SERVED_S, "both agents answer, every client is served")
    watch.settle()
    scene.began = roles(watch.here)
    watch.still, watch.gap_budget_s = True, scene.settings.gap_budget_s
    await watch.quiet(STEADY_S)


async def _after(scene: Scene) -> None:
    """The same again, with the roles of the beginning."""
    watch = scene.watch
    watch.committed = True  # There is nothing left that could be stopped.
    await watch.until(lambda: _served(scene), SERVED_S, "every client is served")
    what = "every group is where it was, and nothing is wrong that was not"
    await watch.until(lambda: scene.as_it_began() and watch.calm(), SERVED_S, what)
    watch.gap_budget_s, watch.still = scene.settings.gap_budget_s, True
    watch.allowed = lambda _: False
    await watch.quiet(STEADY_S)


def _served(scene: Scene) -> bool:
    clients = scene.watch.clients.of.values()
    return all(client.answers and client.unanswered_s() < 1 for client in clients)


def _clients(scene: Scene, ending: Ending) -> None:
    """What clients had to bear, against the budget of this kind."""
    budget_s = gap_budget_s(scene)
    for name, client in scene.watch.clients.of.items():
        worst_s = client.worst_s(scene.timeline.zero_ns)
        if worst_s > budget_s:
            text = f"the client of {name} was not served for {worst_s:.1f} s, budget {budget_s:g} s"
            ending.worse(Verdict.FAILED, text)


def gap_budget_s(scene: Scene) -> float:
    """What a client may go without an answer in this kind of drill."""
    settings = scene.settings
    if scene.kind.plan.takeover or scene.took_over:
        return settings.takeover_budget_s
    return settings.switchover_budget_s if scene.kind is Kind.SWITCHOVER else settings.gap_budget_s


def report(scene: Scene, ending: Ending) -> dict[str, Any]:
    """The record's part that tells how it went."""
    timeline = scene.timeline
    end_ms = timeline.ms()
    begins = [*(at_ms for _, at_ms in timeline.phases[1:]), end_ms]
    phases = zip(timeline.phases, begins, strict=True)
    budget_ms = gap_budget_s(scene) * 1000
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
        "rto": scene.times,
        "rollback": [{"step": s.name, "ok": s.ok, "text": s.text} for s in ending.steps],
        "left": [s.command for s in ending.steps if not s.ok],
        "ended_ms": end_ms,
    }
