# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways back to being a standby: streaming, rewound, copied anew; and what is left alone."""

from __future__ import annotations

import shutil
import time
from typing import Any

from hil.agent import Agent, group
from hil.database import (
    GROUP,
    LIMIT_S,
    PLACE,
    REWINDS,
    Writer,
    ask,
    options,
    part,
    rows,
    streams,
)
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import taken_over
from hil.watch import wait_powered

OPTIONS = options()
Roles = tuple[Machine, Machine]
ROWS = 100
"""Written where the standby does not get them; far below MAX_LAG."""


def told(machine: Machine, event: str, boot_events: int) -> list[dict[str, Any]]:
    """What its agents logged of one kind since they had logged so much."""
    return [e for e in machine.agent_events()[boot_events:] if e["event"] == event]


def resource(status: dict[str, Any]) -> dict[str, str]:
    """What is said of the server."""
    unseen = {"condition": "", "detail": ""}
    resources = group(status, GROUP)["resources"]
    return next((r for r in resources if r["name"] == "postgres" and r["detail"]), unseen)


def test_diverged_server_is_rewound(lab: Lab, roles: Roles) -> None:
    """The lost active has rows that nobody else has: they are taken back, and it streams again.

    Where pg_rewind refuses, everything is copied anew.
    """
    active, standby = roles
    streams(lab, standby)
    writer = Writer(lab)
    writer.wait_acked()
    part(lab)
    before = len(writer.acked())
    writer.record.wait(lambda _: len(writer.acked()) >= before + ROWS, LIMIT_S)
    events = len(active.agent_events())
    lost_ns = lab.power_off(active.name)
    lab.network.heal()
    taken_ns = taken_over(lab, active, standby, lost_ns)
    writer.wait_acked(after_ns=taken_ns)
    writer.close()
    assert writer.lost(standby), "nothing was written apart: the test tests nothing"
    wait_powered(lab, active, lost_ns)
    streams(lab, active)
    assert bool(told(active, "postgresql.rewound", events)) is REWINDS
    assert bool(told(active, "postgresql.rebuilt", events)) is not REWINDS
    assert rows(active) == rows(standby)


def test_lost_data_is_copied_anew(lab: Lab, roles: Roles) -> None:
    """A standby whose disk is empty gets everything, and says meanwhile that it is no standby."""
    active, standby = roles
    streams(lab, standby)
    ask(active, "CREATE TABLE IF NOT EXISTS ballast AS SELECT generate_series(1, 1000000) AS n")
    events = len(standby.agent_events())
    lost_ns = lab.power_off(standby.name)
    shutil.rmtree(standby.disk / "pg/data")
    lab.power_on(standby.name)
    assert not group(Agent(active).wait(lambda _: True, LIMIT_S, "status"), GROUP)["blocked"]
    streams(lab, standby)
    assert told(standby, "postgresql.comes_back", events)
    assert told(standby, "postgresql.rebuilt", events)
    assert rows(active) == rows(standby)
    assert ask(standby, "SELECT count(*) FROM ballast") == "1000000"
    assert lost_ns < time.monotonic_ns()


def test_a_copy_that_was_broken_off_is_not_served(lab: Lab, roles: Roles) -> None:
    """The node dies in the middle of a copy: what is there is no data, and is copied once more."""
    active, standby = roles
    streams(lab, standby)
    lab.power_off(standby.name)
    (standby.disk / "pg/data.haagent-unusable").write_text("pg_basebackup was not finished\n")
    part(lab)
    lab.power_on(standby.name)
    Agent(standby).wait(lambda s: "not finished" in resource(s)["detail"], LIMIT_S, "it says so")
    assert ask(standby, "SELECT 1") == ""
    assert group(Agent(standby).wait(lambda _: True, LIMIT_S, "status"), GROUP)["position"] is None
    lab.network.heal()
    streams(lab, standby, 2 * LIMIT_S)  # it is tried again after a minute at most
    assert not standby.path(f"{PLACE}/data.haagent-unusable").exists()
    assert rows(active) == rows(standby)
