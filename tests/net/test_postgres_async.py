# SPDX-License-Identifier: GPL-2.0-or-later
"""A real PostgreSQL pair, asynchronous: it fails over, and the lost node comes back by itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from hil.agent import Agent, role
from hil.database import GROUP, LIMIT_S, Writer, ask, leader, options, streams, writing
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import held_alone, taken_over
from hil.watch import orders, wait_powered

OPTIONS = options()
ON_ITS_WAY = 2000
"""Rows of about 300 bytes of log, MAX_LAG and a second of them being more."""
Roles = tuple[Machine, Machine]


@pytest.fixture
def writer(lab: Lab, roles: Roles) -> Iterator[Writer]:
    """Somebody who writes all the time, to a pair whose standby receives."""
    streams(lab, roles[1])
    with writing(lab) as somebody:
        yield somebody


def test_only_the_holder_takes_writes(lab: Lab, roles: Roles) -> None:
    """The active's server is primary, the standby's is its hot standby, which status shows."""
    active, standby = roles
    streams(lab, standby)
    assert ask(active, "SELECT pg_is_in_recovery()") == "f"
    assert ask(standby, "SELECT pg_is_in_recovery()") == "t"
    assert ask(active, "SELECT application_name FROM pg_stat_replication") == standby.name
    slot = f"haagent_{standby.name}"
    assert ask(active, "SELECT slot_name FROM pg_replication_slots WHERE active") == slot


def test_power_failure_promotes_the_standby(lab: Lab, roles: Roles, writer: Writer) -> None:
    """The active loses its power: writes go on at the standby, and the old one comes back."""
    active, standby = roles
    lost_ns = lab.power_off(active.name)
    taken_ns = taken_over(lab, active, standby, lost_ns)
    resumed = writer.wait_acked(after_ns=taken_ns)
    assert ask(standby, "SELECT pg_is_in_recovery()") == "f"
    wait_powered(lab, active, lost_ns)
    streams(lab, active)
    writer.close()
    assert not writer.invented(standby)
    before = [e["number"] for e in writer.record.since() if e["what"] == "acked"]
    assert writer.lost(standby) <= set(before[: before.index(resumed["number"])][-ON_ITS_WAY:])


def test_switchover_loses_nothing(lab: Lab, roles: Roles, writer: Writer) -> None:
    """An ordered change of node: no acknowledged row is lost, nobody is shot."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    assert Agent(active).ask("switchover", group=GROUP)["ok"]
    Agent(standby).wait(lambda s: role(s, GROUP) == "active", LIMIT_S, "moved")
    writer.wait_acked(after_ns=since_ns)
    streams(lab, active)
    writer.close()
    assert not writer.lost(standby)
    assert not writer.invented(standby)
    held_alone(lab, standby, time.monotonic_ns())
    assert orders(lab, since_ns) == []


def test_killed_server_is_restarted_in_place(lab: Lab, roles: Roles, writer: Writer) -> None:
    """A server whose leader dies is started where it is; nothing of it is lost."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    os.kill(leader(active), signal.SIGKILL)
    writer.wait_acked(after_ns=since_ns + 1_000_000_000)
    writer.close()
    assert role(Agent(active).wait(lambda _: True, 1.0, "status"), GROUP) == "active"
    assert not writer.lost(active)
    streams(lab, standby)
    assert orders(lab, since_ns) == []


@pytest.mark.timeout(400)
def test_server_that_does_not_come_back_is_handed_over(
    lab: Lab, roles: Roles, writer: Writer
) -> None:
    """No restart in place helps: the standby takes the group, and what is damaged is left alone."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    control = active.disk / "pg/data/global/pg_control"
    kept = control.read_bytes()
    control.write_bytes(bytes(len(kept)))
    os.kill(leader(active), signal.SIGKILL)
    Agent(standby).wait(lambda s: role(s, GROUP) == "active", LIMIT_S, "handed over")
    writer.wait_acked(after_ns=since_ns + 1_000_000_000)
    Agent(active).wait(lambda s: "gives it up" in str(s["groups"]), 2 * LIMIT_S, "says so")
    control.write_bytes(kept)
    streams(lab, active, 3 * LIMIT_S)
    assert orders(lab, since_ns) == []
