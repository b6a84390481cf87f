# SPDX-License-Identifier: GPL-2.0-or-later
"""The service as a client meets it: one that runs and does not serve is no service."""

from __future__ import annotations

import time

from hil.agent import Agent, blocked
from hil.groups import WEB
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import held_alone, never_both, taken_over
from hil.watch import TAKEOVER_LIMIT_S, orders, wait_powered, wait_standby

Roles = tuple[Machine, Machine]
OPTIONS = WEB
GRACE_NS = 3_000_000_000
"""serving_grace of these pairs."""


def part(lab: Lab, active: Machine, standby: Machine) -> int:
    """Lose every heartbeat between the two, and nothing else; return when."""
    since_ns = time.monotonic_ns()
    for machine in (active, standby):
        lab.network.lose_from(machine.name, "lan", heartbeat_only=True)
        lab.network.lose_from(machine.name, "ring")
    return since_ns


def test_wrong_answers_are_restarted_and_then_handed_over(lab: Lab, roles: Roles) -> None:
    """Nginx runs and answers 200 with the wrong page: restarted in place, then given away."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    with lab.browsing() as browser:
        browser.wait_served(TAKEOVER_LIMIT_S, by=active.name)
        lab.services.serve_page(active, "no database for")
        browser.wait_served(TAKEOVER_LIMIT_S, after_ns=time.monotonic_ns(), by=standby.name)
    wrong = browser.lost(since_ns)
    assert "status 200" in str(wrong[0]["failure"]), wrong[0]
    assert [e["node"] for e in lab.services.told(since_ns, "start")] == [active.name, standby.name]
    assert orders(lab, since_ns) == []
    never_both(lab)


def test_silent_peer_that_serves_is_left_alone_for_its_grace(lab: Lab, roles: Roles) -> None:
    """STILL_SERVING: the standby's own look at the service delays its shot by serving_grace."""
    active, standby = roles
    since_ns = part(lab, active, standby)
    Agent(standby).wait(
        lambda s: "still_serving" in blocked(s), TAKEOVER_LIMIT_S, "the named reason"
    )
    assert taken_over(lab, active, standby, since_ns) - since_ns > GRACE_NS
    lab.network.heal()
    wait_powered(lab, active, since_ns)
    wait_standby(active)
    never_both(lab)


def test_silent_peer_that_answers_wrongly_gets_no_grace(lab: Lab, roles: Roles) -> None:
    """A page without the text that the probe wants is no service: the standby does not wait."""
    active, standby = roles
    lab.services.serve_page(active, "no database for")
    since_ns = part(lab, active, standby)
    assert taken_over(lab, active, standby, since_ns) - since_ns < GRACE_NS
    held_alone(lab, standby, time.monotonic_ns())
    lab.network.heal()
    wait_powered(lab, active, since_ns)
    wait_standby(active)
