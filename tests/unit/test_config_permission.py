# SPDX-License-Identifier: GPL-2.0-or-later
"""Permissions in the configuration: beside power, for both nodes, each with a key of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from config_bench import PAGE, Site, example, witnesses

SHARED = PAGE.parent / "shared-storage.md"
Change = tuple[str, str]


def text() -> str:
    """The example of the page about shared storage."""
    (block,) = re.findall(r"```toml\n(.*?)```", SHARED.read_text(), re.DOTALL)
    return str(block)


@pytest.mark.parametrize("node", ["alpha", "beta"])
def test_the_page_shows_a_whole_pair(tmp_path: Path, node: str) -> None:
    """Its example is taken without a warning, and its group stands on the disk."""
    configuration = Site(tmp_path).load(text(), node)
    assert configuration.warnings == ()
    assert [group.shared_storage for group in configuration.groups] == [True]


def test_a_group_may_do_without(tmp_path: Path) -> None:
    """Without permissions no group needs one; with them it can say so, which is noticed."""
    site = Site(tmp_path)
    assert [group.shared_storage for group in site.load(example()).groups] == [False]
    without = site.changed(
        ('name = "files"\n', 'name = "files"\nshared_storage = false\n'), text=text()
    )
    assert [group.shared_storage for group in without.groups] == [False]
    assert "no group stands on it" in "".join(without.warnings)


LEVEL: Change = ('driver = "permission"\n', 'driver = "permission"\nlevel = 2\n')
OTHER_DISK: Change = ('abcde", key = "b1"', 'abcdf", key = "b1"')
SAME_NODE: Change = (
    'node = "beta"\ndriver = "permission"',
    'node = "alpha"\ndriver = "permission"',
)
REFUSED: list[tuple[str, Change, str]] = [
    ("fence.alpha-disk.level", LEVEL, "only permissions"),
    ("fence.beta-disk.options.key", ('key = "b1"', 'key = "a1"'), "each node has its own"),
    ("fence.alpha-disk.options.disk", OTHER_DISK, "beta has no key there"),
    ("fence.alpha-disk.options.key", ('"a1"', '"A1"'), "small letters"),
    ("fence.alpha-disk.options.key", ('"a1"', '"0a1"'), "the first of them no 0"),
    ("fence.alpha-disk.options.key", ('"a1"', '"0xa1"'), "the first of them no 0"),
    ("fence.alpha-disk.options.key", ('"a1"', '"12345678901234567"'), "1 to 16"),
    ("fence.alpha-disk.options.key", (', key = "a1"', ""), "is missing"),
    ("fence.beta-disk.options", SAME_NODE, "the same device"),
    ("group.files.resource.permission.name", ('"data"', '"permission"'), "another name"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "change", "said"), REFUSED)
def test_what_is_refused(tmp_path: Path, where: str, change: Change, said: str) -> None:
    """Each mistake is named with its place and remedy."""
    lines = Site(tmp_path).refusal(change, text=text())
    assert any(where in line and said in line for line in lines), lines


def test_power_is_needed_as_well(tmp_path: Path) -> None:
    """A node that only a disk keeps out is one without a fence device."""
    bmc = re.search(r'\[\[fence\]\]\nname = "alpha-bmc".*?\n\n', text(), re.DOTALL)
    assert bmc is not None
    lines = Site(tmp_path).refusal((bmc[0], ""), text=text())
    assert any(line.startswith("node.alpha") and "no fence device" in line for line in lines), lines


def test_the_watchdogs_as_the_last_level(tmp_path: Path) -> None:
    """Where they end a node that nobody stands by, a level may only cut the disk."""
    dog = '[watchdog]\nmode = "required"\nidentity = "iTCO_wdt"\nfence = true\n\n[network]'
    configuration = Site(tmp_path).changed(LEVEL, ("[network]", dog), text=text() + witnesses())
    assert configuration.watchdog.fence


def test_a_group_that_says_so_needs_a_permission(tmp_path: Path) -> None:
    """shared_storage = true without any disk is a mistake."""
    lines = Site(tmp_path).refusal(("max_moves = 6", "max_moves = 6\nshared_storage = true"))
    assert any("shared_storage" in line and "permission" in line for line in lines), lines


def test_a_name_that_may_change(tmp_path: Path) -> None:
    """/dev/sda is warned about."""
    site, disk = Site(tmp_path), "/dev/disk/by-id/wwn-0x600a0b80000abcde"
    configuration = site.load(text().replace(disk, "/dev/sda"))
    assert len([line for line in configuration.warnings if "/dev/disk/by-id/" in line]) == 2
