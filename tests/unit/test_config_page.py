# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/configuration.md is held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from config_bench import PAGE, Site, example

from haagent import duration
from haagent.config import schema
from haagent.core.settings import Timing

SECTIONS = {
    "Top level": schema.TopTable,
    "`[key]`": schema.KeyTable,
    "`[timing]`": schema.TimingTable,
    "`[agent]`": schema.AgentTable,
    "`[network]`": schema.NetworkTable,
    "`[[node]]`": schema.NodeTable,
    "`[[link]]`": (schema.LinkTable, schema.LinkEndTable),
    "`[[fence]]`": schema.FenceTable,
    "`[[group]]`": (schema.GroupTable, schema.VipTable, schema.ProbeTable),
}
TABLES = {"key", "timing", "agent", "network", "node", "link", "fence", "group"}
"""Keys of the top level that have a section instead of a row."""
DURATIONS = {
    "off_settle",
    "deadline",
    "check_every",
    *(name for name in schema.TimingTable.model_fields if not name.startswith(("max", "lone"))),
}


def rows(title: str) -> dict[str, str]:
    """Rows of the table below the heading that begins with `title`: key to the default's cell."""
    section = PAGE.read_text().partition(f"\n## {title}")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_is_on_the_page(title: str) -> None:
    """Each section lists exactly the keys its table takes."""
    tables = SECTIONS[title]
    tables = tables if isinstance(tables, tuple) else (tables,)
    keys = {name for table in tables for name in table.model_fields}
    if title == "Top level":
        keys -= TABLES
    assert set(rows(title)) == keys


@pytest.mark.parametrize("title", SECTIONS)
def test_defaults_on_the_page_are_those_of_the_code(title: str) -> None:
    """The default in each row is the model's, durations in their unit."""
    tables = SECTIONS[title]
    listed = rows(title)
    for table in tables if isinstance(tables, tuple) else (tables,):
        for name, field in table.model_fields.items():
            cell = listed.get(name, "")
            if name in TABLES and title == "Top level":
                continue
            if field.is_required():
                assert cell.startswith("required"), name
            elif name in DURATIONS:
                assert cell == f'`"{duration.render(field.default)}"`', name
            elif isinstance(field.default, str):
                assert cell == f'`"{field.default}"`', name
            elif isinstance(field.default, int):
                assert cell == f"`{field.default}`", name


def test_the_complete_example_loads_without_a_warning(tmp_path: Path) -> None:
    """What the page shows as complete is accepted, and its [timing] is the default."""
    configuration = Site(tmp_path).load(example())
    assert configuration.warnings == ()
    assert configuration.pair.timing == Timing()


def test_the_complete_example_is_complete() -> None:
    """The example has every key but those that exclude each other."""
    text = example()
    tables = [table for entry in SECTIONS.values() for table in _tuple(entry)]
    keys = {name for table in tables for name in table.model_fields} - {"lone_start_after"}
    missing = {key for key in keys if re.search(rf"\b{key}\b", text) is None}
    assert missing == set()


def _tuple(entry: object) -> tuple[type[schema.Table], ...]:
    return entry if isinstance(entry, tuple) else (entry,)
