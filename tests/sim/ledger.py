# SPDX-License-Identifier: GPL-2.0-or-later
"""Databases whose commits wait for their standby, and what their clients were promised (S11).

The servers outlive the agents, and a disk outlives its power. What the agent's sync keeper does
(haagent/postgres/durability.py) is done here in one go each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from haagent.core.events import SyncRead
from haagent.core.settings import MS

from .mix import LAN
from .violation import Violation

if TYPE_CHECKING:
    from haagent.core.state import State

    from .agent import Agent
    from .machine import Machine
    from .world import World

COMMIT_NS = (20 * MS, 120 * MS)
LOOK_NS = (100 * MS, 400 * MS)


class Server:
    """One machine's copy of one database."""

    def __init__(self) -> None:
        self.log: list[int] = []
        """Numbers of the commits on its disk."""
        self.waits = True
        """As its configuration says: a commit is acknowledged when the peer has it."""


class Ledger:
    """The databases of every group with `sync`, and their clients."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.groups = [i for i, group in enumerate(world.mix.groups) if group.sync]
        self.servers = {(group, node): Server() for group in self.groups for node in (0, 1)}
        self.promised: dict[int, set[int]] = {group: set() for group in self.groups}
        """Acknowledged to a client, and not at a risk that was told."""
        self._last = 0
        for group in self.groups:
            world.after(0, self._commit, group)

    def _commit(self, group: int) -> None:
        """Every holder's client writes; what the peer has, or need not have, is acknowledged."""
        for holder in self._holders(group):
            server = self.servers[group, holder.node]
            self._last += 1
            server.log.append(self._last)
            if not server.waits:
                self.world.counts["committed alone"] += 1
                if not _at_risk(holder, group):
                    self.promised[group].add(self._last)
            elif self._copies(group, holder):
                self.world.counts["committed by both"] += 1
                self.servers[group, 1 - holder.node].log = list(server.log)
                self.promised[group] |= set(server.log)
        self.world.after(self.world.rng.randint(*COMMIT_NS), self._commit, group)

    def _holders(self, group: int) -> list[Machine]:
        return [m for m in self.world.machines if m.booted and not m.frozen and m.holds(group)]

    def _copies(self, group: int, holder: Machine) -> bool:
        """Whether the other server receives now; what only it has is rewound."""
        other = self.world.machines[1 - holder.node]
        if not other.booted or other.frozen or other.holds(group) or self.world.data.broken:
            return False
        return self.world.network.passes(LAN)

    def stands(self, machine: Machine) -> bool:
        """Clients of this machine wait for a peer that does not answer: they gain by its death."""
        return any(
            self.servers[group, machine.node].waits and not self._copies(group, machine)
            for group in self.groups
            if machine.holds(group)
        )

    def knows_best(self, agent: Agent, group: int) -> bool:
        """Nobody remembers who held it last (a torn record): an operator picks the longest log."""
        if group not in self.groups or any(m.holds(group) for m in self.world.machines):
            return False
        mine, theirs = (self.servers[group, node].log for node in self._order(agent))
        return len(mine) > len(theirs) or (len(mine) == len(theirs) and not agent.machine.node)

    @staticmethod
    def _order(agent: Agent) -> tuple[int, int]:
        return agent.machine.node, 1 - agent.machine.node

    # The agents' part.

    def begins(self, agent: Agent, group: int, state: State) -> None:
        """A takeover: what was promised must be here, and from now on commits wait.

        Raises:
            Violation: A commit that a client was promised is lost.
        """
        server = self.servers[group, agent.machine.node]
        server.waits = True
        lost = self.promised[group] - set(server.log)
        if not lost:
            return
        # Where the records of both are gone nobody knows who held it last: docs/safety.md.
        known = not all(machine.forgot for machine in self.world.machines)
        if known and state.now_ns >= state.groups[group].accept_loss_until_ns:
            raise Violation(f"S11: {len(lost)} acknowledged commits are lost")
        self.promised[group] -= lost

    def look(self, agent: Agent, group: int) -> None:
        """The keeper's next look, for as long as its process lives."""
        machine = agent.machine
        if machine.holds(group):
            server = self.servers[group, machine.node]
            copies = self._copies(group, machine)
            if not server.waits and copies:
                server.waits = True
                other = self.servers[group, 1 - machine.node]
                other.log = list(server.log)
            if server.waits:
                agent.sync_told[group] = agent.sync_told.get(group, 0) + 1
                agent.answer(0, SyncRead(group, agent.sync_told[group], copies))
                agent.sync_copies[group] = copies
        agent.later(self.world.rng.randint(*LOOK_NS), self.look, agent, group)

    def let_go(self, agent: Agent, group: int, attempt: int) -> None:
        """The core lets commits go, if nothing else was told since it was asked."""
        last = attempt == agent.sync_told.get(group) and not agent.sync_copies[group]
        if last and agent.machine.holds(group):
            self.servers[group, agent.machine.node].waits = False


def _at_risk(machine: Machine, group: int) -> bool:
    """Its last agent said that what is committed alone may be lost."""
    agent = machine.agent
    return agent is not None and agent.state.groups[group].sync.risk
