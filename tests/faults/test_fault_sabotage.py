# SPDX-License-Identifier: GPL-2.0-or-later
"""No check of the table is a decoration: fencing that is broken on purpose is seen by it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from .attempt import Run
from .sabotage import LATE, SABOTAGES, Sabotage, carry_out_broken
from .table import CASES
from .verdict import violations

ALL = (LATE, *SABOTAGES)
AT_ONCE = 5


@pytest.fixture(scope="module")
def broken() -> Iterator[dict[Sabotage, Future[Run]]]:
    """What came out of each, every one in a process of its own."""
    context = get_context("spawn")
    with ProcessPoolExecutor(AT_ONCE, context, max_tasks_per_child=1) as pool:
        yield {sabotage: pool.submit(carry_out_broken, sabotage) for sabotage in ALL}


@pytest.mark.parametrize("sabotage", ALL, ids=lambda sabotage: sabotage.breaks)
def test_sabotage_is_seen(broken: dict[Sabotage, Future[Run]], sabotage: Sabotage) -> None:
    """What is broken is what the row complains of."""
    run = broken[sabotage].result()
    found = violations(run, CASES[sabotage.row])
    assert any(words.startswith(sabotage.violation) for words in found), (found, run)
