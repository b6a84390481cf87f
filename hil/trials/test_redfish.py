# SPDX-License-Identifier: GPL-2.0-or-later
"""The same deaths where the BMCs are spoken to by Redfish, over TLS, as makers differ in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hil.proof import held_alone
from hil.qemu.configuration import Settings
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import TAKEOVER_LIMIT_S, ready, taken_over, wait_back
from hil.trials.conftest import VirtualRoles

pytestmark = pytest.mark.virtual("BMCs of other makers")


@pytest.fixture
def pair_by_redfish(lab: VirtualLab, roles: VirtualRoles) -> Callable[[str], VirtualRoles]:
    """Has a pair change to Redfish, as some maker has it; gives its active and its standby."""
    assert roles

    def change(face: str) -> VirtualRoles:
        lab.reload(Settings(redfish=lab.offer_redfish(face)))
        return ready(lab)

    return change


def test_crashed_kernel_is_fenced_by_redfish(
    lab: VirtualLab, pair_by_redfish: Callable[[str], VirtualRoles]
) -> None:
    """S1, S2: off by Redfish is the end of the QEMU process; on again, it is standby."""
    active, standby = pair_by_redfish("idrac")
    lab.bmcs[active.name].kill()  # nobody is to ask its IPMI side
    fault_ns = active.crash()
    first_ns = taken_over(lab, active, standby, fault_ns)
    assert "ForceOff" in lab.redfish[active.name].orders
    wait_back(lab, active, fault_ns)
    held_alone(lab, standby, first_ns)


def test_power_cord_with_a_redfish_bmc_is_proved_by_the_outlets(
    lab: VirtualLab, pair_by_redfish: Callable[[str], VirtualRoles]
) -> None:
    """S2, S3: no answer over the web is no proof; the outlets, switched off and read, are one."""
    active, standby = pair_by_redfish("ilo")
    fault_ns = lab.pull_cord(active.name)
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=standby.name)
    held_alone(lab, standby, served["at_ns"])
    assert lab.redfish[active.name].orders == []
    commands = lab.supplies[active.name].pdu.commands
    assert any("off" in command.lower() for command in commands), commands
