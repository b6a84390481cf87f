# SPDX-License-Identifier: GPL-2.0-or-later
"""One seed's history: cold start, faults, healing, and the judgement."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from haagent.core.events import (
    AwayAsked,
    FailoverAsked,
    GroupOrdered,
    MaintenanceAsked,
    ReachChanged,
    StopAsked,
    StopKind,
)
from haagent.core.settings import MS, S

from .agent import Agent
from .bmc import Mode
from .faults import Faults
from .kinds import KINDS
from .mix import draw
from .violation import Violation
from .world import World

BUDGET_NS = 240 * S
"""From healing to one active of each group: S10's window (60 s here) and the pause after a failed
start (60 s) may both have begun just before, then come the retries, a stop budget, and a boot."""
QUIET_NS = 1500 * MS
"""For so long the settled state must last."""
ROUND_NS = 3 * S
"""How often the operator walks by after the healing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a seed gave."""

    seed: int
    failure: str | None
    """The checker's words and the transcript, None when all held."""
    counts: Counter[str]
    settled_after_ns: int | None


class Operator:
    """After the faults: gives power where nobody else did, starts agents, ends what needs a person.

    A distrusted fence device (S8) and a maintenance left on wait for a person by design: the
    operator restarts the distrusting agent and ends the maintenance. Everything else must come
    by itself.
    """

    def __init__(self, world: World) -> None:
        self.world = world

    def heal(self) -> None:
        """No fault strikes any more, and what was broken is whole."""
        world = self.world
        world.network.heal()
        world.witness.heal()
        world.data.broken = False
        world.on_effect = None
        for machine in world.machines:
            machine.bmc.mode = Mode.OK
            machine.bmc.has_power = True
            machine.disk_full = machine.disk_slow = machine.group_slow = False
            for resource in machine.resources():
                resource.heal()
            machine.loaded = False
            machine.thaw()
            if machine.agent is not None:
                machine.agent.cont()
        world.after(ROUND_NS, self._round)

    def _round(self) -> None:
        world = self.world
        for machine in world.machines:
            if machine.settings != world.mix.settings(machine.node):
                machine.reload(world.mix.settings(machine.node))
            off_ns = world.now_ns - machine.off_since_ns
            if not machine.powered and off_ns > world.rng.randint(2, 20) * S:
                machine.power_on("operator")
            if machine.booted and machine.agent is None:
                machine.start_agent()
            agent = machine.agent
            if agent is not None and agent.state.distrusted:
                world.note(machine.node, "distrust ended", "the operator restarts the agent")
                agent.answer(0, StopAsked(StopKind.PAUSE))
            if agent is not None:
                self._undo(agent)
        world.after(ROUND_NS, self._round)

    def _undo(self, agent: Agent) -> None:
        """End every standing order, and hear that the clients are back."""
        orders = agent.state.orders
        if orders.maintenance:
            agent.answer(0, MaintenanceAsked(9, on=False))
        for node in (0, 1):
            if orders.away[node]:
                agent.answer(0, AwayAsked(9, node, on=False))
        for index, group in enumerate(agent.state.groups):
            if group.settings.name in orders.frozen:
                agent.answer(0, GroupOrdered(9, index, "unfreeze"))
            elif group.settings.name in orders.stopped:
                agent.answer(0, GroupOrdered(9, index, "start"))
            if self.world.ledger.knows_best(agent, index):
                agent.answer(0, FailoverAsked(9, index))
            if group.unreachable or group.doubtful:
                agent.answer(0, ReachChanged(index, reachable=True))


def make(
    seed: int,
    *,
    only: tuple[str, ...] | None = None,
    faults_ns: int | None = None,
    plain: bool = False,
) -> World:
    """A world at its cold start: both machines together, one late, or one alone.

    Args:
        seed: Everything follows from it.
        only: Exactly these faults, for directed tests.
        faults_ns: How long faults strike, instead of what the seed draws.
        plain: Every group is its address alone, so whoever runs it can be seen.
    """
    mix = draw(seed, tuple(KINDS), only=only)
    if faults_ns is not None:
        mix = replace(mix, heal_ns=mix.faults_from_ns + faults_ns)
    if plain:
        mix = replace(mix, plans=tuple(replace(plan, resources=1) for plan in mix.plans))
    world = World(mix)
    rng = world.rng
    first = rng.randint(0, 1)
    world.machines[first].power_on("cold start")
    late_ns = rng.choice((0, rng.randint(0, 3 * S), rng.randint(0, 3 * S), mix.heal_ns))
    if late_ns == mix.heal_ns and mix.faults_from_ns:
        late_ns = 0
    world.after(late_ns, world.machines[1 - first].power_on, "cold start")
    Faults(world)
    return world


def live(world: World) -> int:
    """Run a world to its end.

    Returns:
        How long after the healing the pair was settled for good, in ns.

    Raises:
        Violation: a checker fired.
    """
    world.run_until(world.mix.heal_ns)
    world.note(0, "HEAL", "")
    Operator(world).heal()
    end_ns = world.mix.heal_ns + BUDGET_NS
    since_ns: list[int] = []

    def settled() -> bool:
        if world.checker.settled() is not None:
            since_ns.clear()
        elif not since_ns:
            since_ns.append(world.now_ns)
        return bool(since_ns) and world.now_ns - since_ns[0] >= QUIET_NS

    if not world.run_until(end_ns, settled):
        raise Violation(f"liveness: {world.checker.settled()}")
    return since_ns[0] - world.mix.heal_ns


def run(seed: int) -> Outcome:
    """One seed, from nothing to the judgement."""
    return judge(make(seed))


def judge(world: World) -> Outcome:
    """Run it, and put a failure into words."""
    seed = world.mix.seed
    try:
        settled_ns = live(world)
    except (Violation, AssertionError) as failure:
        words = f"{type(failure).__name__}: {failure}"
        return Outcome(seed, f"{words}\n{world.transcript()}\n{words}", world.counts, None)
    return Outcome(seed, None, world.counts, settled_ns)
