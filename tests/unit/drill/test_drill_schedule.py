# SPDX-License-Identifier: GPL-2.0-or-later
"""The timer's drill begins when it is due, may, and belongs here; else it is said why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from config_bench import Site, example
from drill_bench import healthy

from haagent.config import Configuration
from haagent.drill.archive import Entry, Verdict
from haagent.drill.due import DAY_S, Blackout, Practice
from haagent.drill.kinds import Kind
from haagent.drill.schedule import why_not

NOW = datetime(2026, 11, 26, 14, 30).astimezone()


def configured(folder: Path, practice: Practice, node: str = "alpha") -> Configuration:
    """A configuration that practises so."""
    configuration = Site(folder).load(example(), node)
    drill = replace(configuration.drill, practice=practice)
    return replace(configuration, drill=drill)


def entry(days_ago: float, verdict: Verdict, kind: Kind = Kind.PARTITION) -> Entry:
    """An earlier drill."""
    return Entry("id", NOW - timedelta(days=days_ago), kind, "alpha", verdict)


PARTITION = Practice(level=Kind.PARTITION, every_s=90 * DAY_S, random_delay_s=0)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([], None),
        ([entry(91, Verdict.PASSED)], None),
        ([entry(89, Verdict.PASSED)], "not due before"),
        ([entry(89, Verdict.FAILED)], "not due before"),
        ([entry(1, Verdict.PASSED, Kind.CHECK)], None),
        ([entry(0.1, Verdict.SKIPPED)], "did not begin at the last try"),
        ([entry(1, Verdict.SKIPPED)], None),
        ([entry(91, Verdict.PASSED), entry(0.1, Verdict.SKIPPED)], "did not begin"),
    ],
)
def test_due_by_what_was_done(tmp_path: Path, entries: list[Entry], words: str | None) -> None:
    """Due a quarter after the last one that began; one that did not begin is tried once a day."""
    here = healthy("alpha", "standby", "")
    reason = why_not(configured(tmp_path, PARTITION), entries, here, NOW)
    assert (reason is None) if words is None else (reason is not None and words in reason)


def test_without_a_level_nothing_is_run(tmp_path: Path) -> None:
    """The timer alone practises nothing."""
    here = healthy("alpha", "standby", "")
    assert "no level" in str(why_not(configured(tmp_path, Practice()), [], here, NOW))


def test_blackout_holds_it_up(tmp_path: Path) -> None:
    """Due, and waiting, for a reason."""
    dark = replace(PARTITION, blackouts=(Blackout(NOW.date(), NOW.date()),))
    here = healthy("alpha", "standby", "")
    assert "waits: blackout" in str(why_not(configured(tmp_path, dark), [], here, NOW))


@pytest.mark.parametrize(
    ("kind", "node", "role", "runs"),
    [
        (Kind.PARTITION, "alpha", "standby", True),
        (Kind.PARTITION, "alpha", "active", False),
        (Kind.FENCE_STANDBY, "beta", "active", True),
        (Kind.FENCE_STANDBY, "beta", "standby", False),
        (Kind.SWITCHOVER, "alpha", "standby", True),
        (Kind.SWITCHOVER, "beta", "standby", False),
    ],
)
def test_one_node_of_the_two_runs_it(
    tmp_path: Path, kind: Kind, node: str, role: str, *, runs: bool
) -> None:
    """Both have the timer, and a drill is begun by the one that it belongs to."""
    practice = replace(PARTITION, level=kind)
    reason = why_not(configured(tmp_path, practice, node), [], healthy(node, role, ""), NOW)
    assert (reason is None) is runs, reason
