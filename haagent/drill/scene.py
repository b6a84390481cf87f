# SPDX-License-Identifier: GPL-2.0-or-later
"""What a drill works with while it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from haagent.config import Configuration
from haagent.drill.kinds import Chaos, Kind
from haagent.drill.pair import Pair, may_take_over, roles
from haagent.drill.power import Power
from haagent.drill.settings import DrillSettings
from haagent.drill.timeline import Timeline
from haagent.drill.watch import Watch
from haagent.drill.writes import Writes


@dataclass(slots=True)
class Scene:
    """One drill's pair, clock and eyes."""

    kind: Kind
    configuration: Configuration
    pair: Pair
    power: Power
    timeline: Timeline
    watch: Watch
    writes: Writes
    chaos: Chaos | None = None
    """Of chaos alone: what is drawn from."""
    began: dict[str, str] = field(default_factory=dict)
    """This node's roles at the beginning, by group."""
    cut: bool = False
    """The peer's power was cut by us, or by its peer's agent because of us."""
    killed: int | None = None
    """Incarnation of the peer's agent that was told to die: it may still live for a moment."""
    took_over: bool = False
    """The groups came to this node because the peer was shot."""
    times: list[dict[str, Any]] = field(default_factory=list)
    """What took how long: name, ms, and budget_ms if it has one."""

    @property
    def settings(self) -> DrillSettings:
        """What the configuration says of drills."""
        return self.configuration.drill

    @property
    def probed(self) -> bool:
        """Every group's service is asked too, before its silent node is shot."""
        return all(plan.probe is not None for plan in self.configuration.groups)

    @property
    def patience_s(self) -> float:
        """How long a silent agent whose service answers is left alone by its peer."""
        timing = self.configuration.pair.timing
        longest_ns = max(timing.dead_after_ns, timing.serving_grace_ns if self.probed else 0)
        return longest_ns / 1e9

    @property
    def fence_s(self) -> float:
        """What the levels of the peer's devices may take, one after the other."""
        devices = self.configuration.devices[self.configuration.pair.peer]
        levels = {device.level for device in devices}
        return sum(max(d.deadline_s for d in devices if d.level == level) for level in levels)

    def took(self, name: str, since_ns: int, budget_s: float | None = None) -> None:
        """Note how long something took that has just ended."""
        took_ms = round((time.monotonic_ns() - since_ns) / 1e6, 1)
        budget_ms = None if budget_s is None else budget_s * 1000
        self.times.append({"name": name, "ms": took_ms, "budget_ms": budget_ms})

    def say(self, text: str) -> None:
        """A word of the drill's own."""
        self.timeline.tell("drill", text)

    def peer_is_back(self) -> bool:
        """Both agents are there, and each could take over from the other."""
        here, there = self.watch.here, self.watch.there
        if here is None or there is None or here["peer_state"]["phase"] != "alive":
            return False
        if there["incarnation"] == self.killed:
            return False
        return may_take_over(here) and may_take_over(there)

    def all_here(self) -> bool:
        """Every group is active on this node."""
        return set(roles(self.watch.here).values()) == {"active"}

    def as_it_began(self) -> bool:
        """Every group has the role that it had here at the beginning."""
        return roles(self.watch.here) == self.began
