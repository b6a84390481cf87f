# SPDX-License-Identifier: GPL-2.0-or-later
"""A service dies, does not start, does not stop, or hangs; its node mends it or gives it away."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

from hil.agent import Agent, held_up
from hil.groups import WEB
from hil.lab import Lab
from hil.machine import Machine
from hil.observer import Observer
from hil.proof import held_alone, never_both, taken_over
from hil.services import FAIL, HANG, HANG_HARD
from hil.watch import TAKEOVER_LIMIT_S, orders, wait_powered, wait_standby

Roles = tuple[Machine, Machine]
OPTIONS = WEB
BEAT_GAP_MS_MAX = 400
"""As long as suspect_after: more would be a late heartbeat."""
QUIET_S = 1.0
QUICK_TRIES_MAX = 4
"""A restart in place, and what a group's start is tried at once."""
PAUSE_NS_MIN = 3_000_000_000
"""Between two tries to start what nobody else can: 5 s at first, and longer each time."""


def beat_gap_ms(observer: Observer, machine: Machine, after_ns: int) -> float:
    """The longest time between two heartbeats of a machine on the LAN since a time."""
    beats: list[int] = [
        entry["at_ns"]
        for entry in observer.record.since(after_ns)
        if entry["what"] == "beat" and entry["mac"] == machine.mac
    ]
    return max(b - a for a, b in pairwise(beats)) / 1e6


def test_killed_service_is_restarted_and_then_handed_over(lab: Lab, roles: Roles) -> None:
    """Killed once it is restarted in place (`restarts = 1`); killed again, the peer takes it."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    with lab.browsing() as browser:
        lab.services.kill(active)
        restarted = lab.services.wait(active, "start", since_ns, TAKEOVER_LIMIT_S, what="0")
        browser.wait_served(TAKEOVER_LIMIT_S, after_ns=restarted["at_ns"], by=active.name)
        held_alone(lab, active, since_ns)
        killed_ns = time.monotonic_ns()
        lab.services.kill(active)
        browser.wait_served(TAKEOVER_LIMIT_S, after_ns=killed_ns, by=standby.name)
    assert len(lab.services.told(since_ns, "start", active)) == 1
    assert orders(lab, since_ns) == []
    never_both(lab)


def test_failed_service_is_tried_on_while_the_peer_is_unable(lab: Lab, roles: Roles) -> None:
    """With the peer on standby nobody else could serve: tried again, pause by pause, and told."""
    active, standby = roles
    done = Agent(active).call("standby", standby.name)
    assert done.returncode == 0, done.stdout + done.stderr
    since_ns = time.monotonic_ns()
    lab.services.spoil(active, "start", FAIL)
    lab.services.kill(active)
    status = Agent(active).wait(lambda s: held_up(s) != "", TAKEOVER_LIMIT_S, "the reason")
    assert held_up(status) == "start_failed"
    assert Agent(active).call("status").returncode == 2
    threading.Event().wait(QUIET_S)  # the first tries come at once: none of them is left
    tries = lab.services.told(since_ns, "start", active)
    assert 0 < len(tries) <= QUICK_TRIES_MAX
    lab.services.mend(active)
    again = lab.services.wait(active, "start", tries[-1]["at_ns"], TAKEOVER_LIMIT_S)
    assert again["at_ns"] - tries[-1]["at_ns"] > PAUSE_NS_MIN, "tried again without a pause"
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=again["at_ns"], by=active.name)
    assert lab.services.told(since_ns, "start", standby) == []
    assert Agent(active).call("unstandby", standby.name).returncode == 0
    assert orders(lab, since_ns) == []


def test_start_that_fails_brings_the_service_back(lab: Lab, roles: Roles) -> None:
    """Not started on the new node: one more try, then back to the old one; never both."""
    active, standby = roles
    lab.services.spoil(standby, "start", FAIL)
    since_ns = time.monotonic_ns()
    with Agent(active).asking("switchover"):
        failed = lab.services.wait(standby, "start", since_ns, TAKEOVER_LIMIT_S, what="1")
        lab.services.wait(standby, "stop", failed["at_ns"], TAKEOVER_LIMIT_S, what="0")
        back = lab.services.wait(active, "start", failed["at_ns"], TAKEOVER_LIMIT_S, what="0")
    assert len(lab.services.told(since_ns, "start", standby)) == 2
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=back["at_ns"], by=active.name)
    held_alone(lab, active, served["at_ns"])
    assert standby.mac not in lab.observer.holders(since_ns), "an address without its service"
    assert orders(lab, since_ns) == []
    never_both(lab)


def test_stop_that_fails_ends_in_a_fence(lab: Lab, roles: Roles) -> None:
    """S7: an active that cannot stop its service asks the peer to fence it, and the peer does."""
    active, standby = roles
    lab.services.spoil(active, "stop", FAIL)
    since_ns = time.monotonic_ns()
    with Agent(active).asking("switchover"):
        taken_over(lab, active, standby, since_ns)
    lab.services.mend(active)
    wait_powered(lab, active, since_ns)
    wait_standby(active)
    assert orders(lab, since_ns) == [(active.name, "power_off"), (active.name, "power_on")]
    never_both(lab)


def test_hanging_monitor_is_ended_and_the_service_restarted(lab: Lab, roles: Roles) -> None:
    """A monitor that hangs is a failed one, ended by its limit; no heartbeat is late for it."""
    active, _ = roles
    since_ns = time.monotonic_ns()
    lab.services.spoil(active, "monitor", HANG)
    lab.services.wait(active, "monitor", since_ns, TAKEOVER_LIMIT_S, what="hangs")
    hung = lab.services.hanging(active, "monitor")
    assert hung, "nothing hangs, or nobody sees it"
    lab.services.wait(active, "stop", since_ns, TAKEOVER_LIMIT_S)
    # Another one may hang already: a stop is checked by a monitor.
    assert not hung & lab.services.hanging(active, "monitor"), "something of it was left"
    lab.services.mend(active)
    restarted = lab.services.wait(active, "start", since_ns, TAKEOVER_LIMIT_S, what="0")
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=restarted["at_ns"], by=active.name)
    held_alone(lab, active, since_ns)
    assert beat_gap_ms(lab.observer, active, since_ns) < BEAT_GAP_MS_MAX
    assert orders(lab, since_ns) == []


def test_hanging_start_is_killed_whole(lab: Lab, roles: Roles) -> None:
    """A start that hears no SIGTERM is ended with all its children; no heartbeat is late for it."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    lab.services.spoil(standby, "start", HANG_HARD)
    with Agent(active).asking("switchover"):
        begun = lab.services.wait(standby, "start", since_ns, TAKEOVER_LIMIT_S, what="hangs")
    assert lab.services.hanging(standby, "start"), "nothing hangs, or nobody sees it"
    lab.services.wait(standby, "stop", begun["at_ns"], TAKEOVER_LIMIT_S)
    assert not lab.services.hanging(standby, "start"), "something of the start was left"
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=begun["at_ns"], by=active.name)
    held_alone(lab, active, served["at_ns"])
    assert beat_gap_ms(lab.observer, standby, since_ns) < BEAT_GAP_MS_MAX
    assert orders(lab, since_ns) == []
    never_both(lab)
