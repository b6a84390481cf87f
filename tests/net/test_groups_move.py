# SPDX-License-Identifier: GPL-2.0-or-later
"""A web service moves while somebody browses: what of it is lost is counted, request by request."""

from __future__ import annotations

import signal
import time

from haagent.notify import EXIT_REPLACED
from hil.agent import Agent, role
from hil.groups import WEB
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import held_alone, lost_in_flight_only, never_both
from hil.watch import TAKEOVER_LIMIT_S, orders, ready, wait_standby

Roles = tuple[Machine, Machine]
OPTIONS = WEB


def test_switchover_loses_at_most_what_was_in_flight(lab: Lab, roles: Roles) -> None:
    """Lost is at most what the old node had accepted and not yet answered when the address left.

    Whatever was begun later, also while nobody had the address, is answered by the new node.
    """
    active, standby = roles
    with lab.browsing() as quick, lab.browsing("/slow") as slow:
        for browser in (quick, slow):
            browser.wait_served(TAKEOVER_LIMIT_S, by=active.name)
        asked_ns = time.monotonic_ns()
        done = Agent(active).call("switchover", "web")
        assert done.returncode == 0, done.stdout + done.stderr
        for browser in (quick, slow):
            browser.wait_served(TAKEOVER_LIMIT_S, after_ns=asked_ns, by=standby.name)
    arrived = lab.observer.wait_holder(standby.mac, TAKEOVER_LIMIT_S, after_ns=asked_ns)
    for browser in (quick, slow):
        lost_in_flight_only(lab, browser, standby, asked_ns)
    assert slow.open_at(arrived["at_ns"]), "nothing was in flight: the count says nothing"
    held_alone(lab, standby, arrived["at_ns"])
    assert orders(lab, asked_ns) == []
    never_both(lab)


def test_agent_restart_loses_nothing(lab: Lab, roles: Roles) -> None:
    """An upgrade: the agent pauses, a fresh one takes up what runs; no request is lost by it."""
    active, standby = roles
    with lab.browsing() as quick, lab.browsing("/slow") as slow:
        for browser in (quick, slow):
            browser.wait_served(TAKEOVER_LIMIT_S)
        since_ns = time.monotonic_ns()
        assert active.signal_agent(signal.SIGUSR1) == EXIT_REPLACED
        active.start_agent()
        Agent(active).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "active again")
        wait_standby(standby)
        taken_up_ns = time.monotonic_ns()
        for browser in (quick, slow):
            browser.wait_served(TAKEOVER_LIMIT_S, after_ns=taken_up_ns, by=active.name)
    assert quick.lost() == []
    assert slow.lost() == []
    assert {entry["node"] for entry in quick.requests()} == {active.name}
    assert lab.services.told(since_ns, "start") == [], "it was started although it ran"
    assert orders(lab, since_ns) == []


def test_clean_reboot_is_one_switchover(lab: Lab, roles: Roles) -> None:
    """An active that is shut down and booted moves its service once; nobody is fenced for it."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    with lab.browsing() as browser:
        browser.wait_served(TAKEOVER_LIMIT_S, by=active.name)
        assert active.signal_agent(signal.SIGTERM) == 0
        assert not lab.services.runs(active), "the agent left before its service was down"
        lab.power_off(active.name)
        browser.wait_served(TAKEOVER_LIMIT_S, by=standby.name)
        lab.power_on(active.name)
        wait_standby(active)
        assert ready(lab) == (standby, active)
    lost_in_flight_only(lab, browser, standby, since_ns)
    assert lab.observer.holders(since_ns) in ([active.mac, standby.mac], [standby.mac])
    assert [e["node"] for e in lab.services.told(since_ns, "start")] == [standby.name]
    assert orders(lab, since_ns) == []
    never_both(lab)
