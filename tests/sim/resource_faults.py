# SPDX-License-Identifier: GPL-2.0-or-later
"""Resources that do not do what they should, and clients that do not reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haagent.core.events import ReachChanged
from haagent.core.settings import MS
from haagent.resources import Condition

from .kinds import Strike, fault, set_later

if TYPE_CHECKING:
    from .resources import Resource
    from .world import World


def _any(world: World, node: int) -> Resource:
    return world.rng.choice(world.machines[node].resources())


def _ill(name: str) -> Strike:
    """One resource of one group cannot do this on that node, or on neither: one configuration."""

    def strike(world: World, node: int, for_ns: int) -> None:
        one = _any(world, node)
        both = world.rng.random() < 0.3
        for resource in one.on_both() if both else [one]:
            setattr(resource, name, True)
            world.after(for_ns, set_later, resource, name)

    strike.__name__ = name
    return strike


for _name in ("start_fails", "start_hangs", "stop_fails", "stop_hangs"):
    fault(_ill(_name))


@fault
def group_slow(world: World, node: int, for_ns: int) -> None:
    """Whatever is started or stopped there takes its time."""
    world.machines[node].group_slow = True
    world.after(for_ns, set_later, world.machines[node], "group_slow")


@fault
def resource_dies(world: World, node: int, _for_ns: int) -> None:
    """One goes away on its own, and may be started again."""
    _die(world, node)


@fault
def group_lost(world: World, node: int, for_ns: int) -> None:
    """One goes away on its own, and cannot be put back there for a while."""
    resource = _die(world, node)
    if resource is not None:
        resource.start_fails = True
        world.after(for_ns, set_later, resource, "start_fails")


def _die(world: World, node: int) -> Resource | None:
    """One of that node, or of the other one if nothing runs on that."""
    of_both = [world.machines[each].resources() for each in (node, 1 - node)]
    running = [[resource for resource in those if resource.runs] for those in of_both]
    candidates = running[0] or running[1]
    if not candidates:
        return None
    resource = world.rng.choice(candidates)
    world.note_once("resource died")
    resource.set_runs(runs=False)
    return resource


@fault
def monitor_lies(world: World, node: int, for_ns: int) -> None:
    """The monitor of one says the same all the time; sometimes an agent starts in the middle."""
    liars = [resource for resource in world.machines[node].resources() if not resource.honest]
    if not liars:
        return
    resource = world.rng.choice(liars)
    resource.lie = world.rng.choice((Condition.FAILED, Condition.ACTIVE, Condition.STOPPED))
    world.after(for_ns, set_later, resource, "lie", None)
    machine = world.machines[node]
    if machine.agent is not None and world.rng.random() < 0.2:
        machine.agent.die()
        machine.restart_agent_after(world.rng.randint(50 * MS, 500 * MS))


@fault
def clients_lost(world: World, node: int, for_ns: int) -> None:
    """The references are silent for one node, or for both: first a doubt, and in time a verdict."""
    rng = world.rng
    group = rng.randrange(len(world.mix.groups))
    for each in (0, 1) if rng.random() < 0.2 else (node,):
        doubt_ns = rng.randint(0, 300 * MS)
        sure_ns = doubt_ns + rng.randint(0, 900 * MS)
        for at_ns, told in (
            (doubt_ns, ReachChanged(group, reachable=True, doubtful=True)),
            (sure_ns, ReachChanged(group, reachable=False, doubtful=True)),
            (max(for_ns, sure_ns), ReachChanged(group, reachable=True)),
        ):
            world.after(at_ns, _tell, world, each, told)


def _tell(world: World, node: int, event: ReachChanged) -> None:
    agent = world.machines[node].agent
    if agent is not None:
        agent.answer(0, event)
