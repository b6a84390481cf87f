# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills that touch no power: check and switchover on a real pair, and what keeps them away."""

from __future__ import annotations

import pytest

from hil.drills import DRILLS, drilled
from hil.lab import Lab
from hil.machine import Machine
from hil.processes import module

Roles = tuple[Machine, Machine]
OPTIONS = DRILLS
pytestmark = pytest.mark.usefixtures("fit_pair")


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


def test_timer_runs_what_is_due(lab: Lab, roles: Roles) -> None:
    """The first node of the configuration runs a due check, once; else it is said why not."""
    assert roles
    text = lab.configuration.read_text().replace("[drill]\n", '[drill]\nlevel = "check"\n')
    practising = lab.configuration.with_name("practising.toml")
    practising.write_text(text)

    def scheduled(node: str) -> str:
        where = ("--config", str(practising), "--node", node)
        machine = lab.machines[node]
        done = machine.run(*module("haagent", "drill", "scheduled", *where), check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for machine in lab.machines.values():  # What earlier tests have left.
        for record in (machine.disk / "haagent" / "drills").glob("*_check_*"):
            record.unlink()
    assert "it is run by alpha" in scheduled("beta")
    assert scheduled("alpha").startswith("PASSED: drill check")
    assert "check is not due before" in scheduled("alpha")
