# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of drills in levels: each harder than the one before, each with what it expects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """In the order of their levels."""

    CHECK = "check"
    SWITCHOVER = "switchover"
    AGENT_KILL = "agent-kill"
    AGENT_FREEZE = "agent-freeze"
    RING_LOSS = "ring-loss"
    FENCE_STANDBY = "fence-standby"
    CRASH_ACTIVE = "crash-active"
    PARTITION = "partition"
    FENCE_ACTIVE = "fence-active"
    CHAOS = "chaos"
    """Of no level of its own: many of the others, at random."""

    @property
    def level(self) -> int:
        """0 has no effect at all; chaos has none."""
        return LEVELS.index(self)

    @property
    def plan(self) -> Plan:
        """Where it runs and what it expects."""
        return PLANS[self]


ROLLBACK = "every fault is lifted, the power given back, every group handed back to where it is now"
LEVELS = tuple(kind for kind in Kind if kind is not Kind.CHAOS)


class Where(StrEnum):
    """On which node of the pair a drill is run."""

    ANY = "either node"
    ACTIVE = "the node that holds the groups"
    STANDBY = "the node that holds no group"


@dataclass(frozen=True, slots=True)
class Plan:
    """What stands fixed of a kind."""

    where: Where
    method: str
    """What is done, in a sentence."""
    expects: str
    """The hypothesis."""
    power: bool = False
    """Power is cut, or may be if something is wrong with the pair."""
    takeover: bool = False
    """The groups come to the node that runs it, from a peer that is proved off."""


PLANS = {
    Kind.CHECK: Plan(
        Where.ANY,
        "log in to every fence device, read its power and ask whose it is; ask every witness from"
        " both nodes; compare the two nodes",
        "a takeover would work in both directions",
    ),
    Kind.SWITCHOVER: Plan(
        Where.ANY,
        "hand every group to the other node, and back again",
        "each arrives, nobody is shot, clients notice a short gap",
    ),
    Kind.AGENT_KILL: Plan(
        Where.STANDBY,
        "kill the agent of the active node (SIGKILL)",
        "it is started again and takes up what runs; groups stay, unless it takes longer than the"
        " peer's patience: then one shot and a takeover",
        power=True,
    ),
    Kind.AGENT_FREEZE: Plan(
        Where.STANDBY,
        "freeze the agent of the active node for less than the peer's patience",
        "it is suspected, and nothing else happens: nobody is shot, the groups stay",
    ),
    Kind.RING_LOSS: Plan(
        Where.STANDBY,
        "silence one heartbeat link after the other",
        "the pair is degraded and says which link; nobody is shot, the groups stay",
    ),
    Kind.FENCE_STANDBY: Plan(
        Where.ACTIVE,
        "cut the power of the standby through its fence devices, read it off, give it back",
        "it is proved off and comes back as standby; the groups stay, clients notice nothing",
        power=True,
    ),
    Kind.CRASH_ACTIVE: Plan(
        Where.STANDBY,
        "crash the active node",
        "it is shot once, its groups start here, and it comes back as standby",
        power=True,
        takeover=True,
    ),
    Kind.PARTITION: Plan(
        Where.STANDBY,
        "silence all heartbeat links",
        "exactly one shot, at the active; its groups start here, and it comes back as standby",
        power=True,
        takeover=True,
    ),
    Kind.FENCE_ACTIVE: Plan(
        Where.STANDBY,
        "cut the power of the active node from outside, without a word to its peer",
        "its groups start here, and it comes back as standby",
        power=True,
        takeover=True,
    ),
    Kind.CHAOS: Plan(
        Where.ANY,
        "random faults, each undone before the next",
        "each goes as its own drill should; between them nothing happens",
        power=True,
        takeover=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Chaos:
    """What is drawn from, and for how long."""

    for_s: float
    max_level: Kind
    apart_s: float
    """At least so long nothing happens between two faults."""
    seed: int

    @property
    def method(self) -> str:
        """What is done, in a sentence, with the seed that does it again."""
        return (
            f"for {self.for_s:g} s one of {', '.join(self.kinds)} after the other, at random and at"
            f" least {self.apart_s:g} s apart, each undone before the next; seed {self.seed}"
        )

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All up to that level that have an effect."""
        return LEVELS[1 : self.max_level.level + 1]
