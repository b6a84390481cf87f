# SPDX-License-Identifier: GPL-2.0-or-later
"""The same deaths where the BMCs are spoken to by Redfish, over TLS, as makers differ in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hil.proof import held_alone
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import ready, taken_over, taken_over_by_outlets, wait_back
from hil.qemu.redfish import Redfish
from hil.trials.conftest import VirtualRoles

pytestmark = pytest.mark.virtual("BMCs of other makers")


@pytest.fixture
def pair_by_redfish(lab: VirtualLab, roles: VirtualRoles) -> Callable[[str], VirtualRoles]:
    """Has a pair change to Redfish, as some maker has it; gives its active and its standby."""
    assert roles

    def change(face: str) -> VirtualRoles:
        lab.change_to_redfish(face)
        for bmc in lab.bmcs.values():
            bmc.kill()  # nobody is to ask their IPMI side
        return ready(lab)

    return change


def test_crashed_kernel_is_fenced_by_redfish(
    lab: VirtualLab, pair_by_redfish: Callable[[str], VirtualRoles]
) -> None:
    """S1, S2: off by Redfish is the end of the QEMU process; on again, it is standby."""
    active, standby = pair_by_redfish("idrac")
    fault_ns = active.crash()
    first_ns = taken_over(lab, active, standby, fault_ns)
    assert "ForceOff" in lab.redfish[active.name].bmc.orders
    wait_back(lab, active, fault_ns)
    held_alone(lab, standby, first_ns)


def test_power_cord_with_a_redfish_bmc_is_proved_by_the_outlets(
    lab: VirtualLab, pair_by_redfish: Callable[[str], VirtualRoles]
) -> None:
    """S2, S3: no answer over the web is no proof; the outlets, switched off and read, are one."""
    active, standby = pair_by_redfish("ilo")
    fault_ns = lab.pull_cord(active.name)
    taken_over_by_outlets(lab, active, standby, fault_ns)
    assert lab.redfish[active.name].bmc.orders == []


@pytest.mark.parametrize("face", ["xclarity", "openbmc", "supermicro", "tsm"])
def test_order_whose_answer_is_lost_is_proved_by_a_reading(
    lab: VirtualLab, pair_by_redfish: Callable[[str], VirtualRoles], face: str
) -> None:
    """S2, S3: the power goes, and the connection before its answer: off is what is then read."""
    active, standby = pair_by_redfish(face)
    lab.redfish[active.name].bmc.faults.lost = True
    fault_ns = active.freeze()
    taken_over(lab, active, standby, fault_ns)


def _full(redfish: Redfish) -> None:
    redfish.bmc.faults.sessions_max = 0
    redfish.bmc.restart()


def _garbage(redfish: Redfish) -> None:
    redfish.bmc.faults.garbage = b"<html>Loading"


WEB_FAULTS: dict[str, Callable[[Redfish], None]] = {
    "session-table-full": _full,
    "certificate-expired": Redfish.expire,
    "garbage": _garbage,
}


@pytest.mark.parametrize("fault", WEB_FAULTS)
def test_web_side_that_lets_nobody_in_leaves_the_outlets(
    lab: VirtualLab, pair_by_redfish: Callable[[str], VirtualRoles], fault: str
) -> None:
    """S2, S3: what is wrong with the BMC proves nothing; both outlets are cut, and read as off."""
    active, standby = pair_by_redfish("supermicro")
    WEB_FAULTS[fault](lab.redfish[active.name])
    fault_ns = active.freeze()
    taken_over_by_outlets(lab, active, standby, fault_ns)
    assert lab.redfish[active.name].bmc.orders == []
