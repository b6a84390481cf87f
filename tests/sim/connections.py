# SPDX-License-Identifier: GPL-2.0-or-later
"""Every combination of what reaches what: who serves in the end, who shot, who waits and why.

Each row is simulated from a cold start: the pair settles, all connections of the row are cut at
once (or the first node dies), and some time later the world is looked at. Several seeds run each
row; where they end differently, both ends are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from haagent.core.phases import Fencing, Silent, Unheard
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S, Timing

from . import watchdog
from .bmc import Mode
from .machine import Machine
from .mix import Mix, draw
from .violation import Violation
from .witness import Plan
from .world import World

NAMES = ("alpha", "beta")
SIDES = ("peer", "witness", "BMC", "PDU")
"""What a node reaches or not. "peer": it hears the other node. BMC, PDU: those of the other."""
SETTLED_NS = 14 * S
LOOKED_AT_NS = SETTLED_NS + 24 * S
UNFED = watchdog.Plan(timeout_s=5, unfed_after_s=5)
UNFED_NS = 24 * S
"""So much longer is waited for watchdogs, and for the boot that follows."""
TIMING = Timing(interval_ns=250 * MS, suspect_after_ns=500 * MS)
SEEDS = (1, 2)


@dataclass(frozen=True, slots=True)
class Case:
    """A row's cause."""

    groups: int
    """1: alpha holds the only one. 2: each holds one."""
    alpha: tuple[bool, ...]
    """What of SIDES it reaches; () when it is dead."""
    beta: tuple[bool, ...]
    unfed: bool = False
    """The watchdogs are the last fence level."""


@dataclass(frozen=True, slots=True, order=True)
class End:
    """A row's effect."""

    serves: str
    shoots: str
    waits: str
    why: str
    """Of each node with power."""


def cases() -> Iterator[Case]:
    """All of them: both alive with everything cut or not, and alpha dead."""
    every = list(product((True, False), repeat=len(SIDES)))
    for groups in (1, 2):
        for alpha, beta in product(every, every):
            yield Case(groups, alpha, beta)
        for reached in product((True, False), repeat=len(SIDES) - 1):
            yield Case(groups, (), (False, *reached))
    unfenced = [(*reached, False, False) for reached in product((True, False), repeat=2)]
    for alpha, beta in product(unfenced, unfenced):
        yield Case(1, alpha, beta, unfed=True)
    for witnessed in (True, False):
        yield Case(1, (), (False, witnessed, False, False), unfed=True)


def ends(case: Case, seeds: Sequence[int] = SEEDS) -> tuple[End, ...]:
    """How it ends, each way once."""
    return tuple(sorted({_live(case, seed) for seed in seeds}))


def _mix(case: Case, seed: int) -> Mix:
    plain = draw(seed, (), only=())
    group = replace(
        plain.groups[0], preferred=0, failback_after_ns=None, max_lag=None, max_moves=100
    )
    groups = (group, replace(group, name="data", preferred=1))[: case.groups]
    plan = replace(plain.plans[0], resources=1)
    return replace(
        plain,
        groups=groups,
        plans=(plan, plan)[: case.groups],
        timing=TIMING,
        probe=False,
        blind=False,
        bmc_on_lan=False,
        fence_deadline_ns=4 * S,
        kinds=(),
        reactive=0.0,
        heal_ns=_looked_at_ns(case),
        witness=Plan(lease_ns=30 * S),
        unfed=UNFED if case.unfed else None,
    )


def _looked_at_ns(case: Case) -> int:
    return LOOKED_AT_NS + (UNFED_NS if case.unfed else 0)


def _live(case: Case, seed: int) -> End:
    world = World(_mix(case, seed))
    for machine in world.machines:
        machine.power_on("cold start")
    world.run_until(SETTLED_NS)
    for group in range(case.groups):
        if not world.machines[group].serves(group):
            raise Violation(f"group {group} is not where it should be: {world.transcript()}")
    _cut(world, case)
    world.run_until(_looked_at_ns(case))
    return End(_serves(world), _shoots(world), _waits(world), _why(world))


