# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills on the agents of a pair whose agents are supervised and whose service is probed."""

from __future__ import annotations

import time

import pytest

from hil.drills import RESTARTED, drilled
from hil.lab import Lab
from hil.machine import Machine
from hil.watch import orders

Roles = tuple[Machine, Machine]
OPTIONS = RESTARTED
pytestmark = pytest.mark.usefixtures("fit_pair")


def test_agent_kill(lab: Lab, roles: Roles) -> None:
    """A killed agent that is back within its peer's patience takes up what runs: nobody is shot."""
    _active, standby = roles
    since_ns = time.monotonic_ns()
    record = drilled(lab, standby, "agent-kill", "--yes")
    assert record["verdict"] == "passed", record["reason"]
    assert orders(lab, since_ns) == []


def test_agent_freeze(lab: Lab, roles: Roles) -> None:
    """Frozen for three seconds, well beyond dead_after: its service answers, so it is not shot."""
    _active, standby = roles
    since_ns = time.monotonic_ns()
    record = drilled(lab, standby, "agent-freeze")
    assert record["verdict"] == "passed", record["reason"]
    assert orders(lab, since_ns) == []
