# SPDX-License-Identifier: GPL-2.0-or-later
"""Cables, switches and network cards fail; who has to move moves, and nobody else is shot."""

from __future__ import annotations

import threading
import time

import pytest

from hil.agent import Agent, alarms, blocked, link_state, role
from hil.labs import Lab
from hil.pair import bmc_address
from hil.proof import held_alone, undisturbed
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import RETURN_LIMIT_S, TAKEOVER_LIMIT_S, ready, taken_over
from hil.trials.conftest import Roles, VirtualRoles
from hil.watch import orders

QUIET_S = 8.0
"""For what must not happen: longer than dead_after and a fence together."""
GAP_MS_MAX = 3000
"""Of a client that is served all the time, by emulated servers on a busy machine."""


def rest() -> None:
    """Let time pass in which nothing is to happen: there is no event to wait for."""
    threading.Event().wait(QUIET_S)


@pytest.mark.smoke
def test_lost_heartbeat_cable_is_told_and_changes_nothing(lab: Lab, roles: Roles) -> None:
    """One of two links gone, carrier and all: degraded, an alarm, no change of roles."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    lab.wiring.cut(standby, "ring")
    Agent(standby).wait(lambda s: link_state(s, "ring") == "down", TAKEOVER_LIMIT_S, "link down")
    rest()
    undisturbed(lab, active, fault_ns, gap_ms_max=GAP_MS_MAX)


@pytest.mark.smoke
def test_active_that_loses_its_lan_hands_over_without_a_shot(lab: Lab, roles: Roles) -> None:
    """The active's LAN card loses its carrier: the service goes where the clients are."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    lab.wiring.cut(active, "lan")
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=standby.name)
    held_alone(lab, standby, served["at_ns"])
    assert orders(lab, fault_ns) == []


@pytest.mark.virtual("a switch that loses frames when told to")
def test_card_that_loses_all_silently_is_noticed(lab: VirtualLab, roles: VirtualRoles) -> None:
    """The active's LAN card has its carrier and passes nothing: as good as a cable pulled."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    lab.wiring.lose_from(active, "lan")
    lab.wiring.lose_to(active, "lan")
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=standby.name)
    held_alone(lab, standby, served["at_ns"])
    assert orders(lab, fault_ns) == []


def test_interface_set_down_is_noticed(lab: Lab, roles: Roles) -> None:
    """`ip link set eth0 down` on the active: the service goes where the clients are."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    active.run("ip", "link", "set", active.interface, "down")
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=standby.name)
    held_alone(lab, standby, served["at_ns"])
    assert orders(lab, fault_ns) == []


