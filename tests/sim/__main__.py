# SPDX-License-Identifier: GPL-2.0-or-later
"""The long simulation: SEEDS=100000 FIRST_SEED=0 JOBS=2 python -m tests.sim."""

from __future__ import annotations

import os
import sys
import time

from .runner import Result, run_many

TELL_EVERY = 500
"""Seeds between two lines of progress."""


def main() -> int:
    """Run the seeds asked for by the environment; 1 when one of them failed."""
    first = int(os.environ.get("FIRST_SEED", "0"))
    count = int(os.environ.get("SEEDS", "2000"))
    jobs = int(os.environ.get("JOBS", str(os.cpu_count() or 1)))
    limit = int(os.environ.get("LIMIT", "5"))
    begin_s = time.monotonic()
    told = 0

    def tell(so_far: Result) -> None:
        nonlocal told
        for failure in so_far.failures[told:]:
            sys.stdout.write(failure + "\n\n")
        told = len(so_far.failures)
        if so_far.seeds % TELL_EVERY == 0:
            took_s = time.monotonic() - begin_s
            sys.stdout.write(f"{so_far.seeds} seeds, {told} failed, {took_s:.0f} s\n")
        sys.stdout.flush()

    result = run_many(range(first, first + count), jobs=jobs, limit=limit, tell=tell)
    for name, number in sorted(result.counts.items()):
        sys.stdout.write(f"{number:9d}  {name}\n")
    took_s = time.monotonic() - begin_s
    sys.stdout.write(
        f"{result.seeds} seeds in {took_s:.1f} s, {len(result.failures)} failed; after healing "
        f"settled in {result.median_s:.1f} s (median), {result.worst_s:.1f} s (worst)\n"
    )
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
