# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills and agents that are killed in the act leave no fault behind, on either node."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import pytest

from hil.drills import RESTARTED, RunningDrill, faultless, running
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import never_both
from hil.record import NotSeenError
from hil.watch import orders

Roles = tuple[Machine, Machine]
OPTIONS = RESTARTED
pytestmark = pytest.mark.usefixtures("fit_pair")
MILD = [
    ("agent-freeze", "is frozen for", "agent"),
    ("agent-freeze", "is frozen for", "both"),
    ("ring-loss", "link ring is silenced", "both"),
    ("partition", "all heartbeat links are silenced", "drill"),
    ("partition", "all heartbeat links are silenced", "both"),
]
"""Steps before any power is touched."""
GRAVE = [
    ("crash-active", "crashes (freeze)", "both"),
    ("fence-active", ": suspect", "both"),
]
"""Steps at which the peer's power is at stake."""
if os.environ.get("DEATHS") == "all":  # make drill-deaths
    MILD += [
        ("agent-kill", "is killed", "both"),
        ("agent-freeze", "is frozen for", "drill"),
        ("ring-loss", "link ring is silenced", "drill"),
        ("ring-loss", "link ring is silenced", "agent"),
        ("partition", "all heartbeat links are silenced", "agent"),
    ]
    GRAVE += [
        ("switchover", "hand web over", "agent"),  # Who dies while it takes a group over is shot.
        ("switchover", "hand web over", "both"),
        ("fence-standby", "cutting the power of", "drill"),
        ("fence-standby", "cutting the power of", "agent"),
        ("fence-standby", "cutting the power of", "both"),
        ("crash-active", "crashes (freeze)", "agent"),
        ("crash-active", "crashes (freeze)", "drill"),
        ("partition", ": fencing", "agent"),
        ("partition", ": fencing", "both"),
        ("fence-active", "cutting the power of", "agent"),
        ("fence-active", "cutting the power of", "drill"),
        ("fence-active", "--- rollback", "both"),
    ]


def killed(lab: Lab, roles: Roles, kind: str, step: str, victim: str) -> None:
    """Run a drill, and kill the drill, the agent that carries its fault, or both, at a step."""
    active, standby = roles
    place = active if kind == "fence-standby" else standby
    carrier = active if kind in {"agent-freeze", "agent-kill"} else place
    with RunningDrill(lab, place, kind, "--yes") as drill:
        drill.wait_said(step)
        if victim in {"agent", "both"}:
            with suppress(NotSeenError):  # It was killed by the drill, and is not back yet.
                os.kill(running(carrier, "run"), signal.SIGKILL)
        if victim in {"drill", "both"}:
            drill.signal(signal.SIGKILL)
        drill.wait_end()
    faultless(lab)
    for machine in lab.machines.values():
        left = [pid for pid in machine.processes() if "stopper" in _command(pid)]
        assert left == [], "something still freezes"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "step", "victim"), MILD)
def test_killed_in_the_act(lab: Lab, roles: Roles, kind: str, step: str, victim: str) -> None:
    """SIGKILL of the drill, of the agent that carries the fault, of both: nothing is left."""
    since_ns = time.monotonic_ns()
    killed(lab, roles, kind, step, victim)
    assert orders(lab, since_ns) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "step", "victim"), GRAVE)
def test_killed_while_power_is_at_stake(
    lab: Lab, roles: Roles, kind: str, step: str, victim: str
) -> None:
    """S1: the same with a power-off on its way: both nodes have power in the end, one serves."""
    shot = roles[1] if kind in {"fence-standby", "switchover"} else roles[0]
    since_ns = time.monotonic_ns()
    killed(lab, roles, kind, step, victim)
    assert all(machine.is_on for machine in lab.machines.values())
    assert {node for node, _ in orders(lab, since_ns)} <= {shot.name}
    never_both(lab)


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:  # noqa: PTH123  # it may be gone
            return file.read()
    except OSError:
        return ""
