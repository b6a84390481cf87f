# SPDX-License-Identifier: GPL-2.0-or-later
"""What a world is brought into on purpose, where a broken core does its harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haagent.core.effects import Effect, Fence
from haagent.core.events import SwitchoverAsked
from haagent.core.settings import MS, S
from haagent.resources import Condition

from .bmc import Mode
from .kinds import KINDS

if TYPE_CHECKING:
    from .machine import Machine
    from .world import World


def dead_power(world: World) -> None:
    """No BMC ever carries an order out, and the nodes do not hear each other for long."""
    for machine in world.machines:
        machine.bmc.mode = Mode.DOES_NOTHING
    world.after(12 * S, KINDS["partition"], world, 0, 60 * S)


def late_loops(world: World) -> None:
    """Both loops get their turns late, and the links come and go."""
    rng = world.rng
    for machine in world.machines:
        machine.loaded = True
    for at_s in range(12, 60, 2):
        for_ns = rng.randint(1100 * MS, 1900 * MS)
        world.after(at_s * S, KINDS["partition"], world, 0, for_ns)
        for node in (0, 1):
            world.after(at_s * S, KINDS["reference_lost"], world, node, for_ns - 200 * MS)


def one_silence(world: World) -> None:
    """The nodes lose each other once."""
    world.after(12 * S, KINDS["partition"], world, 0, 10 * S)


def nothing_starts(world: World) -> None:
    """No resource can be started anywhere until the world heals."""
    for machine in world.machines:
        for resource in machine.resources():
            resource.start_fails = True


def stale_record(world: World) -> None:
    """A holder hands over, which its disk does not take, and dies while its monitors fail."""

    def hand_over() -> None:
        for machine in world.machines:
            if machine.agent is not None and any(r.runs for r in machine.resources()):
                machine.disk_full = True
                machine.agent.answer(0, SwitchoverAsked(1, None))
                world.after(250 * MS, die, machine)
                return

    def die(machine: Machine) -> None:
        for resource in machine.resources():
            resource.lie = None if resource.honest else Condition.FAILED
        KINDS["kill"](world, machine.node, 300 * MS)

    world.after(14 * S, hand_over)


def shaky_clients(world: World) -> None:
    """The clients of every group lose one node after the other."""
    for turn, at_s in enumerate(range(12, 80, 4)):
        world.after(at_s * S, KINDS["clients_lost"], world, turn % 2, 3 * S)


def database_dies_first(world: World) -> None:
    """Nothing is copied for a while; then each node's database dies, and then the node."""
    world.after(12 * S, KINDS["replication_broken"], world, 0, 60 * S)
    for turn, at_s in enumerate((22, 34)):
        world.after(at_s * S, KINDS["position_unknown"], world, turn, 20 * S)
        world.after((at_s + 3) * S, KINDS["power_loss"], world, turn, 20 * S)


def clock_first(world: World) -> None:
    """The loop looks at the clock before its queue, and agents are stopped again and again."""
    world.clock_first = True
    for turn, at_s in enumerate(range(12, 60, 4)):
        for_ns = world.rng.randint(1100 * MS, 3 * S)
        world.after(at_s * S, KINDS["stop_process"], world, turn % 2, for_ns)


def lock_lost_in_a_fence(world: World) -> None:
    """Fences take long, and as soon as one is ordered somebody else takes the lock, for a while."""
    for machine in world.machines:
        machine.bmc.mode = Mode.SLOW

    def rob(_node: int, effect: Effect) -> None:
        if isinstance(effect, Fence):
            world.witness.robbed = True
            world.after(3 * S, give_back)

    def give_back() -> None:
        world.witness.robbed = False

    world.on_effect = rob
    world.after(12 * S, KINDS["partition"], world, 0, 10 * S)


def nobody_can_shoot(world: World) -> None:
    """No BMC answers, and the nodes lose each other: only the watchdogs can prove anything."""
    for machine in world.machines:
        machine.bmc.mode = Mode.DEAD
    world.after(14 * S, KINDS["partition"], world, 0, 45 * S)


def active_goes_dumb(world: World) -> None:
    """No BMC answers, and nobody hears the holders any more, who hear everything."""
    for machine in world.machines:
        machine.bmc.mode = Mode.DEAD

    def mute() -> None:
        world.network.lan_split = True
        for machine in world.machines:
            if any(resource.runs for resource in machine.resources()):
                for link in world.network.loss:
                    link[machine.node] = 1.0

    world.after(14 * S, mute)
    world.after(59 * S, world.network.heal)
