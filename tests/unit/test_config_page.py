# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/configuration.md is held against the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from config_bench import PAGE, Site, everything, example, witnesses

from fencing.config import device_table, duration
from fencing.config.options import describe
from fencing.drivers import DRIVERS, Address, Driver, OptionForm
from haagent.config import schema, watching_schema
from haagent.config.drill_table import DrillTable
from haagent.core.settings import Timing

SECTIONS = {
    "Top level": schema.TopTable,
    "`[key]`": schema.KeyTable,
    "`[timing]`": schema.TimingTable,
    "`[agent]`": schema.AgentTable,
    "`[network]`": schema.NetworkTable,
    "`[[node]]`": schema.NodeTable,
    "`[[link]]`": (schema.LinkTable, schema.LinkEndTable),
    "`[hooks]`": watching_schema.HooksTable,
    "`[watchdog]`": schema.WatchdogTable,
    "`[metrics]`": watching_schema.MetricsTable,
    "`[[alert]]`": watching_schema.AlertTable,
    "`[drill]`": DrillTable,
    "`[[group]]`": (schema.GroupTable, schema.VipTable),
    "`[group.probe]`": schema.ProbeTable,
}
RESOURCES = "`[[group.resource]]`"
WITNESSES = "`[[witness]]`"
TABLES = {
    "key", "timing", "agent", "network", "node", "link", "fence", "group", "hooks", "watchdog",
    "metrics", "witness", "alert", "drill",
}  # fmt: skip
"""Keys of the top level that have a section instead of a row."""
DURATIONS = {
    name for name in schema.TimingTable.model_fields if not name.startswith(("max", "lone"))
} | {
    "reference_interval",
    "carrier_hold",
    "timeout",
    "move_window",
    "restart_window",
    "textfile_every",
    "after",
    "unfed_after",
}
DURATIONS |= {name for name, field in DrillTable.model_fields.items() if type(field.default) is int}
FENCE_DURATIONS = {"off_settle", "deadline", "check_every"}
BY_DRIVER = {"address", "user", "password_file"}
"""Keys of a [[fence]] that some drivers need and others do not."""
DRIVERS_BEGIN = "What each driver takes"
VARIABLES_BEGIN = "In their environment:"
ADDRESSES = {
    Address.HOST: "an IP address",
    Address.LINE: "an absolute path, such as `/dev/ttyUSB0`",
    Address.NONE: "none",
}


def rows(title: str) -> dict[str, str]:
    """Rows of the table below the heading that begins with `title`: key to the default's cell."""
    section = PAGE.read_text().partition(f"\n## {title}")[2].partition("\n## ")[0]
    section = section.partition(DRIVERS_BEGIN)[0].partition(VARIABLES_BEGIN)[0]
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
            elif name in DURATIONS and field.default is not None:
                assert cell == f'`"{duration.render(field.default)}"`', name
            elif isinstance(field.default, str):
                assert cell == f'`"{field.default}"`', name
            elif isinstance(field.default, bool):
                assert cell == f"`{str(field.default).lower()}`", name
            elif isinstance(field.default, int):
                assert cell == f"`{field.default}`", name


def test_every_key_of_a_resource_is_on_the_page() -> None:
    """What all kinds take stands above, what one kind takes under its own heading."""
    page = PAGE.read_text()
    section = page.partition(f"\n## {RESOURCES}")[2]
    listed = {"kind"}
    for kind, table in schema.KINDS.items():
        own = section.partition(f'### `kind = "{kind}"`')[2].partition("\n##")[0]
        keys = set(re.findall(r"^\| `(\w+)` \|", own, re.MULTILINE))
        known = {*rows(RESOURCES), *keys}
        # An address is described where [[group.vip]] is.
        known |= set(schema.VipTable.model_fields) if kind == "vip" else set()
        assert set(table.model_fields) <= known, kind
        assert keys <= set(table.model_fields), kind
        listed |= set(table.model_fields)
    assert set(rows(RESOURCES)) <= listed


def test_every_key_of_a_witness_is_on_the_page() -> None:
    """What all kinds take stands above, what one takes under its heading; with defaults."""
    section = PAGE.read_text().partition(f"\n## {WITNESSES}")[2].partition("\n## ")[0]
    common, _, _ = section.partition("\n### ")
    shared = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", common, re.MULTILINE))
    assert set(shared) == {"kind", *schema.CountedTable.model_fields}
    for kind, table in schema.WITNESSES.items():
        own = section.partition(f'### `kind = "{kind}"`')[2].partition("\n###")[0]
        listed = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", own, re.MULTILINE))
        assert set(listed) == set(table.model_fields) - set(shared), kind
        for name, field in table.model_fields.items():
            cell = {**shared, **listed}[name]
            if field.is_required():
                assert cell == "required", name
            elif isinstance(field.default, int):
                written = field.default if name == "port" else f'"{duration.render(field.default)}"'
                assert cell == f"`{written}`", name
            elif field.default is not None:
                assert cell == f'`"{field.default}"`', name


