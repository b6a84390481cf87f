# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills on the bench, run as an operator runs them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hil.network import VIP
from hil.node_init import SERVICE_PORT
from hil.pair import Options
from hil.processes import module

if TYPE_CHECKING:
    from hil.lab import Lab
    from hil.machine import Machine

DRILLS = Options(
    timing={"max_fences": 100, "fence_retry": "1s"},
    check_every="1s",
    tables=f"""
[[group]]
name = "web"
preferred = "alpha"
max_moves = 100
[[group.vip]]
address = "{VIP}/24"
""",
    drill='stable_for = "0s"\nrest = "0s"\ncrash = "freeze"\nreturn_budget = "60s"',
)
"""A pair that may be drilled as often as there are tests."""

RESTARTED = replace(
    DRILLS,
    restarts=True,
    probe=True,
    timing={**DRILLS.timing, "serving_grace": "30s"},
    tables=f"""
[[group]]
name = "web"
preferred = "alpha"
max_moves = 100
probe = {{ tcp = "{VIP}:{SERVICE_PORT}" }}
[[group.vip]]
address = "{VIP}/24"
""",
)
"""The same with a supervisor for the agents, and a service that is asked too."""


def drill_command(lab: Lab, machine: Machine, kind: str, *options: str) -> list[str]:
    """The command line that runs a drill on a machine."""
    where = ("--config", str(lab.configuration), "--node", machine.name)
    return module("haagent", "drill", "run", kind, "--json", *where, *options)


def drilled(lab: Lab, machine: Machine, kind: str, *options: str) -> dict[str, Any]:
    """Run a drill to its end and return its record."""
    done = machine.run(*drill_command(lab, machine, kind, *options), check=False)
    print(done.stderr)  # noqa: T201  # for pytest, which shows it if the test fails
    assert done.stdout, "no record"
    record: dict[str, Any] = json.loads(done.stdout)
    return record
