# SPDX-License-Identifier: GPL-2.0-or-later
"""What operators order of groups and nodes, through the command line; judged by who serves."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from hil.agent import Agent, alarms, blocked, group, role, takeover_possible
from hil.groups import WEB
from hil.lab import Lab
from hil.machine import Machine
from hil.network import VIP
from hil.proof import held_alone, never_both, taken_over, undisturbed
from hil.watch import READY_LIMIT_S, TAKEOVER_LIMIT_S, orders, ready

Roles = tuple[Machine, Machine]
OPTIONS = WEB
WATCH_S = 2.0
"""Twice dead_after, and twice the interval of the monitors: how long nothing happens."""


def say(machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must be obeyed."""
    done = Agent(machine).call(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def clean(lab: Lab) -> Iterator[None]:
    """Take every standing order back, whatever the test came to."""
    yield
    agent = Agent(lab.machines["alpha"])
    agent.wait(lambda _: True, READY_LIMIT_S, "an answer, perhaps after its boot")
    for node in lab.machines:
        agent.ask("standby", node=node, on=False)
    agent.ask("group", group="web", what="unfreeze")
    agent.ask("group", group="web", what="start")
    agent.ask("maintenance", on=False)


def test_dry_run_changes_nothing(lab: Lab, roles: Roles) -> None:
    """`switchover --dry-run` says whether it would work, and nothing is stopped for it."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    assert "could be moved" in say(active, "switchover", "--dry-run").stdout
    Agent(active).ask("standby", node=standby.name, on=True)
    Agent(active).wait(lambda s: not takeover_possible(s), TAKEOVER_LIMIT_S, "peer unable")
    refused = Agent(active).call("switchover", "--dry-run")
    Agent(active).ask("standby", node=standby.name, on=False)
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "cannot take" in refused.stderr
    undisturbed(lab, active, since_ns, gap_ms_max=500)
    assert lab.services.told(since_ns, "stop") == []


def test_node_on_standby_gives_away_and_takes_nothing(lab: Lab, roles: Roles, clean: None) -> None:
    """`standby` empties the node in peace, says so on both, and outlives a loss of the other."""
    del clean
    active, standby = roles
    since_ns = time.monotonic_ns()
    say(standby, "standby", active.name)
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=since_ns, by=standby.name)
    held_alone(lab, standby, served["at_ns"])
    for machine in roles:
        status = Agent(machine).wait(lambda s: s["standby_nodes"] != [], TAKEOVER_LIMIT_S, "told")
        assert status["standby_nodes"] == [active.name]
    lost_ns = lab.power_off(standby.name)
    Agent(active).wait(lambda s: "node_standby" in blocked(s), TAKEOVER_LIMIT_S, "named reason")
    assert orders(lab, since_ns) == []
    say(active, "unstandby", active.name)
    taken_over(lab, standby, active, lost_ns)
    never_both(lab)


def test_stopped_group_runs_nowhere_until_it_is_started(
    lab: Lab, roles: Roles, clean: None
) -> None:
    """`group stop` ends it on both nodes, and new agents keep to it; `start` brings it back."""
    del clean
    active, standby = roles
    since_ns = time.monotonic_ns()
    say(standby, "group", "stop", "web")
    lab.services.wait(active, "stop", since_ns, TAKEOVER_LIMIT_S, what="0")
    stopped_ns = time.monotonic_ns()
    for machine in roles:
        machine.signal_agent(signal.SIGUSR1)
        machine.start_agent()
    for machine in roles:
        status = Agent(machine).wait(
            lambda s: group(s)["stopped"] and s["peer_state"]["phase"] == "alive",
            TAKEOVER_LIMIT_S,
            "stopped, by new agents",
        )
        assert "stopped_web" in alarms(status)
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    assert lab.observer.sightings(stopped_ns) == []
    assert not any(lab.services.runs(machine) for machine in roles)
    say(standby, "group", "start", "web")
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=stopped_ns)
    ready(lab)
    assert orders(lab, since_ns) == []
    never_both(lab)


def test_frozen_group_stays_as_it_is(lab: Lab, roles: Roles, clean: None) -> None:
    """`group freeze`: a dead service is neither mended nor moved; unfrozen, it is mended."""
    del clean
    active, _ = roles
    since_ns = time.monotonic_ns()
    say(active, "group", "freeze", "web")
    refused = Agent(active).call("switchover", "web")
    assert refused.returncode == 1, refused.stdout
    assert "froze" in refused.stderr
    lab.services.kill(active)
    killed_ns = time.monotonic_ns()
    seen = Agent(active).wait(
        lambda s: "stopped" in str(group(s)["resources"]), TAKEOVER_LIMIT_S, "seen to be down"
    )
    assert role(seen) == "active"
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    assert lab.services.told(since_ns, "start") == lab.services.told(since_ns, "stop") == []
    held_alone(lab, active, since_ns)
    say(active, "group", "unfreeze", "web")
    mended = lab.services.wait(active, "start", killed_ns, TAKEOVER_LIMIT_S, what="0")
    with lab.browsing() as browser:
        browser.wait_served(TAKEOVER_LIMIT_S, after_ns=mended["at_ns"], by=active.name)
    assert orders(lab, since_ns) == []


def test_frozen_group_outlives_its_agent(lab: Lab, roles: Roles, clean: None) -> None:
    """The next agent takes it up as the operator left it, down and without its address."""
    del clean
    active, standby = roles
    since_ns = time.monotonic_ns()
    say(active, "group", "freeze", "web")
    Agent(standby).wait(lambda s: group(s)["frozen"], TAKEOVER_LIMIT_S, "frozen there too")
    lab.services.kill(active)
    active.signal_agent(signal.SIGKILL)
    active.run("ip", "address", "del", f"{VIP}/24", "dev", "eth0")
    active.start_agent()
    seen = Agent(active).wait(lambda s: role(s) == "active", READY_LIMIT_S, "taken up")
    assert group(seen)["frozen"]
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    assert lab.services.told(since_ns, "start") == lab.services.told(since_ns, "stop") == []
    assert VIP not in active.run("ip", "address").stdout
    assert orders(lab, since_ns) == []
    say(active, "group", "unfreeze", "web")
    with lab.browsing() as browser:
        browser.wait_served(TAKEOVER_LIMIT_S, after_ns=time.monotonic_ns(), by=active.name)
    ready(lab)


def test_maintenance_lets_the_pair_alone(lab: Lab, roles: Roles, clean: None) -> None:
    """In maintenance nobody takes over from a lost active; afterwards the standby does."""
    del clean
    active, standby = roles
    say(active, "maintenance", "on")
    Agent(standby).wait(lambda s: s["maintenance"], TAKEOVER_LIMIT_S, "maintenance")
    lost_ns = lab.power_off(active.name)
    Agent(standby).wait(lambda s: "maintenance" in blocked(s), TAKEOVER_LIMIT_S, "named reason")
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    assert orders(lab, lost_ns) == []
    assert VIP not in standby.run("ip", "-o", "address").stdout
    say(standby, "maintenance", "off")
    taken_over(lab, active, standby, lost_ns)
