# SPDX-License-Identifier: GPL-2.0-or-later
"""The clients' network is lost on one node: it gives its groups away, or leaves them alone."""

from __future__ import annotations

import threading
import time

from hil.agent import Agent, blocked, group
from hil.groups import WEB
from hil.lab import Lab
from hil.machine import Machine
from hil.network import REFERENCE
from hil.proof import held_alone, lost_in_flight_only, never_both, undisturbed
from hil.watch import TAKEOVER_LIMIT_S, orders, ready, wait_standby

Roles = tuple[Machine, Machine]
OPTIONS = WEB
WATCH_S = 2.0
"""Twice dead_after, three times what it takes to miss a reference: how long nothing happens."""


def lose_reference(lab: Lab, *machines: Machine) -> None:
    """The router answers these machines no more; everything else passes."""
    for machine in machines:
        lab.network.lose_to(REFERENCE, machine.address)


def test_active_without_references_hands_over(lab: Lab, roles: Roles) -> None:
    """No reference answers the active, one answers the standby: a peaceful hand-over."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    with lab.browsing() as browser:
        lose_reference(lab, active)
        browser.wait_served(TAKEOVER_LIMIT_S, after_ns=since_ns, by=standby.name)
        Agent(active).wait(
            lambda s: not group(s)["reachable"] and not s["peer_state"]["blocked"],
            TAKEOVER_LIMIT_S,
            "out of reach",
        )
    lost_in_flight_only(lab, browser, standby, since_ns)
    assert orders(lab, since_ns) == []
    never_both(lab)
    lab.network.heal()
    assert ready(lab) == (standby, active)


def test_references_lost_for_both_change_nothing(lab: Lab, roles: Roles) -> None:
    """The router goes and comes back: no node is better off, so the service stays where it is."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    lose_reference(lab, active, standby)
    for machine in roles:
        Agent(machine).wait(lambda s: not group(s)["reachable"], TAKEOVER_LIMIT_S, "out of reach")
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    lab.network.heal()
    for machine in roles:
        Agent(machine).wait(lambda s: group(s)["reachable"], TAKEOVER_LIMIT_S, "within reach")
    assert ready(lab) == (active, standby)
    undisturbed(lab, active, since_ns, gap_ms_max=500)
    assert lab.services.told(since_ns, "stop") == []


def test_standby_without_references_does_not_shoot(lab: Lab, roles: Roles) -> None:
    """S6: all heartbeats are lost and no reference answers the standby: it blames itself."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    lose_reference(lab, standby)
    for machine in roles:
        lab.network.lose_from(machine.name, "lan", heartbeat_only=True)
        lab.network.lose_from(machine.name, "ring")
    lab.services.serve_page(active, "nothing for")  # so that no grace keeps it from shooting
    Agent(standby).wait(lambda s: blocked(s) == ["isolated"], TAKEOVER_LIMIT_S, "isolated alone")
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    undisturbed(lab, active, since_ns, gap_ms_max=500)


def test_carrier_lost_hands_over(lab: Lab, roles: Roles) -> None:
    """The cable of the address's interface is pulled: handed over through the ring, no shot."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    lab.network.cut(active.name, "lan")
    with lab.browsing() as browser:
        browser.wait_served(TAKEOVER_LIMIT_S, after_ns=since_ns, by=standby.name)
    lab.network.heal()
    wait_standby(active)
    healed_ns = time.monotonic_ns()
    held_alone(lab, standby, healed_ns)
    assert orders(lab, since_ns) == []
    never_both(lab)
