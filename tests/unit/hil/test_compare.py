# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison with peers: who was active at once, and what a table says of it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from hil.compare.dual import contested_ns, served_by_both
from hil.compare.measure import Cost, Run
from hil.compare.ours import DEFAULT as OURS
from hil.compare.pacemaker import DEFAULT as PACEMAKER
from hil.compare.pacemaker import TUNED, all_started
from hil.compare.table import tables

OLD, NEW = "02:00:00:00:01:01", "02:00:00:00:02:01"


@pytest.mark.parametrize(
    ("macs", "contested"),
    [
        ([OLD, OLD, NEW, NEW], 0),
        ([OLD, NEW, OLD, OLD], 0),
        ([OLD, NEW, OLD, NEW], 1),
        ([OLD, NEW, OLD, NEW, OLD, NEW, NEW], 3),
        ([OLD, NEW, "02:00:00:00:09:01", NEW], 0),
        ([OLD, OLD], 0),
    ],
)
def test_only_who_answers_between_two_answers_contests(macs: list[str], contested: int) -> None:
    """A takeover and a return of the address are no conflict; answers in turn are, that long."""
    sightings = [{"at_ns": at, "mac": mac} for at, mac in enumerate(macs)]
    assert contested_ns(sightings, OLD, NEW) == contested


@pytest.mark.parametrize(
    ("nodes", "taken"),
    [("aabb", 0), ("aabbaa", 0), ("aabbaabb", 2), ("abababa", 2), ("aaa", 0), ("bbb", 0)],
)
def test_requests_that_both_took_are_counted(nodes: str, taken: int) -> None:
    """What the old server took before the new one began, or after it ended, is not counted."""
    assert served_by_both([{"node": node} for node in nodes], "a", "b") == taken


def test_run_that_failed_or_says_nothing_is_told() -> None:
    """Medians are of the takeovers; how many runs were none, and why, stands beside them."""
    runs = [
        Run("haagent", "crash", 1.0, outage_ms=900.0, detection_ms=800.0, dual=True),
        Run("haagent", "crash", 1.0, outage_ms=1500.0),
        Run("haagent", "crash", 1.0, outage_ms=1100.0),
        Run("haagent", "crash", 1.0, failed="not seen"),
        Run("haagent", "crash", 1.0, invalid="not ready"),
    ]
    row = tables([OURS, PACEMAKER], runs, []).splitlines()[-1].split(" | ")
    assert row[1:3] == ["3, 1 without a takeover, 1 invalid", "1.10 s (1.50 s)"]
    assert row[3:5] == ["800 ms", "none"]
    assert row[-1] == "1 of 3 |"
    assert "Pacemaker" not in tables([OURS, PACEMAKER], runs, [])


def test_costlier_node_is_told() -> None:
    """Of two nodes the one that uses more processor; of its windows the median and the worst."""
    used = {"alpha": (1.0, 3.0, 2.0), "beta": (0.5, 9.0, 0.5)}
    costs = [
        Cost("haagent", node, 1.0, percent, 80.0, 3)
        for node, percents in used.items()
        for percent in percents
    ]
    assert "| haagent | 3 | 2.00 % (3.00 %) | 80 MiB | 3 |" in tables([OURS], [], costs)


def shown(*started: tuple[str, str], pending: str = "") -> ET.Element:
    """What crm_mon shows of resources that run."""
    root = ET.Element("pacemaker-result")
    for name, node in started:
        resource = ET.SubElement(root, "resource", id=name, role="Started")
        if name == pending:
            resource.set("pending", "Monitoring")
        ET.SubElement(resource, "node", name=node)
    return root


ALL = (("fence-alpha", "beta"), ("fence-beta", "alpha"), ("service", "alpha"), ("vip", "alpha"))


def test_pacemaker_is_ready_when_all_of_it_runs() -> None:
    """Every fence device and the whole group on its holder; less, or elsewhere, is not ready."""
    assert all_started(shown(*ALL), "alpha")
    assert not all_started(shown(*ALL), "beta")
    assert not all_started(shown(*ALL[1:]), "alpha")
    assert not all_started(shown(*ALL, pending="vip"), "alpha")
    assert not all_started(None, "alpha")


def test_tuning_reaches_the_files() -> None:
    """What is said to be tuned is in what the servers get, and only there."""
    devices = [
        ET.tostring(one.sections()["resources"], encoding="unicode") for one in (PACEMAKER, TUNED)
    ]
    assert ['name="power_wait" value="0"' in text for text in devices] == [False, True]
    assert ["token: 1000" in one.corosync() for one in (PACEMAKER, TUNED)] == [False, True]
