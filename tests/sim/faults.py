# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws faults; and those of links, processes and machines: each is undone later if it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haagent.core.effects import Effect
from haagent.core.events import StopAsked, StopKind
from haagent.core.settings import MS, S

from . import operator_faults, resource_faults  # noqa: F401 - they add their kinds
from .bmc import Mode
from .kinds import KINDS, Strike, fault, set_later

if TYPE_CHECKING:
    from .world import World


SHADOWS_MAX = 100
"""Faults drawn by effects, in one history: orders alone would draw each other without end."""


class Faults:
    """Draws faults, at random times and in the shadow of effects, until the world heals."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.shadows = 0
        mix = world.mix
        if not mix.kinds:
            return
        for _ in range(mix.strikes):
            world.after(world.rng.randint(mix.faults_from_ns, mix.heal_ns), self._strike)
        if mix.reactive:
            world.on_effect = self._shadow

    def _shadow(self, _node: int, _effect: Effect) -> None:
        rng, mix = self.world.rng, self.world.mix
        due = self.world.now_ns >= mix.faults_from_ns and self.shadows < SHADOWS_MAX
        if due and rng.random() < mix.reactive:
            self.shadows += 1
            self.world.after(rng.randint(0, rng.choice((5, 100, 600)) * MS), self._strike)

    def _strike(self) -> None:
        world, rng = self.world, self.world.rng
        if world.now_ns >= world.mix.heal_ns:
            return
        kind = rng.choice(world.mix.kinds)
        node = rng.randint(0, 1)
        for_ns = rng.choice(
            (
                rng.randint(20 * MS, 900 * MS),
                rng.randint(900 * MS, 4 * S),
                rng.randint(4 * S, 12 * S),
                world.mix.heal_ns - world.now_ns,
            )
        )
        world.note(node, f"fault {kind}", f"for {for_ns / S:.3f} s")
        KINDS[kind](world, node, for_ns)


# Links.


@fault
def loss(world: World, node: int, for_ns: int) -> None:
    """Some frames of one direction, or of both, get lost."""
    rate = world.rng.choice((0.1, 0.5, 0.9))
    both = world.rng.random() < 0.5
    for link in world.network.loss:
        link[node] = rate
        if both:
            link[1 - node] = rate
    world.after(for_ns, _no_loss, world, node)
    world.after(for_ns, _no_loss, world, 1 - node)


@fault
def one_way(world: World, node: int, for_ns: int) -> None:
    """One node cannot send, on one link or on all."""
    links = world.network.loss
    for link in links if world.rng.random() < 0.7 else [world.rng.choice(links)]:
        link[node] = 1.0
    world.after(for_ns, _no_loss, world, node)


def _no_loss(world: World, node: int) -> None:
    for link in world.network.loss:
        link[node] = 0.0


@fault
def partition(world: World, _node: int, for_ns: int) -> None:
    """No frame passes on any link; the carriers stay. Each side may keep its reference."""
    net = world.network
    net.lan_split = True
    for link in net.loss:
        link[0] = link[1] = 1.0
    if world.rng.random() < 0.3:
        net.reference[world.rng.randint(0, 1)] = False
    world.after(for_ns, _rejoin, world)


def _rejoin(world: World) -> None:
    net = world.network
    net.lan_split = False
    net.reference = [True, True]
    for link in net.loss:
        link[0] = link[1] = 0.0


@fault
def lan_split(world: World, _node: int, for_ns: int) -> None:
    """The switches lose each other; the ring lives."""
    world.network.lan_split = True
    world.after(for_ns, _rejoin, world)


@fault
def cable(world: World, node: int, for_ns: int) -> None:
    """One cable is pulled, at one end."""
    link = world.rng.randrange(len(world.mix.links))
    world.network.set_cable(link, node, up=False)
    world.after(for_ns, _plug, world, link, node)


@fault
def isolated(world: World, node: int, for_ns: int) -> None:
    """All cables of a node are pulled."""
    for link in range(len(world.mix.links)):
        world.network.set_cable(link, node, up=False)
        world.after(for_ns, _plug, world, link, node)


def _plug(world: World, link: int, node: int) -> None:
    world.network.set_cable(link, node, up=True)


@fault
def reference_lost(world: World, node: int, for_ns: int) -> None:
    """The reference does not answer one node any more."""
    world.network.reference[node] = False
    world.after(for_ns, _reference_back, world, node)


def _reference_back(world: World, node: int) -> None:
    world.network.reference[node] = True


@fault
def delay(world: World, _node: int, for_ns: int) -> None:
    """One link takes up to 39 ms, so frames of different links overtake each other."""
    link = world.rng.randrange(len(world.mix.links))
    world.network.slow[link] = True
    world.after(for_ns, _fast, world, link)


def _fast(world: World, link: int) -> None:
    world.network.slow[link] = False


@fault
def duplicate(world: World, _node: int, _for_ns: int) -> None:
    """Frames arrive twice, in any order, until the world heals."""
    world.network.duplicate = 0.5


@fault
def foreign_vip(world: World, _node: int, for_ns: int) -> None:
    """Some third machine answers for the addresses."""
    world.network.foreign = True
    world.after(for_ns, _foreign_gone, world)


def _foreign_gone(world: World) -> None:
    world.network.foreign = False


# Processes.


@fault
def kill(world: World, node: int, for_ns: int) -> None:
    """SIGKILL; systemd brings it back, sometimes late."""
    machine = world.machines[node]
    if machine.agent is not None:
        machine.agent.die()
        soon_ns = world.rng.randint(100 * MS, 1500 * MS)
        machine.restart_agent_after(soon_ns if world.rng.random() < 0.7 else for_ns)


@fault
def stop_process(world: World, node: int, for_ns: int) -> None:
    """SIGSTOP, and SIGCONT later."""
    agent = world.machines[node].agent
    if agent is not None and not agent.stopped:
        agent.stop()
        world.after(for_ns, agent.cont)


@fault
def pause(world: World, node: int, for_ns: int) -> None:
    """A `systemctl restart`: says that it pauses, and comes back, sometimes late."""
    _end(world, node, StopKind.PAUSE, for_ns)


@fault
def leave(world: World, node: int, for_ns: int) -> None:
    """A `systemctl stop`, and start later."""
    _end(world, node, StopKind.LEAVE, for_ns)


def _end(world: World, node: int, kind: StopKind, for_ns: int) -> None:
    machine = world.machines[node]
    if machine.agent is not None:
        machine.agent.answer(0, StopAsked(kind))
        _restart_when_gone(world, node, min(for_ns, 12 * S))


def _restart_when_gone(world: World, node: int, again_ns: int) -> None:
    """Asks again until the process has ended; then a new one is started soon."""
    machine = world.machines[node]
    if machine.agent is None:
        machine.restart_agent_after(world.rng.randint(50 * MS, 2 * S))
    elif world.now_ns < world.mix.heal_ns:
        world.after(again_ns, _restart_when_gone, world, node, again_ns)


@fault
def loaded(world: World, node: int, for_ns: int) -> None:
    """The agent gets its turns late, by up to 350 ms."""
    world.machines[node].loaded = True
    world.after(for_ns, set_later, world.machines[node], "loaded")


# Machines.


@fault
def freeze(world: World, node: int, for_ns: int) -> None:
    """The whole machine stands still and wakes up later; its card may queue frames."""
    machine = world.machines[node]
    machine.freeze(keeps_frames=world.rng.random() < 0.5)
    world.after(for_ns, machine.thaw)


@fault
def reset(world: World, node: int, _for_ns: int) -> None:
    """A panic, or somebody's finger."""
    world.machines[node].reset("fault")


