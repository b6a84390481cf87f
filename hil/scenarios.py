# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be done to the pair in the demo, one function a scenario."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hil.agent import Agent, blocked, link_state, role, takeover_possible
from hil.failover import tell_failover
from hil.pair import Options, bmc_address
from hil.watch import READY_LIMIT_S, TAKEOVER_LIMIT_S, orders, ready, wait_standby

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.machine import Machine
    from hil.stage import Stage

WATCH_S = 6.0
"""How long it is watched that nothing happens: six times dead_after."""
STEADY_NS = 700_000_000
"""How long the client is served before the fault, so that one sees the difference."""


def steady(stage: Stage) -> tuple[Machine, Machine]:
    """A pair that could take over and has served for a while: the active and the standby."""
    active, standby = ready(stage.lab)
    stage.lab.client.wait_served(READY_LIMIT_S, after_ns=time.monotonic_ns() + STEADY_NS)
    return active, standby


def freeze(stage: Stage) -> None:
    """The active machine hangs; what is left of it is thawed at the end."""
    active, standby = steady(stage)
    stage.say(f"{active.name} is active, {standby.name} could take over. Freezing {active.name}.")
    frozen = active.freeze()
    stage.note(
        frozen.at_ns, "bench", f"{active.name} freezes: its {len(frozen.pidfds)} processes stop"
    )
    tell_failover(stage, active, standby, frozen.at_ns)
    left = active.thaw(frozen)
    stage.say(f"Thawing what is left of the frozen {active.name}: {left} of {len(frozen.pidfds)}.")
    stage.check(left == 0, "nothing of the frozen machine was left to be thawed")
    thawed_ns = time.monotonic_ns()
    wait_standby(active)
    stage.lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=thawed_ns + STEADY_NS)
    stage.check(
        stage.lab.observer.holders(thawed_ns) == [standby.mac],
        f"since then only {standby.name} answered for the address",
        f"{len(stage.lab.observer.sightings(thawed_ns))} answers",
    )


def poweroff(stage: Stage) -> None:
    """The active machine loses its power; its BMC is alive and says so."""
    active, standby = steady(stage)
    stage.say(
        f"{active.name} is active, {standby.name} could take over. Pulling {active.name}'s plug."
    )
    fault_ns = stage.lab.power_off(active.name)
    stage.note(fault_ns, "bench", f"{active.name} loses its power")
    tell_failover(stage, active, standby, fault_ns)
    wait_standby(active)


def agent_killed(stage: Stage) -> None:
    """The agent of the active is killed and nobody restarts it; its service still runs."""
    active, standby = steady(stage)
    stage.say(
        f"{active.name} is active, {standby.name} could take over. Killing {active.name}'s agent."
    )
    fault_ns = time.monotonic_ns()
    active.signal_agent(signal.SIGKILL)
    stage.note(fault_ns, "bench", f"the agent of {active.name} is killed")
    tell_failover(stage, active, standby, fault_ns)
    wait_standby(active)


def partition(stage: Stage) -> None:
    """No heartbeat passes, but the active still serves: it gets its grace, then is shot."""
    active, standby = steady(stage)
    grace = stage.lab.options.timing["serving_grace"]
    stage.say(
        f"{active.name} is active. Losing all heartbeats; it still serves ({grace} of grace)."
    )
    fault_ns = time.monotonic_ns()
    for machine in (active, standby):
        stage.lab.network.lose_from(machine.name, "lan", heartbeat_only=True)
        stage.lab.network.cut(machine.name, "ring")
    stage.note(fault_ns, "bench", "heartbeats are lost on all links")
    tell_failover(stage, active, standby, fault_ns, mend=stage.lab.network.heal)
    stage.check(
        not orders(stage.lab, fault_ns, standby),
        f"nobody shot {standby.name}: only who gains shoots",
    )


