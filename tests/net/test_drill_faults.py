# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills that make faults, on a real healthy pair: each passes, and leaves the pair as it was."""

from __future__ import annotations

import time

import pytest

from hil.drills import DRILLS, drilled
from hil.lab import Lab
from hil.machine import Machine
from hil.watch import orders

Roles = tuple[Machine, Machine]
OPTIONS = DRILLS
pytestmark = pytest.mark.usefixtures("fit_pair")


@pytest.mark.parametrize("kind", ["agent-freeze", "ring-loss"])
def test_nothing_moves(lab: Lab, roles: Roles, kind: str) -> None:
    """A frozen agent and a lost link cost nothing: nobody is shot, no client notices."""
    _active, standby = roles
    since_ns = time.monotonic_ns()
    record = drilled(lab, standby, kind)
    assert record["verdict"] == "passed", record["reason"]
    assert orders(lab, since_ns) == []


def test_fence_standby(lab: Lab, roles: Roles) -> None:
    """The standby is cut, proved off and back; the groups stay."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    record = drilled(lab, active, "fence-standby", "--yes")
    assert record["verdict"] == "passed", record["reason"]
    shots = [(standby.name, "power_off"), (standby.name, "power_on")]
    assert orders(lab, since_ns) == shots


@pytest.mark.parametrize("kind", ["crash-active", "partition", "fence-active"])
def test_takeover_and_back(lab: Lab, roles: Roles, kind: str) -> None:
    """The active is shot once, its groups come and, in the end, go home again."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    record = drilled(lab, standby, kind, "--yes")
    assert record["verdict"] == "passed", record["reason"]
    assert {node for node, _ in orders(lab, since_ns)} == {active.name}
