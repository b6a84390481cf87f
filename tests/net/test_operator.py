# SPDX-License-Identifier: GPL-2.0-or-later
"""What the operator does: switchover, stop, status and history, through the command line."""

from __future__ import annotations

import json
import signal
import time

from hil.agent import Agent, role
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import held_alone, taken_over
from hil.watch import TAKEOVER_LIMIT_S, orders, ready, wait_standby

Roles = tuple[Machine, Machine]
HANDOVER_MS_MAX = 1_000
"""Generous, for a loaded machine; `make bench` measures it."""


def test_switchover_there_and_back(lab: Lab, roles: Roles) -> None:
    """S2 a: the service moves by agreement, both ways, with a short gap and no shot."""
    active, standby = roles
    for source, target in ((active, standby), (standby, active)):
        ready(lab)
        asked_ns = time.monotonic_ns()
        done = Agent(source).call("switchover")
        assert done.returncode == 0, done.stdout + done.stderr
        served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=asked_ns, by=target.name)
        Agent(target).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "active")
        assert orders(lab, asked_ns) == []
        held_alone(lab, target, served["at_ns"])
        assert lab.client.outage_ms(asked_ns, served["at_ns"]) < HANDOVER_MS_MAX


def test_stopped_agent_hands_over(lab: Lab, roles: Roles) -> None:
    """An agent that is stopped in good order gives the service away first; nobody is shot."""
    active, standby = roles
    asked_ns = time.monotonic_ns()
    assert active.signal_agent(signal.SIGTERM) == 0
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=asked_ns, by=standby.name)
    assert orders(lab, asked_ns) == []
    held_alone(lab, standby, served["at_ns"])
    active.start_agent()
    wait_standby(active)
    ready(lab)
    assert orders(lab, asked_ns) == []


def test_status_says_that_a_takeover_would_work(roles: Roles) -> None:
    """Both nodes say so; what is left to say is that ipmi_sim's machines would stay off."""
    for machine in roles:
        done = Agent(machine).call("status", "--json")
        assert done.returncode == 1, done.stdout + done.stderr
        said = json.loads(done.stdout)
        assert said["takeover"] == {"possible": True, "reasons": []}
        (alarm,) = said["alarms"]
        assert alarm["code"].endswith("_restore_policy")


def test_status_without_an_agent(lab: Lab, roles: Roles) -> None:
    """Exit code 3 when no agent runs; the standby that lost it is not shot for it."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    standby.signal_agent(signal.SIGKILL)
    assert Agent(standby).call("status").returncode == 3
    standby.start_agent()
    wait_standby(standby)
    held_alone(lab, active, since_ns)
    assert orders(lab, since_ns) == []


def test_history_tells_the_phases(lab: Lab, roles: Roles) -> None:
    """A failover is in the history of who made it, and its times agree with the power record."""
    active, standby = roles
    frozen = active.freeze()
    taken_over(lab, active, standby, frozen.at_ns)
    Agent(standby).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "active")
    done = Agent(standby).call("history", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(done.stdout)[-1]
    assert (record["kind"], record["node"], record["outcome"]) == (
        "failover",
        standby.name,
        "completed",
    )
    ordered = lab.power.wait(
        lambda e: e["what"] == "order" and e["node"] == active.name, 0, after_ns=frozen.at_ns
    )
    marks = record["marks_ns"]
    assert marks["fence_ordered"] <= ordered["at_ns"] <= marks["confirmed_off"]
    assert marks["confirmed_off"] <= marks["announced"]
