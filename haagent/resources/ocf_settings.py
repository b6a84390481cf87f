# SPDX-License-Identifier: GPL-2.0-or-later
"""What the configuration says of a resource with an OCF agent, and the limits that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from haagent.resources import Times
from haagent.resources.ocf_metadata import Metadata
from haagent.resources.process import ENDING_S

PROMOTION_LIMIT_S = 60.0
"""For promote, demote and notify where nobody says anything: as for start and stop."""


@dataclass(frozen=True, slots=True)
class OcfSettings:
    """One resource, and where it is run."""

    name: str
    """Unique in its group."""
    group: str
    node: str
    """What this node is called."""
    agent: str
    """ "ocf:PROVIDER:TYPE"."""
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By the names of the agent's meta-data. May hold passwords."""
    promotable: bool = False
    limits_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds for an action: start, stop, monitor, promote, demote, notify, validate-all. What is
    missing is as the agent advises."""
    interval_s: float | None = None
    """Between two monitors; 0: none; None: as the agent advises."""
    check_level: int = 0
    """How thorough the repeated monitor is (OCF_CHECK_LEVEL): 0, 10, 20."""

    @property
    def instance(self) -> str:
        """What the resource is called in its agent's notes: unique on this node."""
        return f"{self.group}.{self.name}"


_DEFAULTS_S: Final = {
    "start": Times().start_s,
    "stop": Times().stop_s,
    "monitor": Times().monitor_s,
}


class Limits:
    """Limits by the configuration, else by the agent's advice, else by ours."""

    def __init__(self, settings: OcfSettings, metadata: Metadata | None) -> None:
        self._settings = settings
        self._metadata = metadata

    def action_s(self, action: str) -> float:
        """How long one run of an action may take, seconds."""
        if (configured_s := self._settings.limits_s.get(action)) is not None:
            return configured_s
        advised_s = self._advised(action)[0]
        return _DEFAULTS_S.get(action, PROMOTION_LIMIT_S) if advised_s is None else advised_s

    def interval_s(self) -> float:
        """The pause between two monitors, seconds; 0 for none."""
        if self._settings.interval_s is not None:
            return self._settings.interval_s
        return self._advised("monitor")[1] or Times().interval_s

    def times(self) -> Times:
        """How long start() and stop() take at most: every action that may be needed for them."""
        start = ["monitor", "stop", "monitor", "start", "monitor"]
        stop = ["monitor", "stop", "monitor"]
        if self._settings.promotable:
            start += ["demote", *["notify"] * 6, "promote", "monitor"]
            stop += ["demote", *["notify"] * 3, "monitor"]
        return Times(
            start_s=sum(self.action_s(action) + ENDING_S for action in start),
            stop_s=sum(self.action_s(action) + ENDING_S for action in stop),
            monitor_s=self.action_s("monitor") + ENDING_S,
            interval_s=self.interval_s(),
            answer_s=self.action_s("start"),
        )

    def _advised(self, action: str) -> tuple[float | None, float | None]:
        """Time limit and interval by the meta-data, None where they say nothing."""
        if self._metadata is None:
            return None, None
        settings = self._settings
        depth, promoted = settings.check_level, settings.promotable
        found = self._metadata.advised(action, depth=depth, promoted=promoted)
        return found.timeout_s, found.interval_s
