# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated witnesses of a pair, as one: a lock with a lease that at most one agent holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from haagent.core.events import Consent
from haagent.core.settings import MS, S
from haagent.witness import keeps_claim

from .kinds import fault

if TYPE_CHECKING:
    from .agent import Agent
    from .world import World

ANSWER_NS = (5 * MS, 250 * MS)
SLOW_NS = (300 * MS, 1800 * MS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the witnesses of a pair are."""

    chooses: bool = True
    """They agree to one of the two only; else to whoever reaches them."""
    ignored: bool = False
    """A node that does not reach them goes on without."""
    lease_ns: int = 10 * S


class Witness:
    """The lock; its time is the world's, as etcd's is its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.reachable = [True, True]
        """From that node's side."""
        self.slow = False
        self.robbed = False
        """Only in a sabotage test: somebody else has taken the lock."""
        self.grants = 0
        """How often the lock was given to somebody who did not have it."""
        self._holder: Agent | None = None
        self._until_ns = 0

    @property
    def plan(self) -> Plan:
        """As the mix has it; only asked where there is one."""
        assert self.world.mix.witness is not None
        return self.world.mix.witness

    def holder(self) -> Agent | None:
        """Who has the lock now."""
        return self._holder if self.world.now_ns < self._until_ns else None

    def delay_ns(self) -> int:
        """How long an answer takes."""
        return self.world.rng.randint(*(SLOW_NS if self.slow else ANSWER_NS))

    def reached_by(self, agent: Agent) -> bool:
        """Whether its questions arrive."""
        return self.reachable[agent.machine.node]

    def claim(self, agent: Agent) -> Consent:
        """A question arrives: the lock is given to whoever is first."""
        if not self.reached_by(agent):
            return Consent.AGREED if self.plan.ignored else Consent.UNREACHABLE
        if not self.plan.chooses:
            return Consent.AGREED
        if self.robbed or self.holder() not in {None, agent}:
            return Consent.REFUSED
        fresh = self.holder() is None
        self._holder, self._until_ns = agent, self.world.now_ns + self.plan.lease_ns
        if fresh:
            self.grants += 1
            self.world.note(agent.machine.node, "witness lock taken", "")
            agent.later(self.plan.lease_ns // 3, self._renew, agent)
        return Consent.AGREED if self.plan.ignored else Consent.WON

    def stands_by(self, agent: Agent) -> bool:
        """A question arrives: nobody else has the lock."""
        holder = self.holder()
        own = holder is None or holder.machine is agent.machine
        return self.reached_by(agent) and self.plan.chooses and own and not self.robbed

    def _renew(self, agent: Agent) -> None:
        if self.holder() is not agent:
            return
        if self.reached_by(agent):
            self._until_ns = self.world.now_ns + self.plan.lease_ns
        agent.later(self.plan.lease_ns // 3, self._renew, agent)

    def observe(self, agent: Agent) -> None:
        """After a step: an agent that is not about to shoot lets go, if it can say so."""
        if not keeps_claim(agent.state.pair):
            self.give_back(agent)

    def give_back(self, agent: Agent) -> None:
        """It wants it no more, and says so if it can."""
        if self.holder() is agent and self.reached_by(agent):
            self._until_ns = 0

    def forget(self) -> None:
        """Somebody removes the lock from under its holder."""
        self._until_ns = 0

    def heal(self) -> None:
        """Everybody reaches it."""
        self.reachable = [True, True]
        self.slow = False


@fault
def witness_lost(world: World, node: int, for_ns: int) -> None:
    """The witnesses do not answer one node any more, or none."""
    lost = (node,) if world.rng.random() < 0.6 else (0, 1)
    for one in lost:
        world.witness.reachable[one] = False
        world.after(for_ns, _found, world, one)


def _found(world: World, node: int) -> None:
    world.witness.reachable[node] = True


@fault
def witness_slow(world: World, _node: int, for_ns: int) -> None:
    """Answers come late, some of them too late."""
    world.witness.slow = True
    world.after(for_ns, _quick, world)


def _quick(world: World) -> None:
    world.witness.slow = False


@fault
def witness_forgets(world: World, _node: int, _for_ns: int) -> None:
    """An operator deletes the lock, perhaps in the middle of a fence."""
    world.witness.forget()
