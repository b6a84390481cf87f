# SPDX-License-Identifier: GPL-2.0-or-later
"""Data that a holder writes and its standby copies; how fresh it is travels in the frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haagent.core.events import PositionRead
from haagent.core.settings import MS

from .mix import LAN

if TYPE_CHECKING:
    from .world import World

EVERY_NS = 500 * MS


class Data:
    """The positions of every group with a limit, written twice a second."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.broken = False
        """Nothing is copied, though the nodes hear each other."""
        groups = world.mix.groups
        self.groups = [i for i, group in enumerate(groups) if group.max_lag is not None]
        if self.groups:
            world.after(EVERY_NS, self._tick)

    def _tick(self) -> None:
        machines = self.world.machines
        for group in self.groups:
            holders = [m for m in machines if m.powered and m.holds(group)]
            for holder in holders:
                holder.data[group] = holder.data.get(group, 0) + self.world.rng.randint(0, 3)
                other = machines[1 - holder.node]
                copies = other.booted and self.world.network.passes(LAN) and not self.broken
                if copies and not other.frozen and not holder.frozen and len(holders) == 1:
                    other.data[group] = holder.data[group]
        for machine in machines:
            if machine.agent is not None:
                for group in self.groups:
                    known = not machine.position_unknown
                    position = machine.data.get(group, 0) if known else -1
                    machine.agent.answer(0, PositionRead(group, position))
        self.world.after(EVERY_NS, self._tick)