def _cut(world: World, case: Case) -> None:
    if not case.alpha:
        world.machines[0].power_off("cord")
    sides = (case.alpha or (True,) * len(SIDES), case.beta)
    for node, (peer, witness, bmc, pdu) in enumerate(sides):
        if not peer:
            for link in world.network.loss:
                link[1 - node] = 1.0
        world.witness.reachable[node] = witness
        device = world.machines[1 - node].bmc
        device.mode = Mode.OK if bmc else Mode.DEAD
        device.pdu = pdu
    world.network.lan_split = not any(side[0] for side in sides)


def _serves(world: World) -> str:
    holders = []
    for group in range(len(world.mix.groups)):
        serving = [NAMES[m.node] for m in world.machines if m.serves(group)]
        holders.append("+".join(serving) or "nobody")
    return holders[0] if len(set(holders)) == 1 else ", ".join(holders)


def _shoots(world: World) -> str:
    shooters = {shot.shooter for shot in world.checker.shots if shot.hit_ns is not None}
    return "+".join(NAMES[node] for node in sorted(shooters)) or "nobody"


def _waits(world: World) -> str:
    """Who would take something over and does not, with the names of the gates."""
    waiting = []
    for machine in world.machines:
        agent = machine.agent
        if agent is None:
            continue
        lacks = not all(machine.holds(group) for group in range(len(world.mix.groups)))
        pair = agent.state.pair
        if lacks and isinstance(pair, Silent):
            names = ", ".join(reason.code for reason in pair.reasons) or "fence_unconfirmed"
            waiting.append(f"{NAMES[machine.node]}: {names}")
        elif lacks and isinstance(pair, Fencing):  # Once more.
            waiting.append(f"{NAMES[machine.node]}: {Reason.FENCE_UNCONFIRMED.code}")
        elif lacks and isinstance(pair, Unheard):
            waiting.append(f"{NAMES[machine.node]}: {Reason.PEER_NEVER_HEARD.code}")
    return "; ".join(waiting) or "nobody"


WORDS = {
    Reason.WITNESS_UNREACHABLE: "the witness does not answer",
    Reason.WITNESS_REFUSES: "the other one has the consent",
    Reason.FENCE_UNCONFIRMED: "nothing proves the other one off",
}


def _why(world: World) -> str:
    """What each node with power is and does, from its own state and the world's record of shots."""
    groups = range(len(world.mix.groups))
    whys = []
    for machine in world.machines:
        agent, peer = machine.agent, NAMES[1 - machine.node]
        if agent is None:
            continue
        pair = agent.state.pair
        gained = any(machine.holds(group) for group in groups if group != machine.node)
        if gained:
            why = f"{peer} was silent, the witness agreed, {_proof(world, machine)}"
        elif all(machine.holds(group) for group in groups):
            why = "has all"
        elif isinstance(pair, Silent | Fencing):
            reasons = pair.reasons if isinstance(pair, Silent) else ()
            why = ", ".join(WORDS[reason] for reason in reasons or (Reason.FENCE_UNCONFIRMED,))
        elif isinstance(pair, Unheard):
            hit = any(s.hit_ns and s.shooter != machine.node for s in world.checker.shots)
            reset = "its watchdog reset it" if world.mix.unfed else "has its power back"
            why = f"{'was shot' if hit else reset}, starts nothing before it hears {peer}"
        else:
            why = f"hears {peer}"
        whys.append(f"{NAMES[machine.node]}: {why}")
    return "; ".join(whys)


def _proof(world: World, machine: Machine) -> str:
    """What of the peer's said that it is off."""
    bmc = world.machines[1 - machine.node].bmc
    if bmc.mode is Mode.OK:
        return "its BMC read off"
    return "its PDU read off" if bmc.pdu else "its watchdog's time was over"
