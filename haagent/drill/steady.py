# SPDX-License-Identifier: GPL-2.0-or-later
"""The steady state: clients are served, nothing is wrong that was not, roles are where they were.

It is looked for before a fault, and again after everything was undone.
"""

from __future__ import annotations

import time

from haagent.drill.kinds import Kind
from haagent.drill.pair import roles
from haagent.drill.scene import Scene
from haagent.drill.watch import BY_A_PERSON, DeviatedError

STEADY_S = 2.0
"""How long the clients are served without a fault, before and after."""
SERVED_S = 10.0
"""For the first answer, and for the pair to be seen."""


async def before(scene: Scene) -> None:
    """The clients are served, and what is now is how it should be."""
    watch, since_ns = scene.watch, time.monotonic_ns()
    watch.still = False

    def seen() -> bool:
        return watch.here is not None and watch.there is not None and _served(scene, since_ns)

    await watch.until(seen, SERVED_S, "both agents answer, every client is served")
    watch.settle()
    scene.began = roles(watch.here)
    at_rest(scene)
    await watch.quiet(STEADY_S)


def at_rest(scene: Scene) -> None:
    """From now on nothing is to happen."""
    watch = scene.watch
    watch.gap_budget_s, watch.still = scene.settings.gap_budget_s, True
    watch.allowed = lambda _: False


async def after(scene: Scene) -> None:
    """The same again, with the roles of the beginning.

    Raises:
        DeviatedError: It is not as it began.
    """
    watch, since_ns = scene.watch, time.monotonic_ns()
    watch.committed = True  # There is nothing left that could be stopped.
    await watch.until(lambda: _served(scene, since_ns), SERVED_S, "every client is served")
    what = "every group is where it was, and nothing is wrong that was not"
    await watch.until(lambda: scene.as_it_began() and watch.calm(), SERVED_S, what)
    watch.settle()  # Chaos has settled elsewhere meanwhile.
    at_rest(scene)
    reason = watch.forget()
    await watch.quiet(STEADY_S)
    seen, watch.stopped = watch.stopped, reason or watch.stopped
    if reason is not None and seen is not None and seen.code not in BY_A_PERSON:
        raise DeviatedError(str(seen))


def within_budgets(scene: Scene, since_ns: int) -> None:
    """Hold what clients had to bear since a moment against the budget of this kind.

    Raises:
        DeviatedError: It was more.
    """
    budget_s = gap_budget_s(scene)
    late = [
        f"the client of {name} was not served for {worst_s:.1f} s, budget {budget_s:g} s"
        for name, client in scene.watch.clients.of.items()
        if (worst_s := client.worst_s(since_ns)) > budget_s
    ]
    if late:
        raise DeviatedError("; ".join(late))


def gap_budget_s(scene: Scene) -> float:
    """What a client may go without an answer in this kind of drill."""
    settings = scene.settings
    if scene.kind.plan.takeover or scene.took_over:
        return settings.takeover_budget_s
    return settings.switchover_budget_s if scene.kind is Kind.SWITCHOVER else settings.gap_budget_s


def _served(scene: Scene, since_ns: int) -> bool:
    clients = scene.watch.clients.of.values()
    answered = all(client.answers and client.last_ns > since_ns for client in clients)
    return answered and scene.writes.taken()
