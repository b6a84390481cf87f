# SPDX-License-Identifier: GPL-2.0-or-later
"""Operators, who tell the truth, and ask for what they like at any time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from haagent.core.events import (
    AwayAsked,
    ConfirmOffAsked,
    Event,
    FailoverAsked,
    GroupOrdered,
    MaintenanceAsked,
    OffProved,
    SwitchoverAsked,
)
from haagent.core.settings import MS, S

from .bmc import Mode
from .kinds import fault

if TYPE_CHECKING:
    from .world import World


@fault
def switchover(world: World, node: int, _for_ns: int) -> None:
    """A hand-over of one group or of all, asked on any node, sometimes on both at once."""
    groups = [None, *range(len(world.mix.groups))]
    for asked in (0, 1) if world.rng.random() < 0.2 else (node,):
        _ask(world, asked, SwitchoverAsked(1, world.rng.choice(groups)))


@fault
def maintenance(world: World, node: int, for_ns: int) -> None:
    """On, and off later, perhaps on the other node."""
    _ask(world, node, MaintenanceAsked(2, on=True))
    world.after(for_ns, _ask, world, world.rng.randint(0, 1), MaintenanceAsked(3, on=False))


@fault
def away(world: World, node: int, for_ns: int) -> None:
    """A node is put on standby, perhaps from the other one, and taken back later."""
    _ask(world, world.rng.randint(0, 1), AwayAsked(6, node, on=True))
    world.after(for_ns, _ask, world, world.rng.randint(0, 1), AwayAsked(6, node, on=False))


@fault
def order_group(world: World, node: int, for_ns: int) -> None:
    """A group is stopped or frozen, and let go later, perhaps on the other node."""
    group = world.rng.randrange(len(world.mix.groups))
    stopped = GroupOrdered(7, group, "stop"), GroupOrdered(7, group, "start")
    frozen = GroupOrdered(7, group, "freeze"), GroupOrdered(7, group, "unfreeze")
    ordered, undone = world.rng.choice((stopped, frozen))
    _ask(world, node, ordered)
    world.after(for_ns, _ask, world, world.rng.randint(0, 1), undone)


@fault
def accept_loss(world: World, node: int, _for_ns: int) -> None:
    """An operator takes old data rather than none."""
    _ask(world, node, FailoverAsked(8, None))


@fault
def confirm_off(world: World, node: int, for_ns: int) -> None:
    """An operator looks at the peer, now and later, and says that it is off when it is."""
    for wait_ns in (0, min(for_ns, 2 * S)):
        world.after(wait_ns, _confirm, world, node)


def _confirm(world: World, node: int) -> None:
    if not world.machines[1 - node].powered:
        world.counts["operator confirms"] += 1
        _ask(world, node, ConfirmOffAsked(4, force=world.rng.random() < 0.3))


@fault
def console_fence(world: World, node: int, for_ns: int) -> None:
    """An operator cuts the peer's power from the console and shows the agent what he read."""
    bmc = world.machines[1 - node].bmc
    if bmc.reachable() and bmc.mode in {Mode.OK, Mode.SLOW}:
        world.after(bmc.lag_ns(), bmc.act_for_console)
        world.after(min(for_ns, 2 * S), _prove, world, node)
        world.after(for_ns, bmc.act_for_console, True)  # noqa: FBT003  # on again


@fault
def reload(world: World, node: int, for_ns: int) -> None:
    """Longer times are loaded on one node, and later on the other one, or taken back."""
    timing = world.mix.timing
    factor = world.rng.choice((1, 2))
    changed = replace(
        timing,
        suspect_after_ns=timing.suspect_after_ns * factor,
        dead_after_ns=timing.dead_after_ns * factor,
        serving_grace_ns=timing.serving_grace_ns * 2,
    )
    configuration_hash = world.rng.randbytes(16)
    new = tuple(
        replace(world.mix.settings(me), timing=changed, configuration_hash=configuration_hash)
        for me in (0, 1)
    )
    world.machines[node].reload(new[node])
    if world.rng.random() < 0.7:
        world.after(for_ns, world.machines[1 - node].reload, new[1 - node])
    else:
        world.after(for_ns, world.machines[node].reload, world.mix.settings(node))


def _prove(world: World, node: int) -> None:
    """Read, and say so a while later, as a process does that has other things to do."""
    machine = world.machines[node]
    bmc = world.machines[1 - node].bmc
    if machine.powered and bmc.reachable() and bmc.says_off():
        world.counts["console proves"] += 1
        said_ns = world.rng.choice((0, 20 * MS, 1 * S))
        world.after(said_ns, _ask, world, node, OffProved(5, machine.local_ns()))


def _ask(
    world: World,
    node: int,
    event: Event,
) -> None:
    agent = world.machines[node].agent
    if agent is not None:
        agent.answer(0, event)
