# SPDX-License-Identifier: GPL-2.0-or-later
"""`make recordings`: real pairs on the bench go through what tests/recordings holds the core to."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from haagent.blackbox import DIRECTORY
from haagent.blackbox.ring import segments_in
from hil import scenarios
from hil.agent import Agent, blocked, role
from hil.groups import WEB
from hil.lab import Lab
from hil.pair import NODES, Options
from hil.record import NotSeenError
from hil.scenarios import SCENARIOS, steady
from hil.services import FAIL
from hil.stage import Stage
from hil.watch import TAKEOVER_LIMIT_S, ready, wait_standby

RECORDINGS = Path(__file__).parents[1] / "tests" / "recordings"
ALPHA, BETA = NODES


@dataclass(frozen=True, slots=True)
class Take:
    """One scenario, and whose black boxes are kept of it."""

    play: Callable[[Stage], None]
    nodes: tuple[str, ...]
    options: Options = scenarios.SCENARIOS["freeze"].options


def isolated(stage: Stage) -> None:
    """The standby loses both its cables, shoots nobody, and gets them back."""
    active, standby = steady(stage)
    for wire in ("lan", "ring"):
        stage.lab.network.cut(standby.name, wire)
    Agent(standby).wait(lambda s: "isolated" in blocked(s), TAKEOVER_LIMIT_S, "isolated")
    stage.lab.network.heal()
    wait_standby(standby)
    Agent(active).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "still active")


def maintained(stage: Stage) -> None:
    """In maintenance nothing is taken over; the active is powered on again by hand."""
    active, standby = steady(stage)
    Agent(standby).ask("maintenance", on=True)
    stage.lab.power_off(active.name)
    Agent(standby).wait(lambda s: "maintenance" in blocked(s), TAKEOVER_LIMIT_S, "maintenance")
    stage.lab.power_on(active.name)
    Agent(standby).wait(
        lambda s: s["peer_state"]["phase"] == "alive", TAKEOVER_LIMIT_S, f"{active.name} again"
    )
    Agent(standby).ask("maintenance", on=False)
    ready(stage.lab)


def lost_service(stage: Stage) -> None:
    """The service dies twice: it is restarted in place, then handed over."""
    active, standby = steady(stage)
    since_ns = time.monotonic_ns()
    stage.lab.services.kill(active)
    stage.lab.services.wait(active, "start", since_ns, TAKEOVER_LIMIT_S, what="0")
    stage.lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=time.monotonic_ns(), by=active.name)
    stage.lab.services.kill(active)
    stage.lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=time.monotonic_ns(), by=standby.name)
    Agent(standby).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "active")


def start_fails(stage: Stage) -> None:
    """A switchover to a node on which the service does not start: it comes back."""
    active, standby = steady(stage)
    stage.lab.services.spoil(standby, "start", FAIL)
    since_ns = time.monotonic_ns()
    with Agent(active).asking("switchover"):
        failed = stage.lab.services.wait(standby, "start", since_ns, TAKEOVER_LIMIT_S, what="1")
        stage.lab.services.wait(active, "start", failed["at_ns"], TAKEOVER_LIMIT_S, what="0")
        Agent(active).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "active")


TAKES = {
    "freeze": Take(scenarios.freeze, (ALPHA, BETA)),
    "agent-killed": Take(scenarios.agent_killed, (BETA,)),
    "partition": Take(scenarios.partition, (ALPHA, BETA), SCENARIOS["partition"].options),
    "dead-bmc": Take(scenarios.dead_bmc, (BETA,)),
    "switchover": Take(scenarios.switchover, (ALPHA, BETA)),
    "isolated": Take(isolated, (BETA,)),
    "maintained": Take(maintained, (BETA,)),
    "lost-service": Take(lost_service, (ALPHA, BETA), WEB),
    "start-fails": Take(start_fails, (ALPHA, BETA), WEB),
}


def take(name: str, directory: Path, console: Console) -> bool:
    """Play one and keep its recordings; False if it did not go as it should."""
    wanted = TAKES[name]
    console.rule(name)
    with Lab(wanted.options) as lab:
        lab.power_on()
        stage = Stage(lab, console)
        try:
            wanted.play(stage)
        except NotSeenError as error:
            console.print(f"not recorded: {error}")
            return False
        for check in stage.checks:
            if not check.held:  # It is told as it was: look at the story whether it will do.
                console.print(f"[red]did not hold:[/] {check.text} {check.detail}")
        for node in wanted.nodes:
            machine = lab.machines[node]
            if machine.is_on:
                Agent(machine).ask("black-box")
            box = machine.disk / "haagent" / DIRECTORY
            data = b"".join(path.read_bytes() for path in segments_in(box))
            (directory / f"{name}-{node}.box").write_bytes(data)
            console.print(f"{name}-{node}.box: {len(data)} bytes")
    return True


def main() -> None:
    """See --help."""
    parser = argparse.ArgumentParser(prog="recordings", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(TAKES)}; all if left out")
    parser.add_argument("--to", type=Path, default=RECORDINGS, help="directory")
    wanted = parser.parse_args()
    unknown = set(wanted.names) - set(TAKES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    console = Console(highlight=False)
    done = [take(name, wanted.to, console) for name in wanted.names or TAKES]
    sys.exit(0 if all(done) else 1)


if __name__ == "__main__":
    main()
