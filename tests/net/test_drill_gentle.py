# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills that touch no power: check and switchover on a real pair, and what keeps them away."""

from __future__ import annotations

from hil.drills import DRILLS, drilled
from hil.lab import Lab
from hil.machine import Machine

Roles = tuple[Machine, Machine]
OPTIONS = DRILLS


def test_check_of_a_healthy_pair(lab: Lab, roles: Roles) -> None:
    """From either node: every item holds, every device was logged in to; nothing is moved."""
    for machine in roles:
        record = drilled(lab, machine, "check")
        assert record["verdict"] == "passed", record
        assert all(item["ok"] for item in record["preconditions"])


def test_switchover_there_and_back(lab: Lab, roles: Roles) -> None:
    """The groups go there and back; the record is on both nodes."""
    for machine in roles:
        record = drilled(lab, machine, "switchover")
        assert record["verdict"] == "passed", record
