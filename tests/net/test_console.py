# SPDX-License-Identifier: GPL-2.0-or-later
"""A person fences from the console while the pair runs: haagent fence, and what the agents do."""

from __future__ import annotations

import json
import subprocess
import time

from hil.agent import Agent, role
from hil.lab import Lab
from hil.machine import Machine
from hil.processes import module
from hil.proof import held_alone
from hil.watch import TAKEOVER_LIMIT_S, orders, wait_standby

Roles = tuple[Machine, Machine]


def _fence(lab: Lab, machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `haagent fence` on that machine, as its operator would."""
    here = ("--config", str(lab.configuration), "--node", machine.name)
    return machine.run(*module("haagent", "fence", *words, *here), check=False)


def test_cycled_active_is_taken_over(lab: Lab, roles: Roles) -> None:
    """The console's proof is the grant: one shot, a takeover, and the peer comes back."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    done = _fence(lab, standby, "cycle", active.name, "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["proof"]["accepted"], told
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=since_ns, by=standby.name)
    Agent(standby).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "active")
    wait_standby(active)
    held_alone(lab, standby, served["at_ns"])
    assert orders(lab, since_ns) == [(active.name, "power_off"), (active.name, "power_on")]


def test_ready_pair_passes_the_check(lab: Lab, roles: Roles) -> None:
    """`haagent fence test` finds nothing that blocks, and switches nothing."""
    since_ns = time.monotonic_ns()
    done = _fence(lab, roles[1], "test")
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    assert orders(lab, since_ns) == []


def test_nobody_shoots_himself(lab: Lab, roles: Roles) -> None:
    """The node that the command runs on is refused, with the reason, and nothing is ordered."""
    since_ns = time.monotonic_ns()
    done = _fence(lab, roles[0], "off", roles[0].name, "--yes")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "--this-node" in done.stderr
    assert orders(lab, since_ns) == []
