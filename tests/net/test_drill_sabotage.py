# SPDX-License-Identifier: GPL-2.0-or-later
"""Pairs that look healthy and are not: each is found by the drill that is there to find it."""

from __future__ import annotations

import signal
import time

import pytest

from hil.agent import Agent
from hil.drills import DRILLS, WITNESS, WITNESS_ADDRESS, RunningDrill, drilled, faultless
from hil.lab import Lab
from hil.machine import Machine
from hil.namespaces import ip, nft
from hil.pair import bmc_address
from hil.power import Behaviour, Fault
from hil.watch import READY_LIMIT_S, orders, ready

Roles = tuple[Machine, Machine]
OPTIONS = DRILLS
pytestmark = pytest.mark.usefixtures("fit_pair")
UNHEARD = (
    "table inet unheard { chain output { type filter hook output priority 0; "
    f"ip daddr {WITNESS_ADDRESS} icmp type echo-request drop; }}; }}\n"
)


@pytest.mark.parametrize("fault", [Fault.ACK_ONLY, Fault.REFUSE], ids=["does nothing", "refuses"])
def test_fence_without_effect(lab: Lab, roles: Roles, fault: Fault) -> None:
    """A BMC that reads well all day and does not cut: fence-standby fails, the groups stay."""
    active, standby = roles
    lab.switches[standby.name].behaviour = Behaviour(fault)
    assert drilled(lab, active, "check")["verdict"] == "passed", "found without cutting"
    record = drilled(lab, active, "fence-standby", "--yes")
    assert record["verdict"] == "failed"
    assert f"{standby.name} was not proved off" in record["reason"]
    lab.switches[standby.name].behaviour = Behaviour()
    faultless(lab)


@pytest.mark.usefixtures("roles")
def test_links_on_one_cable(lab: Lab) -> None:
    """Two links that are up, and one interface that carries both: ring-loss fails."""
    for number, machine in enumerate(lab.machines.values(), start=1):
        peer = lab.other(machine).address
        tunnel = f"type vxlan id 9 dev eth0 remote {peer} dstport 4789"
        ip(machine.pid, ["link del eth1", f"link add eth1 {tunnel}"])
        ip(machine.pid, [f"addr add 198.51.100.{10 + number}/24 dev eth1", "link set eth1 up"])
    faultless(lab)
    _active, standby = ready(lab)
    since_ns = time.monotonic_ns()
    record = drilled(lab, standby, "ring-loss")
    assert (record["verdict"], record["reason"]) == ("failed", "links lan and ring share eth0")
    assert orders(lab, since_ns) == []
    for machine in lab.machines.values():  # Their cables are what they were after a boot.
        lab.power_off(machine.name)
    lab.power_on()


def test_dead_fence_device_is_found_by_a_check(lab: Lab, roles: Roles) -> None:
    """A BMC that only one node reaches: the check says which, from whichever node it is run."""
    active, standby = roles
    lab.network.lose_to(bmc_address(standby.name), source=f"203.0.113.{_number(active) + 20}")
    Agent(active).wait(lambda s: not s["fence"][0]["ready"], READY_LIMIT_S, "not ready")
    for machine in roles:
        record = drilled(lab, machine, "check")
        assert record["verdict"] == "failed"
        assert f"fence: {active.name}, {standby.name}-bmc" in record["reason"]
    lab.network.heal()


def test_witness_that_one_node_does_not_reach_is_found_by_a_check(lab: Lab, roles: Roles) -> None:
    """Each node asks it anew when a check is run, from whichever node that is."""
    active, standby = roles
    nft(active.pid, UNHEARD)
    try:
        for machine in (standby, active):
            record = drilled(lab, machine, "check")
            assert record["verdict"] == "failed"
            assert f"witness: {active.name}, {WITNESS}: no answer" in record["reason"]
    finally:
        nft(active.pid, "delete table inet unheard\n")


def _number(machine: Machine) -> int:
    return int(machine.address.rpartition(".")[2]) - 10


@pytest.mark.parametrize("answer", ["another name", "Ctrl-C", "too late"])
def test_not_confirmed_is_not_begun(lab: Lab, roles: Roles, answer: str) -> None:
    """Only the node's name, typed while all of the checklist holds, lets it touch any power."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    with RunningDrill(lab, standby, "fence-active") as drill:
        drill.wait_said("is cut, or may be")
        if answer == "too late":
            Agent(active).ask("maintenance", on=True)
            Agent(standby).wait(lambda s: s["maintenance"], READY_LIMIT_S, "maintenance")
            record = drill.typed(active.name)
            Agent(active).ask("maintenance", on=False)
        elif answer == "Ctrl-C":
            drill.signal(signal.SIGINT)
            record = drill.record()
        else:
            record = drill.typed("beta-not-it")
    why = "orders: maintenance is on" if answer == "too late" else "not confirmed"
    assert (record["verdict"], record["exit"]) == ("skipped", 2)
    assert record["reason"].startswith(why)
    assert orders(lab, since_ns) == []
