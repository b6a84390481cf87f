# SPDX-License-Identifier: GPL-2.0-or-later
"""The loop's own histograms count as Prometheus defines it."""

from __future__ import annotations

from haagent.core.settings import MS, S
from haagent.metrics.histogram import Histogram


def test_buckets_are_cumulative_and_bounds_belong_to_them() -> None:
    """A value equal to a bound is within it; the last bucket holds everything."""
    histogram = Histogram((10 * MS, 100 * MS, 1 * S))
    for value_ns in (-5, 0, 10 * MS, 10 * MS + 1, 1 * S, 7 * S):
        histogram.observe(value_ns)
    assert histogram.cumulative() == [("0.01", 3), ("0.1", 4), ("1", 5), ("+Inf", 6)]
    assert histogram.sum_s == (20 * MS + 1 + 8 * S) / S
