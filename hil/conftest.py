# SPDX-License-Identifier: GPL-2.0-or-later
"""`pytest hil --bench lab.toml`: the scenarios on a real pair, once its operator agreed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.metal.consent import NoConsentError, ask
from hil.metal.inventory import Inventory, InventoryError, read_inventory

INVENTORY = pytest.StashKey[Inventory]()
"""The lab that was asked for; without it, the virtual pair."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ours."""
    text = "run the scenarios on the real pair of this inventory (docs/lab.md)"
    parser.addoption("--bench", type=Path, metavar="LAB.TOML", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Read the inventory, or refuse it with all that is wrong."""
    file = config.getoption("bench")
    if file is None:
        return
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("--bench: one pair, so one scenario at a time; leave -n out")
    try:
        config.stash[INVENTORY] = read_inventory(file)
    except InventoryError as error:
        raise pytest.UsageError(*error.lines) from error


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Ask before the first scenario: nothing is touched without the operator's word."""
    inventory = session.config.stash.get(INVENTORY, None)
    if inventory is None or session.config.option.collectonly:
        return
    scenarios = sum(item.get_closest_marker("skip") is None for item in session.items)
    if not scenarios:
        return
    try:
        ask(inventory, scenarios)
    except NoConsentError as error:
        pytest.exit(f"nothing was touched: {error}", pytest.ExitCode.USAGE_ERROR)
