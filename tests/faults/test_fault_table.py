# SPDX-License-Identifier: GPL-2.0-or-later
"""Every fault of every driver: what no row may do, and the page that says what each does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .page import page
from .table import CASES, EVERY, Table
from .verdict import violations

PAGE = Path(__file__).parents[2] / "docs" / "fence-faults.md"


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """The rows that the tests of this run ask for, in the background."""
    asked = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and item.path == request.path
    }
    everything = any(item.name == test_page.__name__ for item in request.session.items)
    with Table(name for name in CASES if everything or name in asked) as rows:
        yield rows


@pytest.mark.parametrize("name", CASES)
def test_row(table: Table, name: str) -> None:
    """S3: no proof of what is not so; and each attempt ends in time and leaves nothing behind."""
    run = table.row(name)
    assert not violations(run, CASES[name]), run


def test_page(table: Table, *, update: bool) -> None:
    """docs/fence-faults.md says what came out (rewrite it: --update)."""
    before = PAGE.read_text() if PAGE.exists() else ""
    now = page(CASES, table.rows(), before)
    if update:
        PAGE.write_text(now)
    else:
        assert now.splitlines() == before.splitlines()


def test_names_are_unique() -> None:
    """No row hides another; the page tells rows by section and fault."""
    assert len(EVERY) == len(CASES)
