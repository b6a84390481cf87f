# SPDX-License-Identifier: GPL-2.0-or-later
"""What stops a drill: each condition is provoked; it says why, and puts everything back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hil.agent import Agent, Status
from hil.drills import RESTARTED, RunningDrill, faultless, running
from hil.lab import Lab
from hil.machine import Machine
from hil.namespaces import ip, nft
from hil.network import VIP, Port
from hil.watch import orders, ready

Roles = tuple[Machine, Machine]
OPTIONS = RESTARTED
pytestmark = pytest.mark.usefixtures("fit_pair")
DEAF = (
    "table inet deaf { chain input { type filter hook input priority 0; tcp dport 80 drop; }; }\n"
)


@contextmanager
def stopped(lab: Lab, machine: Machine, *reasons: str) -> Iterator[RunningDrill]:
    """A drill in the act of silencing a link, which is then to be stopped for one of reasons."""
    since_ns = time.monotonic_ns()
    with RunningDrill(lab, machine, "ring-loss") as drill:
        drill.wait_said("link lan is silenced")
        yield drill
        record = drill.record()
    assert (record["verdict"], record["exit"]) == ("aborted", 4), record["reason"]
    assert any(reason in record["reason"] for reason in reasons), record["reason"]
    assert all(step["ok"] for step in record["rollback"]), record["rollback"]
    assert orders(lab, since_ns) == []
    faultless(lab)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGTERM, "told to end"),
        (signal.SIGHUP, "terminal is gone"),
    ],
)
def test_told_to_stop(lab: Lab, roles: Roles, number: signal.Signals, reason: str) -> None:
    """A kill, a terminal that is closed: the fault is lifted, the drill says so."""
    _active, standby = roles
    with stopped(lab, standby, reason) as drill:
        drill.signal(number)


@pytest.mark.parametrize(
    ("kind", "step"), [("switchover", "hand web over"), ("agent-kill", "is killed")]
)
def test_called_off_under_way(lab: Lab, roles: Roles, kind: str, step: str) -> None:
    """What was ordered a moment before Ctrl-C is waited for and undone, not overlooked."""
    active, standby = roles
    incarnation, since_ns = _status(active)["incarnation"], time.monotonic_ns()
    with RunningDrill(lab, standby, kind, "--yes") as drill:
        drill.wait_said("--- before")
        pid = running(standby, "drill")
        drill.wait_said(step)
        os.kill(pid, signal.SIGINT)
        record = drill.record()
    assert (record["verdict"], record["reason"]) == ("aborted", "interrupted")
    assert record["deviations"] == ["interrupted"]
    assert all(step["ok"] for step in record["rollback"]), record["rollback"]
    for machine, role in ((active, "active"), (standby, "standby")):
        assert _status(machine)["groups"][0]["role"] == role
    assert (_status(active)["incarnation"] != incarnation) == (kind == "agent-kill")
    assert orders(lab, since_ns) == []


def _status(machine: Machine) -> Status:
    status = Agent(machine).status()
    assert status is not None, f"the agent of {machine.name} does not answer"
    return status


def test_partition_is_called_off_before_the_shot(lab: Lab, roles: Roles) -> None:
    """While the silent active still has its grace, stopping is free: nobody is shot."""
    _active, standby = roles
    since_ns = time.monotonic_ns()
    with RunningDrill(lab, standby, "partition", "--yes") as drill:
        drill.wait_said("all heartbeat links are silenced")
        drill.wait_said("silent")
        drill.signal(signal.SIGINT)
        record = drill.record()
    assert record["verdict"] == "aborted"
    assert orders(lab, since_ns) == []
    faultless(lab)


def test_stopped_after_the_cut_it_sees_the_takeover_through(lab: Lab, roles: Roles) -> None:
    """Once power is cut Ctrl-C is noted, and too late: half a takeover would be worse."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    with RunningDrill(lab, standby, "fence-active", "--yes") as drill:
        drill.wait_said("cutting the power of")
        drill.signal(signal.SIGINT)
        record = drill.record()
    assert (record["verdict"], record["reason"]) == ("failed", "interrupted")
    assert "takeover, from the fault" in {row["name"] for row in record["rto"]}
    assert all(step["ok"] for step in record["rollback"]), record["rollback"]
    assert {node for node, _ in orders(lab, since_ns)} == {active.name}
    faultless(lab)
    assert ready(lab) == roles


def test_client_without_an_answer(lab: Lab, roles: Roles) -> None:
    """A client's gap beyond its budget."""
    active, standby = roles
    with stopped(lab, standby, "nobody answered the client of web"):
        nft(active.pid, DEAF)
        try:
            # Longer than the budget of a second, shorter than a client of the pair would bear.
            lab.client.wait_served(10, after_ns=time.monotonic_ns() + 1_500_000_000)
        finally:
            nft(active.pid, "delete table inet deaf\n")


def test_two_holders(lab: Lab, roles: Roles) -> None:
    """Somebody else answers for the address."""
    _active, standby = roles
    stranger = lab.attach("stranger", (Port("lan", "eth0", "02:00:00:00:0d:01"),))
    with stopped(lab, standby, f"{VIP} is held by 02:00:00:00") as drill:
        ip(stranger, [f"addr add {VIP}/32 dev eth0"])
        drill.wait_said("STOP: ")
        ip(stranger, [f"addr del {VIP}/32 dev eth0"])


def test_second_fault(lab: Lab, roles: Roles) -> None:
    """An alarm that is not the drill's: here, somebody switches takeovers off."""
    active, standby = roles
    with stopped(lab, standby, "a second fault: maintenance") as drill:
        Agent(active).ask("maintenance", on=True)
        try:
            Agent(standby).wait(lambda s: s["maintenance"], 10, "maintenance")
            drill.wait_said("STOP: a second fault")
        finally:
            Agent(active).ask("maintenance", on=False)


def test_role_changed(lab: Lab, roles: Roles) -> None:
    """A group moves where none may; in the middle of that it is active nowhere."""
    _active, standby = roles
    with stopped(lab, standby, "a role changed that was to stay", "fault: inactive_web"):
        Agent(standby).ask("switchover")


def test_own_agent_dies(lab: Lab, roles: Roles) -> None:
    """The agent through which the drill sees the pair: it is waited for, and all is undone."""
    _active, standby = roles
    with stopped(lab, standby, f"the agent of {standby.name} is gone"):
        os.kill(running(standby, "run"), signal.SIGKILL)
