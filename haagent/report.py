# SPDX-License-Identifier: GPL-2.0-or-later
"""Gathers what the agent says of itself, for whoever asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from haagent.blackbox.box import BlackBox
from haagent.config import Configuration
from haagent.core.state import State
from haagent.edges import Edges
from haagent.homecoming import Homecoming
from haagent.links.linkset import LinkSet
from haagent.metrics.counts import Counts
from haagent.status import Sources, snapshot
from haagent.watchdog import Watchdog


@dataclass(slots=True)
class Report:
    """Asks everybody; costs nothing until it is called."""

    configuration: Configuration
    state: Callable[[], State]
    """Gives the newest one."""
    links: LinkSet
    edges: Edges
    homecoming: Homecoming
    watchdog: Watchdog
    counts: Counts
    box: BlackBox
    _alarms: dict[str, int] = field(default_factory=dict, init=False)
    """Alarm codes and when each was first seen, monotonic ns."""

    def status(self) -> dict[str, Any]:
        """What `haagent status --json` shows."""
        state, now_ns = self.state(), time.monotonic_ns()
        counters = dict(self.counts.frames) | {"unrecorded": self.box.lost}
        for name, count in state.refusals:
            counters[f"refused_{name}"] = counters.get(f"refused_{name}", 0) + count
        data = snapshot(
            Sources(
                self.configuration,
                state,
                self.links.states(),
                self.edges.fence.readiness,
                counters,
                now_ns,
                self.edges.services.readings,
                self.homecoming.told,
                self.watchdog.trouble,
                self.counts.loss.tallies,
                self.box.trouble,
            )
        )
        codes = {alarm["code"] for alarm in data["alarms"]}
        self._alarms = {code: self._alarms.get(code, now_ns) for code in codes}
        for alarm in data["alarms"]:
            alarm["since_s"] = (now_ns - self._alarms[alarm["code"]]) / 1e9
        return data
