# SPDX-License-Identifier: GPL-2.0-or-later
"""Cold starts: together, alone, and after both were lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime

from hil.agent import Agent, role
from hil.bench import agent_processes
from hil.lab import Lab
from hil.machine import Machine
from hil.network import VIP
from hil.pair import Options
from hil.processes import stat, with_words
from hil.proof import held_alone
from hil.watch import TAKEOVER_LIMIT_S, orders, ready

Roles = tuple[Machine, Machine]


def test_both_started_together_agree_on_the_preferred(build: Callable[[Options], Lab]) -> None:
    """S2 d: at a joint start exactly the preferred node starts the service; nobody is shot."""
    pair = build(Options())
    pair.power_on()
    active, _ = ready(pair)
    assert active.name == "alpha"
    assert orders(pair, 0) == []
    pair.observer.wait_holder(active.mac, TAKEOVER_LIMIT_S)
    assert pair.observer.holders() == [active.mac]


def test_fence_workers_are_loaded_behind_the_agent(roles: Roles) -> None:
    """Where processors are few, its first heartbeat waits for no program that only fences."""
    for machine in roles:
        *_, started = (e for e in machine.agent_events() if e["event"] == "agent.started")
        started_s = datetime.fromisoformat(str(started["time"])).timestamp()
        workers = with_words(agent_processes(machine), "fencing.worker")
        assert workers
        for pid in workers:
            assert _began_s(pid) > started_s, f"{pid} of {machine.name}"


def _began_s(pid: int) -> float:
    """The latest time of day at which that process can have been forked: proc(5)."""
    since_boot_s = (int(stat(pid)[19]) + 1) / os.sysconf("SC_CLK_TCK")
    return since_boot_s + time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def test_one_started_alone_waits_for_its_peer(build: Callable[[Options], Lab]) -> None:
    """S5: a node that has heard nobody since its boot starts nothing and shoots nobody."""
    pair = build(Options())
    pair.power_on("beta")
    beta = pair.machines["beta"]
    status = Agent(beta).wait(
        lambda s: role(s) == "standby" and s["peer_state"]["phase"] == "unheard",
        TAKEOVER_LIMIT_S,
        "standby, waiting for the peer",
    )
    assert not status["takeover"]["possible"]
    threading.Event().wait(4.0)  # nothing is to happen: no event to wait for
    assert pair.observer.sightings() == []
    assert orders(pair, 0) == []
    pair.power_on("alpha")
    active, _ = ready(pair)
    assert orders(pair, 0) == []
    pair.observer.wait_holder(active.mac, TAKEOVER_LIMIT_S)
    assert pair.observer.holders() == [active.mac]


def test_both_lost_and_started_again(lab: Lab, roles: Roles) -> None:
    """After a power loss of both nodes exactly one serves again, without a shot."""
    for machine in roles:
        lab.power_off(machine.name)
    since_ns = time.monotonic_ns()
    lab.power_on()
    active, _ = ready(lab)
    assert orders(lab, since_ns) == []
    held_alone(lab, active, since_ns)


def test_removed_address_is_put_back(lab: Lab, roles: Roles) -> None:
    """An address that somebody took off the active's interface is back by itself."""
    active, _ = roles
    since_ns = time.monotonic_ns()
    active.run("ip", "address", "del", f"{VIP}/24", "dev", "eth0")
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=since_ns, by=active.name)
    held_alone(lab, active, since_ns)
    assert orders(lab, since_ns) == []


def test_stale_address_is_removed_at_start(build: Callable[[Options], Lab]) -> None:
    """S1: an address left over on a node that does not hold the group goes when it starts."""
    pair = build(Options())
    pair.power_on("beta")
    beta = pair.machines["beta"]
    Agent(beta).wait(lambda s: role(s) == "standby", TAKEOVER_LIMIT_S, "standby")
    beta.run("ip", "address", "add", f"{VIP}/24", "dev", "eth0")
    pair.observer.wait_holder(beta.mac, TAKEOVER_LIMIT_S)
    beta.signal_agent(signal.SIGKILL)
    beta.start_agent()
    Agent(beta).wait(lambda s: role(s) == "standby", TAKEOVER_LIMIT_S, "standby again")
    started_ns = time.monotonic_ns()
    threading.Event().wait(0.5)  # the observer asks a hundred times a second
    assert pair.observer.sightings(started_ns) == []
