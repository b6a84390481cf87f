# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills and agents that are killed in the act leave no fault behind, on either node."""

from __future__ import annotations

import os
import signal
import time

import pytest

from hil.drills import RESTARTED, RunningDrill, faultless, running
from hil.lab import Lab
from hil.machine import Machine
from hil.watch import orders

Roles = tuple[Machine, Machine]
OPTIONS = RESTARTED
pytestmark = pytest.mark.usefixtures("fit_pair")
CASES = [
    ("ring-loss", "link ring is silenced", "drill"),
    ("ring-loss", "link ring is silenced", "agent"),
    ("ring-loss", "link ring is silenced", "both"),
    ("agent-freeze", "is frozen for", "drill"),
    ("agent-freeze", "is frozen for", "agent"),
    ("agent-freeze", "is frozen for", "both"),
    ("partition", "all heartbeat links are silenced", "drill"),
    ("partition", "all heartbeat links are silenced", "both"),
]


@pytest.mark.parametrize(("kind", "step", "victim"), CASES)
def test_killed_in_the_act(lab: Lab, roles: Roles, kind: str, step: str, victim: str) -> None:
    """SIGKILL of the drill, of the agent that carries the fault, of both: nothing is left."""
    active, standby = roles
    carrier = active if kind == "agent-freeze" else standby
    since_ns = time.monotonic_ns()
    with RunningDrill(lab, standby, kind, "--yes") as drill:
        drill.wait_said(step)
        if victim in {"agent", "both"}:
            os.kill(running(carrier, "run"), signal.SIGKILL)
        if victim in {"drill", "both"}:
            drill.signal(signal.SIGKILL)
        drill.wait_end()
    faultless(lab)
    assert orders(lab, since_ns) == []
    for machine in lab.machines.values():
        left = [pid for pid in machine.processes() if "stopper" in _command(pid)]
        assert left == [], "something still freezes"


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:  # noqa: PTH123  # it may be gone
            return file.read()
    except OSError:
        return ""
