# SPDX-License-Identifier: GPL-2.0-or-later
"""What every test shares: the --update option and how Hypothesis runs here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# No deadline: the machine is shared and a slow example is no failure. No database: a run leaves
# nothing behind, and a failure prints the example itself.
settings.register_profile("haagent", deadline=None, database=None, print_blob=True)
settings.load_profile("haagent")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Checked-in tables and transcripts are rewritten on request, and reviewed as a diff."""
    parser.addoption(
        "--update", action="store_true", help="rewrite checked-in expectations instead of comparing"
    )


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """Whether the checked-in expectations are to be rewritten."""
    return bool(request.config.getoption("--update"))


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command that runs in this process sets up the log as it likes, for its test alone."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