def ring_loss(stage: Stage) -> None:
    """The direct cable breaks: the pair is degraded and says so, and that is all."""
    active, standby = steady(stage)
    stage.say(f"{active.name} is active, {standby.name} could take over. Pulling the ring cable.")
    fault_ns = time.monotonic_ns()
    stage.lab.network.cut(active.name, "ring")
    stage.note(fault_ns, "bench", "the ring cable is pulled")
    for machine in (active, standby):
        status = Agent(machine).wait(
            lambda s: link_state(s, "ring") != "up", TAKEOVER_LIMIT_S, "the lost link in its status"
        )
        stage.check(
            link_state(status, "lan") == "up",
            f"{machine.name} says which link is lost, and which lives",
        )
        stage.note(time.monotonic_ns(), "agent", f"{machine.name}: link ring is lost")
    watch_quiet(stage, fault_ns)
    status = Agent(standby).wait(takeover_possible, TAKEOVER_LIMIT_S, "takeover possible")
    stage.check(status["condition"] == "degraded", "the pair is degraded; a takeover would work")
    stage.lab.network.heal()


def dead_bmc(stage: Stage) -> None:
    """The active loses its power and its BMC: no proof, no takeover, until the operator says so."""
    active, standby = steady(stage)
    stage.say(f"{active.name} is active. Its power fails, and its BMC with it.")
    stage.lab.network.lose_to(bmc_address(active.name))
    fault_ns = stage.lab.power_off(active.name)
    stage.note(fault_ns, "bench", f"{active.name} and its BMC lose their power")
    status = Agent(standby).wait(
        lambda s: "fence_unconfirmed" in blocked(s),
        2 * TAKEOVER_LIMIT_S,
        "the reason in its status",
    )
    stage.note(time.monotonic_ns(), "agent", f"{standby.name} is blocked: fence_unconfirmed")
    stage.check(role(status) != "active", f"{standby.name} did not take over without proof")
    stage.check(
        not stage.lab.observer.sightings(fault_ns + GRACE_NS), "nobody answers for the address"
    )
    stage.say("The operator looks, sees that it is off, and says so: haagent confirm-off")
    said_ns = time.monotonic_ns()
    Agent(standby).ask("confirm-off")
    stage.note(said_ns, "bench", "the operator confirms: it is off")
    served = stage.lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=said_ns, by=standby.name)
    stage.note(served["at_ns"], "client", f"first answer of {standby.name}")
    stage.check(held=True, text=f"{standby.name} serves on the operator's word")
    stage.lab.network.heal()


def switchover(stage: Stage) -> None:
    """The operator hands the service over, there and back."""
    for _ in range(2):
        active, standby = steady(stage)
        stage.say(f"{active.name} is active. The operator asks for a switchover.")
        asked_ns = time.monotonic_ns()
        stage.note(asked_ns, "bench", f"haagent switchover on {active.name}")
        Agent(active).ask("switchover")
        served = stage.lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=asked_ns, by=standby.name)
        stage.note(served["at_ns"], "client", f"first answer of {standby.name}")
        Agent(standby).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "active")
        outage_ms = stage.lab.client.outage_ms(asked_ns)
        stage.phases.append((f"client's outage to {standby.name}", outage_ms))
        stage.check(not orders(stage.lab, asked_ns), "nobody was shot")
        stage.lab.observer.wait_holder(standby.mac, TAKEOVER_LIMIT_S, after_ns=served["at_ns"])
        holders = stage.lab.observer.holders(served["at_ns"])
        stage.check(holders == [standby.mac], "one hardware address holds the address")


def watch_quiet(stage: Stage, fault_ns: int) -> None:
    """Watch for a while that nobody is shot and the service stays where it is."""
    holders_before = stage.lab.observer.holders(0, fault_ns)[-1:]
    threading.Event().wait(WATCH_S)  # nothing is to happen, so there is no event to wait for
    stage.check(not orders(stage.lab, fault_ns), f"nobody was shot in {WATCH_S:g} s")
    stage.check(
        stage.lab.observer.holders(fault_ns) == holders_before, "the address stayed where it was"
    )
    outage_ms = stage.lab.client.outage_ms(fault_ns)
    stage.check(outage_ms < 500, "the client noticed nothing", f"longest gap {outage_ms:.0f} ms")


GRACE_NS = 200_000_000
"""What was already on its way when the power went."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One choice of `make demo SCENARIO=...`."""

    play: Callable[[Stage], None]
    options: Options = field(default_factory=Options)


SCENARIOS = {
    "freeze": Scenario(freeze),
    "poweroff": Scenario(poweroff),
    "agent-killed": Scenario(agent_killed),
    "ring-loss": Scenario(ring_loss),
    "partition": Scenario(partition, Options(probe=True, timing={"serving_grace": "3s"})),
    "dead-bmc": Scenario(dead_bmc),
    "switchover": Scenario(switchover),
}
