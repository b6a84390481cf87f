# SPDX-License-Identifier: GPL-2.0-or-later
"""What a running agent takes in, and what needs another one, key by key of the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from config_bench import Site, everything, example

from fencing.config.problems import join
from haagent.config.difference import Difference, difference

LIVE = [
    ('dead_after = "1s"', 'dead_after = "2s"', "timing.dead_after"),
    ('interval = "100ms"', 'interval = "50ms"', "timing.interval"),
    ('hedge_after = "2s"', 'hedge_after = "3s"', "timing.hedge_after"),
    ("send = 1", "send = 2", "key"),
    ('log_level = "info"', 'log_level = "debug"', "agent.log_level"),
    ('prove_every = "90d"', 'prove_every = "30d"', "drill"),
    ('reference_interval = "2s"', 'reference_interval = "3s"', "network"),
]
RESTART = [
    ('cluster = "shop"', 'cluster = "mall"', "cluster"),
    ('interval = "100ms"', 'interval = "150ms"', "timing.interval"),
    ('state_dir = "/var/lib/haagent"', 'state_dir = "/srv/haagent"', "agent.state_dir"),
    ("control.sock", "other.sock", "agent.control_socket"),
    ('log = "json"', 'log = "console"', "agent.log"),
]
BOTH_KEYS = ('files = { 1 = "key.1" }', 'files = { 1 = "key.1", 2 = "key.2" }')


def compared(site: Site, text: str, *changes: tuple[str, str]) -> Difference:
    """What these changes of the text come to."""
    return difference(site.load(text), site.changed(*changes, text=text))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A folder with everything the example needs."""
    return Site(tmp_path)


def test_the_same_file_is_no_difference(site: Site) -> None:
    """Read twice, its passwords and keys included, a file is the same."""
    assert compared(site, everything()) == Difference((), ())


@pytest.mark.parametrize(("old", "new", "key"), LIVE, ids=[key for *_, key in LIVE])
def test_taken_in_alive(site: Site, old: str, new: str, key: str) -> None:
    """Named as in the file; nothing else differs."""
    text = example().replace(*BOTH_KEYS)
    assert compared(site, text, (old, new)) == Difference((key,), ())


@pytest.mark.parametrize(("old", "new", "key"), RESTART, ids=[key for *_, key in RESTART])
def test_needs_a_restart(site: Site, old: str, new: str, key: str) -> None:
    """Named as in the file; a longer interval is among them, a shorter one is not."""
    assert compared(site, example(), (old, new)) == Difference((), (key,))


def test_devices_by_name(site: Site) -> None:
    """A device with another password, or other settings, is named alone."""
    before = site.load(example())
    (site.folder / "beta-bmc.password").write_text("another\n")
    assert difference(before, site.load(example())) == Difference(("fence.beta-bmc",), ())


def test_limits_of_resources_are_alive_and_the_rest_is_not(site: Site) -> None:
    """Of every kind: its interval and limits are taken in, what it is needs a restart."""
    before = site.load(everything())
    (name,) = [plan.name for plan in before.groups]
    for number, one in enumerate(before.groups[0].resources):
        changed: dict[str, object] = {}
        if hasattr(one, "times"):
            changed = {"times": replace(one.times, interval_s=99.0, stop_s=1.0)}
        elif hasattr(one, "limits_s"):
            changed = {"limits_s": {"stop": 1.0}, "interval_s": 99.0}
        else:
            continue
        for extra, is_live in (({}, True), ({"name": one.name + "x"}, False)):
            resources = list(before.groups[0].resources)
            resources[number] = replace(cast("Any", one), **(changed | extra))
            plan = replace(before.groups[0], resources=tuple(resources))
            found = difference(before, replace(before, groups=(plan,)))
            key = f"group.{name}.resource"
            named = f"{key}.{join(one.name)}"
            expected = ((named,), ()) if is_live else ((), (key,))
            assert (found.live, found.restart) == expected


def test_what_is_unknown_needs_a_restart(site: Site) -> None:
    """A field that nobody has thought of here is not silently taken in."""
    before = site.load(example())
    watchdog = replace(before.watchdog, mode="off")
    assert difference(before, replace(before, watchdog=watchdog)).restart == ("watchdog",)
    moved = replace(before.groups[0].vips[0], interface="eth9")
    other = replace(cast("Any", before.groups[0].resources[-1]), vips=(moved,))
    plan = replace(before.groups[0], resources=(*before.groups[0].resources[:-1], other))
    found = difference(before, replace(before, groups=(plan,)))
    assert found.restart == (f"group.{plan.name}.vip.vip",)
    renamed = replace(before, groups=(replace(plan, name="other"),))
    assert difference(before, renamed).restart == ("group",)
