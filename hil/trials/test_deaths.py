# SPDX-License-Identifier: GPL-2.0-or-later
"""The active dies in every way there is; the standby takes over, with proof."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest

from hil.agent import Agent, blocked
from hil.labs import Lab, LabLacksError
from hil.power import Behaviour, Fault
from hil.proof import held_alone, undisturbed
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import TAKEOVER_LIMIT_S, taken_over, taken_over_by_outlets, wait_back
from hil.trials.conftest import Roles, VirtualRoles, without_a_next_agent
from hil.watch import orders

QUIET_S = 5.0
"""For what must not happen: longer than dead_after, in which it would."""

SILENT_NS = 500_000_000
"""Since the last heartbeat: a machine that stands still whole answers none for so long."""


@pytest.mark.smoke
def test_crashed_kernel_is_fenced_and_comes_back_as_standby(lab: Lab, roles: Roles) -> None:
    """S1, S2: a kernel panic; the server is off before its address moves, boots and is standby."""
    active, standby = roles
    fault_ns = active.crash()
    first_ns = taken_over(lab, active, standby, fault_ns)
    with suppress(LabLacksError):
        assert "sysrq triggered crash" in active.console()
    wait_back(lab, active, fault_ns)
    held_alone(lab, standby, first_ns)


def test_hung_server_whose_kernel_answers_is_fenced(lab: Lab, roles: Roles) -> None:
    """S1, S2: no process runs, yet ARP for the address is answered until the power is off."""
    active, standby = roles
    fault_ns = active.hang()
    first_ns = taken_over(lab, active, standby, fault_ns)
    silent_ns = lab.observer.last_beat_ns(active.mac, first_ns)
    assert silent_ns is not None
    assert active.mac in lab.observer.holders(silent_ns + SILENT_NS, first_ns)
    wait_back(lab, active, fault_ns)
    held_alone(lab, standby, first_ns)


@pytest.mark.smoke
def test_frozen_active_is_fenced_and_cannot_be_thawed(lab: Lab, roles: Roles) -> None:
    """S1, S2: a machine that stands still is off before its address moves; nothing is left."""
    active, standby = roles
    fault_ns = active.freeze_for_good()
    first_ns = taken_over(lab, active, standby, fault_ns)
    held_alone(lab, standby, first_ns)


@pytest.mark.smoke
@pytest.mark.virtual("BMCs and PDUs that fail when told to")
def test_active_thawed_before_it_is_off_stays_the_only_one(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """S2, S3: frozen, with a BMC that says yes and does nothing; thawed, the active serves on."""
    active, standby = roles
    lab.switches[active.name].behaviour = Behaviour(Fault.ACK_ONLY)
    lab.supplies[active.name].pdu.line.deaf = True
    fault_ns = active.freeze()
    Agent(standby).wait(
        lambda s: "fence_unconfirmed" in blocked(s), TAKEOVER_LIMIT_S, "fence unconfirmed"
    )
    assert standby.mac not in lab.observer.holders(fault_ns)
    assert active.thaw()
    thawed_ns = time.monotonic_ns()
    Agent(standby).wait(
        lambda s: s["peer_state"]["phase"] == "alive", TAKEOVER_LIMIT_S, "the peer heard again"
    )
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=thawed_ns, by=active.name)
    threading.Event().wait(QUIET_S)  # nothing is to happen: no event to wait for
    held_alone(lab, active, fault_ns)
    assert active.boots == 1


@pytest.mark.smoke
def test_power_cord_with_bmc_is_proved_by_the_outlets(lab: Lab, roles: Roles) -> None:
    """S2, S3: the BMC died with the server, so its outlets are switched off and read as off."""
    active, standby = roles
    fault_ns = lab.pull_cord(active.name)
    taken_over_by_outlets(lab, active, standby, fault_ns)


@pytest.mark.smoke
@pytest.mark.virtual("BMCs and PDUs that fail when told to")
def test_dead_bmc_and_dead_pdu_give_no_takeover_before_the_operator_speaks(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """S2, S3: nothing can prove the power: nobody serves until confirm-off, then the standby."""
    active, standby = roles
    lab.supplies[active.name].pdu.line.deaf = True
    fault_ns = lab.pull_cord(active.name)
    Agent(standby).wait(
        lambda s: "fence_unconfirmed" in blocked(s), TAKEOVER_LIMIT_S, "fence unconfirmed"
    )
    assert standby.mac not in lab.observer.holders(fault_ns)
    said_ns = time.monotonic_ns()
    standby.run("haagent", "confirm-off", "--yes")
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=said_ns, by=standby.name)
    held_alone(lab, standby, said_ns)


@pytest.mark.virtual("BMCs and PDUs that fail when told to")
def test_dead_bmc_alone_is_fenced_by_both_outlets(lab: VirtualLab, roles: VirtualRoles) -> None:
    """S2: the server froze and its BMC is dead: both supplies are cut, and only then taken over."""
    active, standby = roles
    lab.bmcs[active.name].kill()
    fault_ns = active.freeze()
    taken_over_by_outlets(lab, active, standby, fault_ns)


@pytest.mark.virtual("BMCs and PDUs that fail when told to")
def test_stuck_outlet_is_no_proof(lab: VirtualLab, roles: VirtualRoles) -> None:
    """S2, S3: one of two outlets does not move, the BMC is dead: nobody takes over."""
    active, standby = roles
    lab.bmcs[active.name].kill()
    lab.supplies[active.name].pdu.relays.stuck = frozenset({2})
    fault_ns = active.freeze()
    Agent(standby).wait(
        lambda s: "fence_unconfirmed" in blocked(s), TAKEOVER_LIMIT_S, "fence unconfirmed"
    )
    assert active.is_on
    assert standby.mac not in lab.observer.holders(fault_ns)


@pytest.mark.smoke
def test_killed_agent_of_the_active_is_shot_before_anybody_else_serves(
    lab: Lab, roles: Roles
) -> None:
    """S1: an active without an agent still answers; no other agent comes, so it is shot."""
    active, standby = roles
    without_a_next_agent(active)
    fault_ns = time.monotonic_ns()
    active.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "haagent.service")
    taken_over(lab, active, standby, fault_ns)


@pytest.mark.virtual("a way to freeze a server and to let it go on")
def test_short_freeze_changes_nothing(lab: VirtualLab, roles: VirtualRoles) -> None:
    """S6: an active that stood still for less than dead_after keeps the service; nobody is shot."""
    active, standby = roles
    fault_ns = active.freeze()
    Agent(standby).wait(
        lambda s: s["peer_state"]["phase"] == "suspect", TAKEOVER_LIMIT_S, "suspicion"
    )
    assert active.thaw()
    threading.Event().wait(QUIET_S)  # nothing is to happen: no event to wait for
    assert orders(lab, fault_ns) == []
    held_alone(lab, active, fault_ns)


def test_power_loss_alone_gives_a_takeover(lab: Lab, roles: Roles) -> None:
    """Being off already is success: the server lost its power, its BMC did not."""
    active, standby = roles
    fault_ns = lab.power_off(active.name)
    taken_over(lab, active, standby, fault_ns)


def test_frozen_standby_is_left_alone_by_the_active(lab: Lab, roles: Roles) -> None:
    """S9: an active does not shoot a silent standby, and serves on."""
    active, standby = roles
    fault_ns = standby.freeze_for_good()
    Agent(active).wait(lambda s: s["peer_state"]["phase"] == "silent", TAKEOVER_LIMIT_S, "silence")
    threading.Event().wait(QUIET_S)  # nothing is to happen: no event to wait for
    undisturbed(lab, active, fault_ns, gap_ms_max=3000)


def test_shutdown_of_the_active_hands_over_and_shoots_nobody(lab: Lab, roles: Roles) -> None:
    """An orderly power-off stops the service here before it starts there."""
    active, standby = roles
    fault_ns = active.leave("poweroff")
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=standby.name)
    lab.power.wait(
        lambda e: (e["node"], e["what"], e.get("state")) == (active.name, "power", "off"),
        TAKEOVER_LIMIT_S,
        after_ns=fault_ns,
        what="off",
    )
    held_alone(lab, standby, lab.client.wait_served(1.0, by=standby.name)["at_ns"])
    assert [order for _, order in orders(lab, fault_ns) if order == "power_off"] == []


def test_reboot_of_the_active_hands_over_and_it_comes_back(lab: Lab, roles: Roles) -> None:
    """An orderly reboot moves the service, shoots nobody, and gives a standby again."""
    active, standby = roles
    fault_ns = active.leave("reboot")
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=standby.name)
    active.wait_up(fault_ns)
    Agent(active).wait(lambda s: s["peer_state"]["phase"] == "alive", TAKEOVER_LIMIT_S, "both well")
    assert [order for _, order in orders(lab, fault_ns) if order == "power_off"] == []
    held_alone(lab, standby, served["at_ns"])
