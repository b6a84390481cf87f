# SPDX-License-Identifier: GPL-2.0-or-later
"""Sabotage: what the observers are there to see is made to happen, and they see it."""

from __future__ import annotations

import time

import pytest

from hil.labs import Lab, Machine
from hil.power import Behaviour, Fault
from hil.proof import held_alone, undisturbed
from hil.qemu.furniture import SERVICE_UNIT
from hil.qemu.lab import VirtualLab
from hil.qemu.mishaps import two_at_once
from hil.qemu.proof import TAKEOVER_LIMIT_S, never_both, taken_over, taken_over_by_outlets
from hil.trials.conftest import Roles, VirtualRoles, ipmitool


def seize(lab: Lab, machine: Machine) -> int:
    """Have a server hold the address and serve, whoever else does; return since when, ns."""
    at_ns = time.monotonic_ns()
    machine.run("systemctl", "start", SERVICE_UNIT)
    machine.run("ip", "addr", "add", f"{lab.address}/24", "dev", machine.interface)
    return at_ns


@pytest.mark.smoke
@pytest.mark.sabotage
def test_two_holders_are_seen(lab: Lab, roles: Roles) -> None:
    """Where two servers answer for the address, the checks for one holder fail."""
    active, standby = roles
    standby.run("systemctl", "stop", "haagent.service")
    since_ns = seize(lab, standby)
    second = lab.observer.wait_holder(standby.mac, TAKEOVER_LIMIT_S, after_ns=since_ns)
    lab.observer.wait_holder(active.mac, TAKEOVER_LIMIT_S, after_ns=second["at_ns"])
    with pytest.raises(AssertionError, match="held by"):
        held_alone(lab, active, since_ns)
    assert two_at_once(lab, since_ns)


@pytest.mark.sabotage
@pytest.mark.virtual("servers that tell the bench of every step")
def test_two_services_are_seen(lab: VirtualLab, roles: VirtualRoles) -> None:
    """Where the service starts on a second server, without the address even, every scenario fails.

    Not so when the first one has been stopped before.
    """
    active, standby = roles
    for guest in roles:
        guest.run("systemctl", "stop", "haagent.service")
    standby.run("systemctl", "start", SERVICE_UNIT)
    never_both(lab)
    active.run("systemctl", "start", SERVICE_UNIT)
    with pytest.raises(AssertionError, match="may run on"):
        never_both(lab)


@pytest.mark.smoke
@pytest.mark.sabotage
@pytest.mark.virtual("a BMC that lies when told to")
def test_power_that_stays_on_is_seen(lab: VirtualLab, roles: VirtualRoles) -> None:
    """A takeover from a server whose power never went fails the checks, whatever its BMC says."""
    active, standby = roles
    lab.switches[active.name].behaviour = Behaviour(Fault.LIE)
    fault_ns = active.freeze()
    standby.run("systemctl", "stop", "haagent.service")
    ipmitool(lab, active.name, "off")
    assert ipmitool(lab, active.name, "status") == "Chassis Power is off"
    seize(lab, standby)
    with pytest.raises(AssertionError, match="never lost its power"):
        taken_over(lab, active, standby, fault_ns)
    with pytest.raises(AssertionError, match="may run on"):
        never_both(lab)


@pytest.mark.smoke
@pytest.mark.sabotage
def test_takeover_from_a_server_with_power_is_seen(lab: Lab, roles: Roles) -> None:
    """A second server that serves beside one that stands still fails the check."""
    active, standby = roles
    standby.run("systemctl", "stop", "haagent.service")
    fault_ns = active.freeze_for_good()
    seize(lab, standby)
    with pytest.raises(AssertionError, match="never lost its power"):
        taken_over(lab, active, standby, fault_ns)


@pytest.mark.sabotage
def test_takeover_before_the_power_is_off_is_seen(lab: Lab, roles: Roles) -> None:
    """A server that loses its power only when another one has its address fails the check."""
    active, standby = roles
    standby.run("systemctl", "stop", "haagent.service")
    fault_ns = active.freeze_for_good()
    since_ns = seize(lab, standby)
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=since_ns, by=standby.name)
    lab.power_off(active.name)
    with pytest.raises(AssertionError, match=f"before {active.name} was off"):
        taken_over(lab, active, standby, fault_ns)


@pytest.mark.virtual("BMCs that tell of every reading")
@pytest.mark.parametrize("read", ["never", "late"])
def test_takeover_without_a_reading_is_seen(
    lab: VirtualLab, roles: VirtualRoles, read: str
) -> None:
    """A server that is off, and read as off by nobody, or too late, fails the check."""
    active, standby = roles
    standby.run("systemctl", "stop", "haagent.service")
    fault_ns = lab.power_off(active.name)
    since_ns = seize(lab, standby)
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=since_ns, by=standby.name)
    if read == "late":
        ipmitool(lab, active.name, "status")
    words = {"never": f"{active.name} was never read", "late": f"before {active.name} was read"}
    with pytest.raises(AssertionError, match=words[read]):
        taken_over(lab, active, standby, fault_ns)


@pytest.mark.virtual("outlets that tell of every order")
def test_takeover_without_the_outlets_is_seen(lab: VirtualLab, roles: VirtualRoles) -> None:
    """A server whose cord was pulled, and whose outlets nobody switched off, fails the check."""
    active, standby = roles
    standby.run("systemctl", "stop", "haagent.service")
    fault_ns = lab.pull_cord(active.name)
    seize(lab, standby)
    with pytest.raises(AssertionError, match="were not switched off"):
        taken_over_by_outlets(lab, active, standby, fault_ns)


@pytest.mark.smoke
def test_answers_that_are_lost_are_seen(lab: Lab, roles: Roles) -> None:
    """A service that stands still for two seconds fails the check for an undisturbed client."""
    active, _ = roles
    since_ns = time.monotonic_ns()
    active.run("systemctl", "kill", "--signal=STOP", SERVICE_UNIT)
    active.run("sleep", "2")  # the fault's own length
    active.run("systemctl", "kill", "--signal=CONT", SERVICE_UNIT)
    with pytest.raises(AssertionError, match="was not served for"):
        undisturbed(lab, active, since_ns, gap_ms_max=1000)


@pytest.mark.smoke
@pytest.mark.virtual("BMCs that tell of every order")
def test_order_to_the_innocent_is_seen(lab: VirtualLab, roles: VirtualRoles) -> None:
    """An order to the standby's BMC, from a stranger, fails the check for quiet."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    ipmitool(lab, standby.name, "on")
    with pytest.raises(AssertionError, match="somebody was shot"):
        undisturbed(lab, active, since_ns, gap_ms_max=10_000)
