# SPDX-License-Identifier: GPL-2.0-or-later
"""Many seeds, on one core or more."""

from __future__ import annotations

import gc
import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from .history import Outcome, run

CHUNK = 25


@dataclass
class Result:
    """What many seeds gave together."""

    seeds: int = 0
    failures: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    settled_s: list[float] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Take one seed in."""
        self.seeds += 1
        for name, number in outcome.counts.items():
            self.counts[name] += number
        if outcome.failure is not None:
            self.failures.append(outcome.failure)
        if outcome.settled_after_ns is not None:
            self.settled_s.append(outcome.settled_after_ns / 1e9)

    @property
    def median_s(self) -> float:
        """From healing to settled."""
        return statistics.median(self.settled_s or [0.0])

    @property
    def worst_s(self) -> float:
        """From healing to settled."""
        return max(self.settled_s or [0.0])


def _run_chunk(seeds: list[int]) -> list[Outcome]:
    """Seeds in one go; their garbage is full of cycles and is taken out once, at the end."""
    gc.disable()
    try:
        return [run(seed) for seed in seeds]
    finally:
        gc.enable()
        gc.collect()


def run_many(
    seeds: Iterable[int],
    *,
    jobs: int = 1,
    limit: int = 5,
    tell: Callable[[Result], None] = lambda _result: None,
) -> Result:
    """Run seeds until all are done or so many have failed.

    Args:
        seeds: Each is a world of its own.
        jobs: Processes; 1 stays in this one.
        limit: Stop after so many failures.
        tell: Called now and then with what there is so far.
    """
    result = Result()
    todo = list(seeds)
    chunks = [todo[at : at + CHUNK] for at in range(0, len(todo), CHUNK)]
    if jobs == 1:
        _take(result, map(_run_chunk, chunks), limit, tell)
        return result
    # Not forked: the test runner may have threads.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        _take(result, pool.map(_run_chunk, chunks), limit, tell)
        pool.shutdown(cancel_futures=True)
    return result


def _take(
    result: Result,
    chunks: Iterable[list[Outcome]],
    limit: int,
    tell: Callable[[Result], None],
) -> None:
    for outcomes in chunks:
        for outcome in outcomes:
            result.add(outcome)
        tell(result)
        if len(result.failures) >= limit:
            return
