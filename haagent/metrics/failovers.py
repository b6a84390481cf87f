# SPDX-License-Identifier: GPL-2.0-or-later
"""How long takeovers take, and each phase of a failover: histograms of the history's records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from haagent.core.settings import MS, S
from haagent.metrics.histogram import Histogram

BOUNDS_NS = tuple(
    round(seconds * S)
    for seconds in (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600)
)
"""From a disk's write to a server's boot."""
KINDS = ("start", "switchover", "failover")
OUTCOMES = ("completed", "abandoned", "withheld")
PHASES = (
    "suspect",
    "gates",
    "fence_ordered",
    "confirmed_off",
    "granted",
    "start_ordered",
    "vip_added",
    "announced",
    "active",
    "power_on_ordered",
    "power_on",
    "peer_back",
)
"""Of `haagent history`; all are there from the start, so that the first failover is an increase."""


class Failovers:
    """Counts what the history finishes after this was made; earlier records are not counted.

    Args:
        groups: Names of all groups.
        records: The history so far.
    """

    def __init__(self, groups: Collection[str], records: Collection[Mapping[str, Any]]) -> None:
        self.durations = {(group, kind): Histogram(BOUNDS_NS) for group in groups for kind in KINDS}
        """From the peer's last frame, or else from the grant, until the group is active."""
        self.phases = {phase: Histogram(BOUNDS_NS) for phase in PHASES}
        self.ended = Counter(
            {(group, kind, how): 0 for group in groups for kind in KINDS for how in OUTCOMES}
        )
        self._counted = {record["id"]: len(record["phases"]) for record in records}
        """By record, how many of its phases are in the histograms."""

    def take(self, records: Collection[Mapping[str, Any]]) -> None:
        """Some record is new, or has got further phases."""
        for record in records:
            counted = self._counted.get(record["id"])
            if counted is None:
                self._count(record)
            if record["kind"] == "failover" and record["outcome"] != "withheld":
                for phase in record["phases"][counted or 0 :]:
                    self._phase(phase["name"]).observe(round(phase["ms"] * MS))
        self._counted = {record["id"]: len(record["phases"]) for record in records}

    def _count(self, record: Mapping[str, Any]) -> None:
        if record["kind"] not in KINDS:
            return  # No takeover.
        self.ended[record["group"], record["kind"], record["outcome"]] += 1
        if record["outcome"] == "completed":
            took_ns = round(record["total_ms"] * MS)
            self.durations[record["group"], record["kind"]].observe(took_ns)

    def _phase(self, name: str) -> Histogram:
        return self.phases.setdefault(name, Histogram(BOUNDS_NS))
