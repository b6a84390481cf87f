# SPDX-License-Identifier: GPL-2.0-or-later
"""Chaos on a real pair: it goes through random faults, ends at a deviation, and leaves nothing."""

from __future__ import annotations

import signal
import time

import pytest

from hil.agent import Agent
from hil.drills import RESTARTED, RunningDrill, faultless
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import never_both
from hil.watch import orders, ready

Roles = tuple[Machine, Machine]
OPTIONS = RESTARTED
pytestmark = pytest.mark.usefixtures("fit_pair")
CHAOS = ("--apart", "1s", "--yes", "--seed")


@pytest.mark.timeout(300)
def test_random_faults_on_a_healthy_pair(lab: Lab, roles: Roles) -> None:
    """Begun on the active, it takes its turns at both places, and the pair ends as it began."""
    active, _standby = roles
    options = ("--for", "20s", "--max-level", "fence-active", *CHAOS, "11")
    with RunningDrill(lab, active, "chaos", *options) as drill:
        record = drill.record()
    assert record["verdict"] == "passed", record["reason"]
    assert record["level"] == 8
    assert "seed 11" in record["method"]
    done = [phase["name"] for phase in record["phases"]]
    assert "move" in done, done  # A starved machine has no time for a second fault.
    assert set(done) - {"before", "rest", "move", "rollback", "after", "method"}, done
    assert ready(lab)[0] is active
    never_both(lab)


def test_a_second_fault_ends_it(lab: Lab, roles: Roles) -> None:
    """What would only stop a single drill is a deviation: nothing else was to happen."""
    _active, standby = roles
    options = ("--for", "10m", "--max-level", "ring-loss", "--apart", "10m", *CHAOS[2:], "1")
    with RunningDrill(lab, standby, "chaos", *options) as drill:
        drill.wait_said("--- rest")
        Agent(standby).ask("maintenance", on=True)
        drill.wait_said("STOP: a second fault")
        Agent(standby).ask("maintenance", on=False)
        record = drill.record()
    assert (record["verdict"], record["exit"]) == ("failed", 1)
    assert record["reason"].startswith("between two faults: a second fault: maintenance")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ended_in_the_act(lab: Lab, roles: Roles, number: signal.Signals) -> None:
    """Ctrl-C and SIGKILL while a link is silenced: nothing stays behind, nobody is shot."""
    _active, standby = roles
    since_ns = time.monotonic_ns()
    # Seed 8 draws ring-loss first.
    options = ("--for", "10m", "--max-level", "ring-loss", *CHAOS, "8")
    with RunningDrill(lab, standby, "chaos", *options) as drill:
        drill.wait_said("link lan is silenced")
        drill.signal(number)
        if number is signal.SIGINT:
            assert drill.record()["verdict"] == "aborted"
        else:
            drill.wait_end()
    faultless(lab)
    assert orders(lab, since_ns) == []
