# SPDX-License-Identifier: GPL-2.0-or-later
"""`make demo`: a pair of whole agents on this machine fails over before your eyes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from hil.lab import Lab
from hil.pair import NODES
from hil.record import NotSeenError
from hil.scenarios import SCENARIOS
from hil.stage import Stage
from hil.timeline import ribbon, show_checks, show_moments, show_phases

COLOURS = dict(zip(NODES, ("green", "blue"), strict=True))
RIBBON_LEAD_NS = 500_000_000
LOG_LINES_SHOWN = 15
EXIT_USAGE = 64
EXIT_NOT_ROOT = 77


def leave(number: int, _: FrameType | None) -> NoReturn:
    """A signal ends the demo by the ordinary way out, which cleans up; a second one is ignored."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    Console(stderr=True).print("\n[dim]Interrupted: taking the bench down.[/]")
    raise SystemExit(128 + number)


def show(stage: Stage) -> bool:
    """Print all that was seen; return whether everything held."""
    console = stage.console
    if stage.moments:
        faults = [moment.at_ns for moment in stage.moments if moment.source == "bench"]
        zero_ns = min(faults)
        console.print(Rule("timeline, in ms from the fault", style="dim"))
        show_moments(console, stage.moments, zero_ns)
        console.print(Rule("what the client saw", style="dim"))
        start_ns = zero_ns - RIBBON_LEAD_NS
        answers = stage.lab.client.record.since(start_ns)
        end_ns = max(moment.at_ns for moment in stage.moments) + RIBBON_LEAD_NS
        end_ns = min(end_ns, time.monotonic_ns())
        line, cell_ms = ribbon(answers, start_ns, end_ns, COLOURS)
        console.print(line)
        legend = "  ".join(f"[{colour}]█[/] {node}" for node, colour in COLOURS.items())
        console.print(f"{legend}  [bold red]·[/] nobody   [dim]({cell_ms:.0f} ms each)[/]")
    if stage.phases:
        console.print(Rule("phases", style="dim"))
        show_phases(console, stage.phases)
    console.print(Rule("what had to hold", style="dim"))
    show_checks(console, stage.checks)
    return bool(stage.checks) and all(check.held for check in stage.checks)


def show_logs(stage: Stage) -> None:
    """Print the ends of the agents' logs, for whoever has to find out."""
    for machine in stage.lab.machines.values():
        stage.console.print(Rule(f"last lines of {machine.name}'s agent", style="red"))
        for event in machine.agent_events()[-LOG_LINES_SHOWN:]:
            stage.console.print(Text(json.dumps(event), overflow="ellipsis", no_wrap=True))


def play(name: str, console: Console) -> int:
    """Build the pair, play a scenario, show it; 0 if all held, 1 if not."""
    scenario = SCENARIOS[name]
    console.print(Rule(f"[bold]haagent: {name}[/]"))
    console.print(f"[dim]{scenario.play.__doc__}[/]")
    with Lab(scenario.options) as lab:
        stage = Stage(lab, console)
        stage.say("Two machines get power: namespaces, real multicast and ARP, an ipmi_sim each.")
        lab.power_on()
        try:
            scenario.play(stage)
        except NotSeenError as error:
            stage.check(False, "what had to happen did happen", str(error))  # noqa: FBT003  # a fact
        held = show(stage)
        if not held:
            show_logs(stage)
    console.print(
        "[bold green]All of it held.[/]" if held else "[bold red]Not all of it held.[/]",
        "[dim]The bench is gone: no namespace, process or file is left.[/]",
    )
    return 0 if held else 1


def main() -> None:
    """Argument: a scenario."""
    console = Console(highlight=False)
    name = sys.argv[1] if len(sys.argv) > 1 else "freeze"
    if name not in SCENARIOS:
        for key, scenario in SCENARIOS.items():
            console.print(f"[bold]{key:13}[/] {scenario.play.__doc__}")
        raise SystemExit(0 if name == "help" else EXIT_USAGE)
    if os.geteuid() != 0:
        console.print("the demo needs root: it builds network namespaces")
        raise SystemExit(EXIT_NOT_ROOT)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    raise SystemExit(play(name, console))


if __name__ == "__main__":
    main()