def test_the_example_of_witnesses_loads(tmp_path: Path) -> None:
    """The page's witnesses are accepted beside the complete example, and change its hash."""
    site = Site(tmp_path)
    without = site.load(example())
    configuration = site.load(example() + witnesses())
    assert configuration.warnings == ()
    assert [plan.name for plan in configuration.witnesses] == ["etcd", "gamma", "delta", "gateway"]
    assert configuration.pair.witnessed
    assert not without.pair.witnessed
    assert configuration.pair.configuration_hash != without.pair.configuration_hash


def test_the_example_of_resources_loads(tmp_path: Path) -> None:
    """The page's group with everything is accepted in the place of the example's own."""
    (plan,) = Site(tmp_path).load(everything()).groups
    assert [one.name for one in plan.resources] == [
        "internal",
        "data",
        "postgresql@15-main.service",
        "app",
        "vip",
    ]


def test_every_key_of_a_fence_is_on_the_page() -> None:
    """[[fence]] lists the keys that fencing reads, each with the default that it has there."""
    listed = rows("`[[fence]]`")
    assert list(listed) == list(device_table.FIELDS)
    for key, cell in listed.items():
        default = device_table.DEFAULTS.get(key, "required")
        if key in BY_DRIVER:
            assert cell == "by driver", key
        elif key in FENCE_DURATIONS:
            assert isinstance(default, int)
            assert cell == f'`"{duration.render(default)}"`', key
        elif default == "required":
            assert cell == "required", key
        else:
            assert cell == ("none" if default is None else f"`{default}`"), key


def test_every_driver_and_option_is_on_the_page(*, update: bool) -> None:
    """The drivers' part of the page is what fencing.drivers declares (rewrite it: --update)."""
    page = PAGE.read_text()
    start = page.index("\n\n", page.index(DRIVERS_BEGIN)) + 2
    end = page.index("## `[[group]]`")
    declared = "".join(_driver_part(name, driver) for name, driver in sorted(DRIVERS.items()))
    if update:
        PAGE.write_text(page[:start] + declared + page[end:])
        return
    assert page[start:end] == declared


def _driver_part(name: str, driver: Driver) -> str:
    account = "required" if driver.credentials else "where the device asks for them"
    lines = [
        f'### `driver = "{name}"`',
        "",
        f"`address`: {ADDRESSES[driver.address]}; `user` and `password_file`: {account}."
        + (" Options not listed here go to the device as they are." if driver.open_options else ""),
        "",
        "| option | value | meaning |",
        "|---|---|---|",
        *(_option_row(option, form) for option, form in driver.options.items()),
    ]
    return "\n".join(lines) + "\n\n"


def _option_row(option: str, form: OptionForm) -> str:
    value = f"{describe(form)}{'; required' if form.required else ''}"
    return f"| `{option}` | {value} | {form.help[0].upper()}{form.help[1:]}. |"


def test_the_complete_example_loads_without_a_warning(tmp_path: Path) -> None:
    """What the page shows as complete is accepted, and its [timing] is the default."""
    configuration = Site(tmp_path).load(example())
    assert configuration.warnings == ()
    assert configuration.pair.timing == Timing()


def test_the_complete_example_is_complete() -> None:
    """The example has every key but those that exclude each other."""
    text = "".join(re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL))
    tables = [
        table
        for entry in (*SECTIONS.values(), *schema.KINDS.values(), *schema.WITNESSES.values())
        for table in _tuple(entry)
    ]
    keys = {name for table in tables for name in table.model_fields} | set(device_table.FIELDS)
    keys -= {"lone_start_after", "kg_file"}
    # Commands of which most pairs have none, or one.
    keys -= {name for name in watching_schema.HooksTable.model_fields if name.startswith("on_")}
    missing = {key for key in keys if re.search(rf"\b{key}\b", text) is None}
    assert missing == set()


def _tuple(entry: Any) -> tuple[type[schema.Table], ...]:
    return entry if isinstance(entry, tuple) else (entry,)
