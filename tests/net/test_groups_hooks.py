# SPDX-License-Identifier: GPL-2.0-or-later
"""The operator's hooks: told in order, after the fact, and never waited for."""

from __future__ import annotations

import time

from hil.agent import Agent, role
from hil.groups import WEB
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import taken_over
from hil.services import HANG_HARD
from hil.watch import TAKEOVER_LIMIT_S, wait_powered, wait_standby

Roles = tuple[Machine, Machine]
OPTIONS = WEB
HOOK = "hook"
KILLED_NS_MIN = 2_000_000_000
"""A hook that hangs is killed after this, its `timeout`."""
ALARM_LIMIT_S = 30.0


def test_hooks_are_told_in_order_after_the_fact(lab: Lab, roles: Roles) -> None:
    """A takeover: on_fence once the peer is off, then on_active once clients are served."""
    active, standby = roles
    lost_ns = lab.power_off(active.name)
    first_ns = taken_over(lab, active, standby, lost_ns)
    fenced = lab.services.wait(standby, "on_fence", lost_ns, TAKEOVER_LIMIT_S, name=HOOK)
    told = lab.services.wait(standby, "on_active", lost_ns, TAKEOVER_LIMIT_S, name=HOOK)
    assert fenced["at_ns"] < told["at_ns"]
    added = lab.services.wait(standby, "start", lost_ns, TAKEOVER_LIMIT_S, what="0")
    assert max(added["at_ns"], first_ns - 20_000_000) < told["at_ns"], "told before it was true"
    wait_powered(lab, active, lost_ns)
    wait_standby(active)


def test_hook_that_hangs_delays_nothing(lab: Lab, roles: Roles) -> None:
    """All hooks of both nodes hang: the group moves there and back as fast; they are killed."""
    active, standby = roles
    for machine in roles:
        for event in ("on_active", "on_standby"):
            lab.services.spoil(machine, event, HANG_HARD, name=HOOK)
    since_ns = time.monotonic_ns()
    with Agent(active).asking("switchover"):
        lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=since_ns, by=standby.name)
    Agent(standby).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "active")
    hung = lab.services.wait(
        active, "on_standby", since_ns, TAKEOVER_LIMIT_S, what="hangs", name=HOOK
    )
    # Back again while the hooks of the first move still hang.
    with Agent(standby).asking("switchover"):
        back = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=hung["at_ns"], by=active.name)
    assert back["at_ns"] - hung["at_ns"] < KILLED_NS_MIN, "the group waited for a hook"
    # The queue goes on behind the one that was killed.
    lab.services.wait(active, "on_active", since_ns, TAKEOVER_LIMIT_S, name=HOOK)
    wait_standby(standby)


def test_alarm_tells_of_a_group_given_up(lab: Lab, roles: Roles) -> None:
    """A service that restarts do not cure is given away, and somebody is told why."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    lab.services.serve_page(active, "no database for")
    with lab.browsing() as browser:
        browser.wait_served(TAKEOVER_LIMIT_S, after_ns=since_ns, by=standby.name)
    lab.services.wait(active, "on_alarm", since_ns, ALARM_LIMIT_S, name=HOOK)
