# SPDX-License-Identifier: GPL-2.0-or-later
"""A histogram that costs the loop one search in a short list per observation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from haagent.core.settings import S


class Histogram:
    """Durations, counted by the smallest bound that each does not exceed.

    Args:
        bounds_ns: Rising; what is above the last one is counted as well.
    """

    def __init__(self, bounds_ns: Sequence[int]) -> None:
        self._bounds_ns = tuple(bounds_ns)
        self._counts = [0] * (len(bounds_ns) + 1)
        self._sum_ns = 0

    def observe(self, value_ns: int) -> None:
        """Take one duration in; below zero counts as zero."""
        self._counts[bisect_left(self._bounds_ns, value_ns)] += 1
        self._sum_ns += max(0, value_ns)

    @property
    def sum_s(self) -> float:
        """Of everything observed, seconds."""
        return self._sum_ns / S

    def cumulative(self) -> list[tuple[str, int]]:
        """Each bound in seconds, as Prometheus spells it, and how many did not exceed it."""
        total, rows = 0, []
        for bound_ns, count in zip(self._bounds_ns, self._counts, strict=False):
            total += count
            rows.append((f"{bound_ns / S:g}", total))
        return [*rows, ("+Inf", total + self._counts[-1])]