@fault
def power_loss(world: World, node: int, for_ns: int) -> None:
    """The machine loses its power, its BMC does not; it may come back by itself."""
    world.machines[node].power_off("mains")
    if world.rng.random() < 0.5:
        world.after(for_ns, world.machines[node].power_on, "mains")


@fault
def power_loss_with_bmc(world: World, node: int, for_ns: int) -> None:
    """All of it is dark; when the mains come back, the restore policy decides."""
    machine = world.machines[node]
    machine.power_off("mains, BMC too")
    machine.bmc.has_power = False
    world.after(for_ns, set_later, machine.bmc, "has_power", True)  # noqa: FBT003 - the new value
    if world.rng.random() < 0.5:
        world.after(for_ns, machine.power_on, "mains")


# BMCs and disks.


def _bmc(mode: Mode) -> Strike:
    def strike(world: World, node: int, for_ns: int) -> None:
        bmc = world.machines[node].bmc
        bmc.mode = mode
        world.after(for_ns, _bmc_well, world, node)

    strike.__name__ = f"bmc_{mode.value}"
    return strike


def _bmc_well(world: World, node: int) -> None:
    world.machines[node].bmc.mode = Mode.OK


for _mode in (Mode.SLOW, Mode.DEAD, Mode.REFUSES, Mode.LOSES_ANSWER, Mode.DOES_NOTHING):
    fault(_bmc(_mode))


def _disk(name: str) -> Strike:
    def strike(world: World, node: int, for_ns: int) -> None:
        setattr(world.machines[node], name, True)
        world.after(for_ns, set_later, world.machines[node], name)

    strike.__name__ = name
    return strike


for _name in ("disk_full", "disk_slow"):
    fault(_disk(_name))


@fault
def record_lost(world: World, node: int, _for_ns: int) -> None:
    """The agent is killed and its file is torn."""
    machine = world.machines[node]
    if machine.agent is not None:
        machine.agent.die()
        machine.lose_record()
        machine.restart_agent_after(world.rng.randint(100 * MS, 3 * S))


@fault
def replication_broken(world: World, _node: int, for_ns: int) -> None:
    """The standby's data gets old while the nodes hear each other."""
    world.data.broken = True
    world.after(for_ns, set_later, world.data, "broken")


@fault
def position_unknown(world: World, node: int, for_ns: int) -> None:
    """The command that tells how fresh the data is fails, as when the database is down."""
    machine = world.machines[node]
    machine.position_unknown = True
    world.after(for_ns, set_later, machine, "position_unknown")