@pytest.mark.virtual("a switch that loses frames when told to")
def test_one_way_loss_on_one_link_is_an_alarm_and_nothing_else(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """The standby's frames get lost on the direct cable alone: told, and nobody is shot."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    lab.wiring.lose_from(standby, "ring")
    Agent(standby).wait(lambda s: link_state(s, "ring") != "up", TAKEOVER_LIMIT_S, "link degraded")
    assert alarms(Agent(standby).ask("status")["data"])
    rest()
    undisturbed(lab, active, fault_ns, gap_ms_max=GAP_MS_MAX)


def test_a_third_of_all_frames_lost_changes_nothing(lab: Lab, roles: Roles) -> None:
    """30 % loss and a jittery delay on every link between the servers: nobody is shot."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    netem = ("netem", "loss", "30%", "delay", "20ms", "10ms")
    for guest in roles:
        for link in Agent(guest).ask("status")["data"]["links"]:
            guest.run("tc", "qdisc", "replace", "dev", link["interface"], "root", *netem)
    rest()
    rest()
    assert orders(lab, fault_ns) == []
    held_alone(lab, active, fault_ns)
    status = Agent(standby).ask("status")["data"]
    assert role(status) == "standby"


def test_all_heartbeats_cut_with_bmc_in_reach_gives_one_holder(lab: Lab, roles: Roles) -> None:
    """S1, S9: both links of the active cut: it cannot be heard, so it is shot, then replaced."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    lab.wiring.cut(active, "lan")
    lab.wiring.cut(active, "ring")
    taken_over(lab, active, standby, fault_ns)


def test_standby_cut_off_from_all_shoots_nobody(lab: Lab, roles: Roles) -> None:
    """S6: a standby without any network but its management knows that it is the one cut off."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    lab.wiring.cut(standby, "lan")
    lab.wiring.cut(standby, "ring")
    rest()
    undisturbed(lab, active, fault_ns, gap_ms_max=GAP_MS_MAX)


@pytest.mark.virtual("a switch that loses frames when told to")
def test_active_that_is_not_heard_is_fenced(lab: VirtualLab, roles: VirtualRoles) -> None:
    """S1, S9: one-way loss on every wire: an active that hears all and is not heard is shot."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    for wire in ("lan", "ring"):
        lab.wiring.lose_from(active, wire, heartbeat_only=True)
    taken_over(lab, active, standby, fault_ns)


@pytest.mark.virtual("a switch that loses frames when told to")
def test_standby_that_is_not_heard_is_left_alone(lab: VirtualLab, roles: VirtualRoles) -> None:
    """S9: one-way loss on every wire the other way round: told, and nobody is shot."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    for wire in ("lan", "ring"):
        lab.wiring.lose_from(standby, wire, heartbeat_only=True)
    Agent(active).wait(lambda s: s["peer_state"]["phase"] == "silent", TAKEOVER_LIMIT_S, "silence")
    assert alarms(Agent(standby).ask("status")["data"])
    rest()
    undisturbed(lab, active, fault_ns, gap_ms_max=GAP_MS_MAX)


@pytest.mark.virtual("a PDU that is deaf when told to")
def test_all_cables_of_the_active_cut_give_no_takeover(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """S2, S3: its BMC is cut off as well, so nothing proves anything; healed, one serves."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    lab.supplies[active.name].pdu.line.deaf = True
    lab.wiring.network.lose_to(bmc_address(active.name))
    for wire in ("lan", "ring", "mgmt"):
        lab.wiring.cut(active, wire)
    Agent(standby).wait(
        lambda s: "fence_unconfirmed" in blocked(s), TAKEOVER_LIMIT_S, "fence unconfirmed"
    )
    rest()
    assert standby.mac not in lab.observer.holders(fault_ns)
    lab.wiring.heal()
    lab.wiring.network.heal()
    lab.supplies[active.name].pdu.line.deaf = False
    rest()  # its LAN counts as lost for longer than the direct cable: it may hand over first
    holder, _ = ready(lab, limit_s=RETURN_LIMIT_S)
    held_alone(lab, holder, time.monotonic_ns())


@pytest.mark.virtual("a switch that loses frames when told to")
def test_all_heartbeats_and_all_fences_cut_leave_the_active_alone(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """S2, S3: the standby hears nothing and reaches no BMC and no PDU: it takes nothing."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    lab.wiring.network.lose_to(bmc_address(active.name))
    lab.supplies[active.name].pdu.line.deaf = True
    for guest in roles:
        for wire in ("lan", "ring"):
            lab.wiring.lose_from(guest, wire, heartbeat_only=True)
    Agent(standby).wait(
        lambda s: "fence_unconfirmed" in blocked(s), TAKEOVER_LIMIT_S, "fence unconfirmed"
    )
    rest()
    undisturbed(lab, active, fault_ns, gap_ms_max=GAP_MS_MAX)
    lab.wiring.heal()
    Agent(standby).wait(
        lambda s: s["peer_state"]["phase"] == "alive", TAKEOVER_LIMIT_S, "the peer heard again"
    )
    lab.wiring.network.heal()
    lab.supplies[active.name].pdu.line.deaf = False
    assert ready(lab) == roles
    undisturbed(lab, active, fault_ns, gap_ms_max=GAP_MS_MAX)
