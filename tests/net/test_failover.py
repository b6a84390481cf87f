# SPDX-License-Identifier: GPL-2.0-or-later
"""The active is lost in every way there is; the standby takes over, with proof."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest

from hil.agent import Agent, blocked
from hil.lab import Lab
from hil.machine import Machine
from hil.pair import Options
from hil.power import Behaviour, Fault
from hil.proof import held_alone, taken_over, undisturbed
from hil.watch import TAKEOVER_LIMIT_S, orders, ready, wait_powered, wait_standby

Roles = tuple[Machine, Machine]
DEAD_AFTER_S = 1.0


def returns(lab: Lab, lost: Machine, first_ns: int, fault_ns: int) -> None:
    """The lost machine gets its power back after the takeover, and comes back as standby."""
    back = wait_powered(lab, lost, fault_ns)
    assert back["at_ns"] > first_ns, "power came back before the takeover was complete"
    wait_standby(lost)


def test_frozen_active_is_fenced_and_nothing_of_it_is_left(lab: Lab, roles: Roles) -> None:
    """S1, S2: a hung active is off before its address moves; thawed, nothing of it answers."""
    active, standby = roles
    frozen = active.freeze()
    first_ns = taken_over(lab, active, standby, frozen.at_ns)
    assert active.thaw(frozen) == 0
    returns(lab, active, first_ns, frozen.at_ns)
    held_alone(lab, standby, first_ns)


def test_active_thawed_while_it_is_fenced_does_not_answer_twice(lab: Lab, roles: Roles) -> None:
    """S1: an active that wakes up between the order and the off is alone until it is off."""
    active, standby = roles
    lab.switches[active.name].behaviour = Behaviour(Fault.OFF_LATE, 1.0)
    frozen = active.freeze()
    lab.power.wait(
        lambda e: e["what"] == "order" and e["node"] == active.name,
        TAKEOVER_LIMIT_S,
        after_ns=frozen.at_ns,
        what="fence order",
    )
    assert active.thaw(frozen) > 0
    lab.power.wait(
        lambda e: e["what"] == "power" and e["state"] == "off" and e["node"] == active.name,
        TAKEOVER_LIMIT_S,
        after_ns=frozen.at_ns,
    )
    taken_over(lab, active, standby, frozen.at_ns)


def test_short_freeze_changes_nothing(lab: Lab, roles: Roles) -> None:
    """S6: an active that was away for less than dead_after keeps the service; nobody is shot."""
    active, standby = roles
    frozen = active.freeze()
    Agent(standby).wait(
        lambda s: s["peer_state"]["phase"] == "suspect", TAKEOVER_LIMIT_S, "suspicion"
    )
    active.thaw(frozen)
    settled_ns = time.monotonic_ns()
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=settled_ns, by=active.name)
    threading.Event().wait(2 * DEAD_AFTER_S)  # nothing is to happen: no event to wait for
    assert orders(lab, frozen.at_ns) == []
    held_alone(lab, active, frozen.at_ns)


def test_frozen_standby_is_left_alone_by_the_active(lab: Lab, roles: Roles) -> None:
    """S9: an active does not shoot a silent standby, and serves on."""
    active, standby = roles
    frozen = standby.freeze()
    threading.Event().wait(3 * DEAD_AFTER_S)  # nothing is to happen: no event to wait for
    undisturbed(lab, active, frozen.at_ns, gap_ms_max=500)
    standby.thaw(frozen)
    threading.Event().wait(2 * DEAD_AFTER_S)  # S6: it is late itself and must not shoot either
    undisturbed(lab, active, frozen.at_ns, gap_ms_max=500)


def test_power_already_off_is_proof(lab: Lab, roles: Roles) -> None:
    """Being off already is success: power loss of the active alone gives a takeover."""
    active, standby = roles
    fault_ns = lab.power_off(active.name)
    first_ns = taken_over(lab, active, standby, fault_ns)
    returns(lab, active, first_ns, fault_ns)


def test_killed_agent_is_not_waited_for(lab: Lab, roles: Roles) -> None:
    """S1: an active without an agent still answers for the address, so it is shot first."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    active.signal_agent(signal.SIGKILL)
    first_ns = taken_over(lab, active, standby, fault_ns)
    returns(lab, active, first_ns, fault_ns)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGUSR1])
def test_agent_restarted_in_time_keeps_the_service(
    build: Callable[[Options], Lab], how: signal.Signals
) -> None:
    """A killed or a restarting agent that is back in time finds its service and keeps it."""
    pair = build(Options(timing={"dead_after": "5s"}))
    pair.power_on()
    active, standby = ready(pair)
    since_ns = time.monotonic_ns()
    active.signal_agent(how)
    active.start_agent()
    Agent(active).wait(
        lambda s: s["groups"][0]["role"] == "active", TAKEOVER_LIMIT_S, "active again"
    )
    wait_standby(standby)
    assert ready(pair) == (active, standby)
    undisturbed(pair, active, since_ns, gap_ms_max=500)


def test_fences_are_bounded(build: Callable[[Options], Lab]) -> None:
    """S10: after max_fences in the window the standby stays down and names the reason."""
    pair = build(Options(timing={"max_fences": 1}, check_every="1s"))
    pair.power_on()
    active, standby = ready(pair)
    taken_over(pair, active, standby, pair.power_off(active.name))
    wait_standby(active)
    asked_ns = time.monotonic_ns()
    Agent(standby).wait(lambda s: s["peer_state"]["hears_us"], TAKEOVER_LIMIT_S, "heard")
    # So that the one that has used up its fences is standby again.
    reply = Agent(standby).ask("switchover")
    assert reply["ok"], reply["message"]
    pair.client.wait_served(TAKEOVER_LIMIT_S, after_ns=asked_ns, by=active.name)
    wait_standby(standby)
    status = Agent(standby).status()
    assert status is not None
    assert "too_many_fences" in str(status["takeover"]["reasons"])
    fault_ns = pair.power_off(active.name)
    Agent(standby).wait(
        lambda s: "too_many_fences" in blocked(s), TAKEOVER_LIMIT_S, "the named reason"
    )
    threading.Event().wait(2 * DEAD_AFTER_S)  # nothing is to happen: no event to wait for
    assert orders(pair, fault_ns) == []
    assert pair.observer.sightings(fault_ns + 500_000_000) == []
