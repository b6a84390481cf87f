# SPDX-License-Identifier: GPL-2.0-or-later
"""Simulated links: what becomes of a heartbeat between two machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haagent.core.events import LinkChanged
from haagent.core.settings import MS
from haagent.core.wire import Frame

from .mix import LAN, RING

if TYPE_CHECKING:
    from .world import World

DELAY_NS = (MS // 10, 2 * MS)
"""In-flight time of a link in order."""
DELAY_NS_MAX = 39 * MS
"""The design lets a frame be in flight below 40 ms at worst (core: IN_FLIGHT_NS 50 ms)."""


class Network:
    """All links of the pair, and the LAN with its reference."""

    def __init__(self, world: World) -> None:
        self.world = world
        links = len(world.mix.links)
        self.loss = [[0.0, 0.0] for _ in range(links)]
        """Probability of loss, by link and sending node."""
        self.slow = [False] * links
        self.duplicate = 0.0
        self.cable = [[True, True] for _ in range(links)]
        """Whether that node's end of the link has a carrier (the cable to the switch)."""
        self.lan_split = False
        """The switches lost each other: every carrier stays up."""
        self.reference = [True, True]
        """Whether the reference answers on that node's side of the switch."""
        self.foreign = False
        """Some third machine answers for the virtual addresses."""

    def send(self, sender: int, frames: list[Frame]) -> None:
        """Frames of one heartbeat, one per link."""
        world, rng = self.world, self.world.rng
        for frame in frames:
            link = frame.link
            if not self.passes(link) or rng.random() < self.loss[link][sender]:
                continue
            copies = 2 if self.duplicate and rng.random() < self.duplicate else 1
            for _ in range(copies):
                low, high = (DELAY_NS[1], DELAY_NS_MAX) if self.slow[link] else DELAY_NS
                delay_ns = low + int((high - low) * rng.random())
                world.after(delay_ns, world.machines[1 - sender].receive, link, frame)

    def passes(self, link: int) -> bool:
        """Whether the link carries anything between the nodes now."""
        split = self.lan_split and link == LAN
        return self.cable[link][0] and self.cable[link][1] and not split

    def connected(self, node: int) -> bool:
        """Whether that node reaches its reference."""
        return self.cable[LAN][node] and self.reference[node]

    def set_cable(self, link: int, node: int, *, up: bool) -> None:
        """Pull or put a cable: the node sees the carrier change."""
        if self.cable[link][node] != up:
            self.cable[link][node] = up
            self.tell_carrier(link, node)
            if link == RING:
                self.tell_carrier(link, 1 - node)

    def tell_carrier(self, link: int, node: int) -> None:
        """Netlink tells the agent there; a direct cable is dark when either end is."""
        up = self.carrier(link, node)
        agent = self.world.machines[node].agent
        if agent is not None:
            agent.answer(5 * MS, LinkChanged(link, up))

    def carrier(self, link: int, node: int) -> bool:
        """Whether that node's interface has a carrier."""
        if link == RING:
            return (
                self.cable[link][0]
                and self.cable[link][1]
                and (self.world.machines[1 - node].powered)
            )
        return self.cable[link][node]

    def heal(self) -> None:
        """Everything in order again."""
        for link in range(len(self.loss)):
            self.loss[link] = [0.0, 0.0]
            self.slow[link] = False
            for node in (0, 1):
                self.set_cable(link, node, up=True)
        self.duplicate = 0.0
        self.lan_split = False
        self.reference = [True, True]
        self.foreign = False
