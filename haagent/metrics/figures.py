# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that one scrape is made of, as it was at one moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haagent.alerts.courier import Courier
from haagent.links.path import Counters
from haagent.metrics.counts import Counts
from haagent.vip.announcer import Announced


@dataclass(frozen=True, slots=True)
class Limited:
    """Something that may happen only so often within a window."""

    count: int
    limit: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The status, and the numbers that it does not show."""

    status: Mapping[str, Any]
    """As `haagent status --json`."""
    counts: Counts
    links: Sequence[Counters]
    """In the order of the status' links."""
    announced: Mapping[str, Announced]
    """By interface."""
    fence_ready: bool | None
    fences: Limited
    moves: Mapping[str, Limited]
    """By group."""
    configuration_agrees: bool | None
    """None while the peer was never heard."""
    watchdog_armed: bool
    watchdog_timeout_s: int
    couriers: Mapping[str, Courier]
    """By [[alert]]."""
    hooks_dropped: int
    records: Collection[Mapping[str, Any]]
    """The history."""
    measured_unix_s: float | None
    """When a fence device of the peer was last seen to read off while it was measured."""
