# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated machine: power, kernel, clock, disk, and the resources that run on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from haagent.core.effects import Record
from haagent.core.events import Reconfigured
from haagent.core.settings import PairSettings, S
from haagent.core.wire import Frame

from .agent import Agent
from .bmc import Bmc
from .checkers import Order
from .mix import LAN
from .resources import Resource
from .watchdog import Watchdog

if TYPE_CHECKING:
    from .world import World

MILLION = 1_000_000
BOOT_NS = (5 * S, 9 * S)
RING_BUFFER_FRAMES = 64
"""What a network card keeps for a kernel that does not run."""


class Machine:
    """One server; the agent on it is a process that comes and goes."""

    def __init__(self, world: World, node: int) -> None:
        self.world = world
        self.node = node
        self.settings = world.mix.settings(node)
        """Its configuration file."""
        self.powered = False
        self.booted = False
        self.frozen = False
        self.keeps_frames = True
        """A frozen machine's network card queues what arrives, up to its size."""
        self.boot = 0
        self.boot_at_ns = 0
        self.boot_base_ns = 0
        self.off_since_ns = 0
        self.agent: Agent | None = None
        self.bmc = Bmc(world, self)
        self.watchdog = Watchdog(self)
        self.record = Record()
        self.record_boot = 0
        self.forgot = False
        """Its record was lost, once."""
        self.disk_full = False
        self.disk_slow = False
        self.group_slow = False
        self.loaded = False
        self.groups = tuple(
            tuple(Resource(self, group, index) for index in range(plan.resources))
            for group, plan in enumerate(world.mix.plans)
        )
        """The resources of every group, in the order of their start; the last is its address."""
        self.orders: list[Order] = []
        self.shooters: set[int] = set()
        """Incarnations of its agents, of any boot, that ordered the peer off."""
        self.position_unknown = False
        """Nobody on it can tell how fresh its data is."""
        self.data: dict[int, int] = {}
        """How fresh the data on its disk is, by group."""
        self.held_terms: dict[int, int] = {}
        """Highest term of each group started here, as far as the disk could know it."""
        self._asleep: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._card: list[tuple[int, Frame]] = []

    # Time.

    def local_ns(self) -> int:
        """This boot's monotonic clock, with its own rate."""
        elapsed_ns = self.world.now_ns - self.boot_at_ns
        rate = MILLION + self.world.mix.drift_ppm[self.node]
        return self.boot_base_ns + elapsed_ns * rate // MILLION

    def world_ns(self, local_ns: int) -> int:
        """The first instant at which this machine's clock shows at least that."""
        rate = MILLION + self.world.mix.drift_ppm[self.node]
        return self.boot_at_ns + -(-(local_ns - self.boot_base_ns) * MILLION // rate)

    # Power.

    def power_on(self, why: str) -> None:
        """The button, or the BMC's order; on already is no error."""
        if self.powered:
            return
        self.world.note(self.node, "power on", why)
        self.powered = True
        self._reset()
        self.world.peer_power_changed(self.node)

    def power_off(self, why: str) -> None:
        """Everything on it is gone at once."""
        if not self.powered:
            return
        self.world.note(self.node, "power OFF", why)
        self.powered = False
        self.off_since_ns = self.world.now_ns
        self._lose_everything()
        self.world.peer_power_changed(self.node)

    def reset(self, why: str) -> None:
        """A reboot: panic, watchdog or button."""
        if self.powered:
            self.world.note(self.node, f"reset by {why}" if why == "watchdog" else "reset", why)
            self._lose_everything()
            self._reset()

    def _lose_everything(self) -> None:
        self.booted = self.frozen = False
        self.boot += 1
        self.watchdog.stop()
        if self.agent is not None:
            self.agent.die()
        for resource in self.resources():
            resource.runs = False
        self._asleep.clear()
        self._card.clear()

    def _reset(self) -> None:
        rng = self.world.rng
        self.boot += 1
        self.world.after(rng.randint(*BOOT_NS), self._boot_done, self.boot)

    def _boot_done(self, boot: int) -> None:
        if boot != self.boot or not self.powered:
            return
        self.booted = True
        self.boot_at_ns = self.world.now_ns
        self.boot_base_ns = self.world.rng.randint(1 * S, 30 * S)
        self.orders.clear()
        self.start_agent()

    # Kernel.

    def receive(self, link: int, frame: Frame) -> None:
        """A frame reaches the network card."""
        if not self.booted:
            return
        if self.frozen:
            if self.keeps_frames and len(self._card) < RING_BUFFER_FRAMES:
                self._card.append((link, frame))
        elif self.agent is not None:
            self.agent.hear(link, frame)

    def answers(self, group: int) -> bool:
        """Whether this machine answers ARP for the group."""
        return self.powered and not self.frozen and self.groups[group][-1].runs

    def serves(self, group: int) -> bool:
        """Whether the group's clients are served here."""
        whole = all(resource.runs for resource in self.groups[group])
        return self.powered and not self.frozen and whole

    def freeze(self, *, keeps_frames: bool) -> None:
        """Nothing runs any more, but it is powered and may wake up."""
        if self.booted and not self.frozen:
            self.world.note(self.node, "machine frozen", "")
            self.frozen = True
            self.keeps_frames = keeps_frames

    def thaw(self) -> None:
        """Everything goes on where it was; frames on the card get their times only now."""
        if not self.frozen:
            return
        self.world.note(self.node, "machine thawed", "")
        self.frozen = False
        asleep, self._asleep = self._asleep, []
        card, self._card = self._card, []
        if self.agent is not None:
            for link, frame in card:
                self.agent.hear(link, frame, wake=False)
        for call, arguments in asleep:
            call(*arguments)
        if self.agent is not None:
            self.agent.thaw_if_runnable()

    def when_awake(self, call: Callable[..., None], *arguments: Any) -> None:
        """Do it now, or when the machine thaws; never when its power goes first."""
        if self.frozen:
            self._asleep.append((call, arguments))
        elif self.booted:
            call(*arguments)

    # Agent.

    def start_agent(self) -> None:
        """As systemd does after boot, or after a crash."""
        if not self.booted or self.agent is not None:
            return
        if self.frozen:
            self._asleep.append((self.start_agent, ()))
            return
        same_boot = self.record_boot == self.boot
        self.orders = [order for order in self.orders if order.durable and same_boot]
        held = [group for group in range(len(self.groups)) if self.holds(group)]
        self.world.note(self.node, "agent starts", f"same_boot={same_boot} found={held}")
        self.agent = Agent(self.world, self, same_boot=same_boot)
        self.agent.begin()

    def restart_agent_after(self, delay_ns: int) -> None:
        """Unless the machine was reset meanwhile."""
        self.world.after(delay_ns, self._restart_agent, self.boot)

    def _restart_agent(self, boot: int) -> None:
        if boot == self.boot:
            self.start_agent()

    def reload(self, settings: PairSettings) -> None:
        """Its configuration file becomes another one, and a running agent takes it in."""
        self.settings = settings
        if self.agent is not None:
            unfed_s = self.agent.state.settings.unfed_s
            self.agent.answer(0, Reconfigured(replace(settings, unfed_s=unfed_s)))

    # Disk and resources.

    def write(self, record: Record) -> None:
        """Durable from now on."""
        self.record = record
        self.record_boot = self.boot
        for order in self.orders:
            order.durable = True

    def lose_record(self) -> None:
        """The file is torn or gone: the next agent finds nothing."""
        self.world.note(self.node, "record lost", "")
        self.record = Record()
        self.forgot = True
        self.record_boot = -1
        self.held_terms.clear()

    def resources(self) -> list[Resource]:
        """Of all groups."""
        return [resource for group in self.groups for resource in group]

    def holds(self, group: int) -> bool:
        """Whether anything of the group runs here."""
        return any(resource.runs for resource in self.groups[group])

    def lan_to(self, other: Machine) -> bool:
        """Whether ARP and clients get from one machine to the other."""
        return self.world.network.passes(LAN) and other.powered

    def sees_answer(self, group: int) -> str | None:
        """Who answers an ARP probe of this machine for the group, if anybody does."""
        other = self.world.machines[1 - self.node]
        if self.world.network.foreign and self.world.network.cable[LAN][self.node]:
            return "foreign"
        if self.world.mix.blind or not self.lan_to(other):
            return None
        return "peer" if other.answers(group) else None

    def carriers(self) -> list[bool]:
        """Of every link, in order."""
        links = range(len(self.world.mix.links))
        return [self.world.network.carrier(link, self.node) for link in links]
