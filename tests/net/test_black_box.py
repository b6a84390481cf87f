# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole agents record what they do, tell it and prove it."""

from __future__ import annotations

from hil.agent import Agent
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import taken_over
from hil.watch import wait_powered, wait_standby

BOX = "/run/disk/haagent/blackbox"


def test_a_failover_is_recorded_told_and_decided_again(
    lab: Lab, roles: tuple[Machine, Machine]
) -> None:
    """`explain` tells it with the devices' readings, by its number too; `replay` of both agrees."""
    active, standby = roles
    frozen = active.freeze()
    taken_over(lab, active, standby, frozen.at_ns)
    active.thaw(frozen)
    wait_powered(lab, active, frozen.at_ns)
    wait_standby(active)
    number = Agent(standby).history()[-1]["id"]
    for words in ((), (str(number),)):
        told = Agent(standby).call("explain", *words)
        assert told.returncode == 0, told.stderr
        assert f"#{number}  failover of web to {standby.name}: completed" in told.stdout
        for part in (
            f"the last frame of {active.name}",
            f"ORDER: power {active.name} off",
            f"fence device {active.name}-bmc: confirmed_off",
            f"{active.name} is proved off",
            "resource vip is started",
            "announced to the network",
            f"web: ACTIVE on {standby.name}",
            f"ORDER: give {active.name} its power back",
        ):
            assert part in told.stdout
    for machine in (active, standby):
        again = Agent(machine).call("replay", BOX)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "The core decides the same." in again.stdout
        status = Agent(machine).status()
        assert status is not None
        assert status["counters"]["unrecorded"] == 0
