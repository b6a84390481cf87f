# SPDX-License-Identifier: GPL-2.0-or-later
"""S11 with a real PostgreSQL pair: nothing that was acknowledged is lost, and writes go on."""

from __future__ import annotations

import os
import signal
import time

import pytest

from hil.agent import Agent, role
from hil.database import (
    GROUP,
    LIMIT_S,
    Writer,
    ask,
    commits,
    in_sync,
    kept,
    leader,
    options,
    part,
    streams,
)
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import held_alone, taken_over
from hil.watch import orders, wait_powered

OPTIONS = options("sync", 'sync_wait = "3s"')
Roles = tuple[Machine, Machine]
SECOND_NS = 1_000_000_000
RETURN_LIMIT_S = 300
"""A server that was shot is started, rewound twice (dry first) and sealed again: on a machine with
ten times its load that took a minute, and as much the pair before it."""


@pytest.mark.timeout(RETURN_LIMIT_S)
def test_power_failure_loses_nothing(lab: Lab, roles: Roles, writer: Writer) -> None:
    """The active dies: every acknowledged row is on the standby, which goes on alone at once."""
    active, standby = roles
    lost_ns = lab.power_off(active.name)
    taken_ns = taken_over(lab, active, standby, lost_ns)
    writer.wait_acked(after_ns=taken_ns)
    wait_powered(lab, active, lost_ns)
    in_sync(lab, standby)
    kept(writer, standby)


@pytest.mark.timeout(RETURN_LIMIT_S)
def test_frozen_active_loses_nothing(lab: Lab, roles: Roles, writer: Writer) -> None:
    """As with any fence; what was acknowledged in the last moment is there."""
    active, standby = roles
    frozen = active.freeze()
    taken_ns = taken_over(lab, active, standby, frozen.at_ns)
    active.thaw(frozen)
    writer.wait_acked(after_ns=taken_ns)
    in_sync(lab, standby)
    kept(writer, standby)


def test_switchover_loses_nothing(lab: Lab, roles: Roles, writer: Writer) -> None:
    """The old active says that it is stale, and the new one goes on; then it is in sync again."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    assert Agent(active).ask("switchover", group=GROUP)["ok"]
    Agent(standby).wait(lambda s: role(s, GROUP) == "active", LIMIT_S, "moved")
    writer.wait_acked(after_ns=since_ns + SECOND_NS)
    in_sync(lab, standby)
    kept(writer, standby)
    held_alone(lab, standby, time.monotonic_ns())
    assert orders(lab, since_ns) == []


@pytest.mark.timeout(RETURN_LIMIT_S)
def test_broken_replication_makes_the_standby_stale(lab: Lab, roles: Roles, writer: Writer) -> None:
    """Writes go on once the standby has said that it is stale; it is barred until in sync again."""
    active, standby = roles
    part(lab)
    since_ns = time.monotonic_ns()
    writer.wait_acked(after_ns=since_ns + 3 * SECOND_NS)
    Agent(active).wait(lambda s: "go on without" in commits(s), LIMIT_S, "alone")
    status = Agent(standby).wait(lambda s: not s["takeover"]["possible"], LIMIT_S, "barred")
    assert "not_in_sync" in str(status["takeover"]["reasons"])
    lab.network.heal()
    in_sync(lab, active)
    streams(lab, standby)
    lost_ns = lab.power_off(active.name)
    taken_ns = taken_over(lab, active, standby, lost_ns)
    writer.wait_acked(after_ns=taken_ns)
    wait_powered(lab, active, lost_ns)
    in_sync(lab, standby)
    kept(writer, standby)


@pytest.mark.timeout(RETURN_LIMIT_S)
def test_dead_standby_is_proved_off_and_writes_go_on(
    lab: Lab, roles: Roles, writer: Writer
) -> None:
    """Nobody says that it is stale: the active reads it off, then commits alone."""
    active, standby = roles
    lost_ns = lab.power_off(standby.name)
    writer.wait_acked(after_ns=lost_ns + 2 * SECOND_NS)
    assert orders(lab, lost_ns, standby), "nothing proved it off"
    assert orders(lab, lost_ns, active) == []
    wait_powered(lab, standby, lost_ns)
    in_sync(lab, active)
    kept(writer, active)
    held_alone(lab, active, lost_ns)


def test_killed_server_and_restarted_agent(lab: Lab, roles: Roles, writer: Writer) -> None:
    """Both are back in place, and commits wait for the standby again."""
    active, _ = roles
    since_ns = time.monotonic_ns()
    os.kill(leader(active), signal.SIGKILL)
    writer.wait_acked(after_ns=since_ns + SECOND_NS)
    in_sync(lab, active)
    active.signal_agent(signal.SIGUSR1)  # as "systemctl restart" does
    active.start_agent()
    in_sync(lab, active)
    again_ns = time.monotonic_ns()
    writer.wait_acked(after_ns=again_ns)
    assert ask(active, "SHOW synchronous_standby_names") == f'"{lab.other(active).name}"'
    kept(writer, active)
    assert orders(lab, since_ns) == []
