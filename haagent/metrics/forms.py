# SPDX-License-Identifier: GPL-2.0-or-later
"""The forms that a metric can have, each made of rows of labels and samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from haagent.metrics.figures import Limited
from haagent.metrics.histogram import Histogram

Labels = tuple[str, ...]
"""Names of labels, or their values in the same order."""
Row = tuple[Labels, float | None]
"""Values of the labels, and the sample; None: not known now, so it is left out."""


def seconds(ms: float | None) -> float | None:
    """Milliseconds in the base unit."""
    return None if ms is None else ms / 1e3


def gauge(name: str, text: str, labels: Labels, rows: Iterable[Row]) -> Metric:
    """Goes up and down; a truth is 1 or 0."""
    family = GaugeMetricFamily(f"haagent_{name}", text, labels=labels)
    for values, sample in rows:
        if sample is not None:
            family.add_metric(values, float(sample))
    return family


def one(name: str, text: str, sample: float | None) -> Metric:
    """A gauge without labels."""
    return gauge(name, text, (), [((), sample)])


def states(name: str, text: str, label: str, known: Iterable[str], now: str) -> Metric:
    """One of several: a series for each, of which one is 1."""
    return gauge(name, text, (label,), [((state,), state == now) for state in known])


def present(name: str, text: str, label: str, values: Iterable[str]) -> Metric:
    """A series for each that is there."""
    return gauge(name, text, (label,), [((value,), 1) for value in sorted(values)])


def limited(
    name: str,
    text: str,
    rows: Sequence[tuple[Labels, Limited]],
    labels: Labels,
) -> Iterator[Metric]:
    """A count within a window, and its bound."""
    counts = [(values, one.count) for values, one in rows]
    yield gauge(name, f"{text} within the window.", labels, counts)
    limits = [(values, one.limit) for values, one in rows]
    yield gauge(f"{name}_limit", f"{text} until no more are made.", labels, limits)


def counter(name: str, text: str, labels: Labels, rows: Iterable[tuple[Labels, float]]) -> Metric:
    """Only rises; its name gets "_total"."""
    family = CounterMetricFamily(f"haagent_{name}", text, labels=labels)
    for values, sample in rows:
        family.add_metric(values, sample)
    return family


def histogram(
    name: str,
    text: str,
    labels: Labels,
    rows: Iterable[tuple[Labels, Histogram]],
) -> Metric:
    """Durations in seconds."""
    family = HistogramMetricFamily(f"haagent_{name}", text, labels=labels)
    for values, counted in rows:
        family.add_metric(values, counted.cumulative(), counted.sum_s)
    return family
