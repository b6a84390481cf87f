# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills of a pair with a real service, a data position, and a standby that may be unable."""

from __future__ import annotations

import time

import pytest

from hil.agent import Agent
from hil.drills import WITH_NGINX, RunningDrill, drilled, faultless
from hil.groups import POSITION_BEHIND_MAX
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import never_both
from hil.services import FAIL
from hil.watch import TAKEOVER_LIMIT_S, orders

Roles = tuple[Machine, Machine]
OPTIONS = WITH_NGINX
pytestmark = pytest.mark.usefixtures("fit_pair")


def test_standby_that_cannot_start_the_service(lab: Lab, roles: Roles) -> None:
    """It stands by all day; switchover finds that it cannot serve, and the service is back home."""
    active, standby = roles
    lab.services.spoil(standby, "start", FAIL)
    since_ns = time.monotonic_ns()
    record = drilled(lab, active, "switchover")
    assert record["verdict"] == "failed", record
    lab.services.mend(standby)
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=time.monotonic_ns())
    assert served["node"] == active.name
    assert orders(lab, since_ns) == []
    never_both(lab)


def test_data_that_falls_behind(lab: Lab, roles: Roles) -> None:
    """While a link is silenced the standby's data falls behind: the drill stops."""
    active, standby = roles
    with RunningDrill(lab, standby, "ring-loss") as drill:
        drill.wait_said("link lan is silenced")
        lab.services.set_position(active, POSITION_BEHIND_MAX + 1000)
        drill.wait_said("STOP: ")
        # Else the way back would wait for it, as long as it does.
        lab.services.set_position(standby, POSITION_BEHIND_MAX + 1000)
        record = drill.record()
    assert record["verdict"] == "aborted", record
    assert "further behind than max_lag" in record["reason"]
    Agent(standby).wait(lambda s: s["takeover"]["possible"], TAKEOVER_LIMIT_S, "fresh again")
    faultless(lab)


def test_crash_of_a_service_that_answers_on(lab: Lab, roles: Roles) -> None:
    """A frozen machine with a probed service: shot, taken over within the budget, and back home."""
    active, standby = roles
    record = drilled(lab, standby, "crash-active", "--yes")
    assert record["verdict"] == "passed", record["reason"]
    assert {row["name"] for row in record["rto"]} >= {"takeover, from the fault"}
    faultless(lab)
    assert active.is_on
    never_both(lab)
