# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills that write into a real PostgreSQL pair: acknowledged, lost, invented."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hil.database import ask, in_sync, options
from hil.drills import DRILLS, RunningDrill, drilled
from hil.lab import Lab
from hil.machine import Machine

Roles = tuple[Machine, Machine]
OPTIONS = replace(
    options("sync", 'sync_wait = "3s"'),
    drill=f'{DRILLS.drill}\nwrites = {{ db = "user=drill dbname=postgres" }}',
)
TABLE = "drill.haagent_drill"


@pytest.fixture(autouse=True)
def _synchronous(lab: Lab, roles: Roles) -> None:
    in_sync(lab, roles[0])


def test_takeover_loses_nothing_that_was_acknowledged(lab: Lab, roles: Roles) -> None:
    """S11: the active's power is cut while a drill writes: all it was promised is there."""
    active, standby = roles
    record = drilled(lab, standby, "fence-active", "--yes")
    assert record["verdict"] == "passed", record["reason"]
    written = record["writes"]["db"]
    assert written["acknowledged"] > 100
    assert (written["lost"], written["invented"]) == (0, 0)
    assert ask(active, "SELECT count(*) FROM drill.haagent_drill") == "0", "rows are left behind"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("DELETE FROM {} WHERE number = 7", "db: 1 acknowledged writes lost (number 7)"),
        (
            "INSERT INTO {} SELECT drill, number + 1000000 FROM {} WHERE number = 7",
            "db: 1 rows that nobody sent (number 1000007)",
        ),
    ],
    ids=["lost", "invented"],
)
def test_lost_and_invented_rows_are_found(lab: Lab, roles: Roles, spoil: str, words: str) -> None:
    """A row that goes, or comes, behind the client's back fails a drill that is well otherwise."""
    active, standby = roles
    with RunningDrill(lab, standby, "agent-freeze") as drill:
        drill.wait_said("--- method")
        ask(active, spoil.replace("{}", TABLE))
        record = drill.record()
    assert record["verdict"] == "failed"
    assert words in record["reason"]
