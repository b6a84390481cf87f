# SPDX-License-Identifier: GPL-2.0-or-later
"""Gathers what the agent says of itself, for whoever asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from haagent.config import Configuration
from haagent.core.gates import configuration_agrees, recent_fences
from haagent.core.moves import recent
from haagent.core.state import State
from haagent.drill.station import Station
from haagent.edges import Edges
from haagent.links.linkset import LinkSet
from haagent.metrics.figures import Figures, Limited
from haagent.onlookers import Onlookers
from haagent.status.snapshot import snapshot
from haagent.status.sources import Sources
from haagent.watchdog import Watchdog


@dataclass(slots=True)
class Report:
    """Asks everybody; costs nothing until it is called."""

    configuration: Configuration
    state: Callable[[], State]
    """Gives the newest one."""
    links: LinkSet
    edges: Edges
    watchdog: Watchdog
    onlookers: Onlookers
    refused: Callable[[], str]
    """Why the configuration file was refused at the last reload; "" if it was not."""
    drills: Station
    _alarms: dict[str, int] = field(default_factory=dict, init=False)
    """Alarm codes and when each was first seen, monotonic ns."""

    def line(self) -> str:
        """The groups as `systemctl status` shows them, and why a reload was refused."""
        groups = ", ".join(
            f"{group.settings.name} {type(group.phase).__name__.lower()}"
            for group in self.state().groups
        )
        refused = self.refused()
        return f"{groups}; reload refused: {refused}" if refused else groups

    def status(self) -> dict[str, Any]:
        """What `haagent status --json` shows."""
        state, now_ns = self.state(), time.monotonic_ns()
        counters = dict(self.onlookers.counts.frames) | {"unrecorded": self.onlookers.box.lost}
        for name, count in state.refusals:
            counters[f"refused_{name}"] = counters.get(f"refused_{name}", 0) + count
        data = snapshot(
            Sources(
                self.configuration,
                state,
                self.links.states(),
                self.edges.shooting.readiness,
                counters,
                now_ns,
                self.edges.services.readings,
                self.onlookers.homecoming.told,
                self.watchdog.trouble,
                self.edges.shooting.outwaiting.takes_s,
                self.onlookers.counts.loss.tallies,
                self.onlookers.box.trouble,
                self.refused(),
                self.edges.panel.states(),
                self.onlookers.desk.undelivered,
                self.drills.standing(),
                self.drills.overdue(),
            )
        )
        codes = {alarm["code"] for alarm in data["alarms"]}
        self._alarms = {code: self._alarms.get(code, now_ns) for code in codes}
        for alarm in data["alarms"]:
            alarm["since_s"] = (now_ns - self._alarms[alarm["code"]]) / 1e9
        return data

    def figures(self) -> Figures:
        """What a scrape is made of."""
        state, now_ns = self.state(), time.monotonic_ns()
        interfaces = {vip.interface for vips in self.configuration.vips.values() for vip in vips}
        return Figures(
            status=self.status(),
            counts=self.onlookers.counts,
            links=self.links.counters(),
            announced={name: self.edges.holder.announced[name] for name in sorted(interfaces)},
            fence_ready=state.fence_ready,
            fences=Limited(len(recent_fences(state, now_ns)), state.settings.timing.max_fences),
            moves={
                group.settings.name: Limited(len(recent(group, now_ns)), group.settings.max_moves)
                for group in state.groups
            },
            configuration_agrees=None if state.view is None else configuration_agrees(state),
            watchdog_armed=self.watchdog.armed,
            watchdog_timeout_s=self.watchdog.timeout_s,
            couriers=self.onlookers.desk.couriers,
            hooks_dropped=self.onlookers.hooks.dropped,
            records=self.onlookers.history.records,
            measured_unix_s=self.edges.shooting.settle.last_unix_s,
        )
