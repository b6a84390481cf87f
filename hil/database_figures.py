# SPDX-License-Identifier: GPL-2.0-or-later
"""What a database costs, and how long it is away: promotion, switchover, commits under agents.

Usage: python -m hil.database_figures [SWITCHOVERS [WINDOWS]]. Needs root; a line for each figure.

A server's own rate wanders by a tenth from one second to the next, so what the agents cost is told
by many short windows in turn: in every other one their processes are stopped, and the servers run.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from bisect import bisect
from dataclasses import replace
from pathlib import Path
from statistics import median

from hil.agent import Agent, role
from hil.bench import agent_processes, cpu_s
from hil.database import GROUP, LIMIT_S, Writer, in_sync, options
from hil.database_proof import settled
from hil.lab import Lab
from hil.machine import Machine

SWITCHOVERS = 20
WINDOWS = 600
"""Times that the commits are counted with the agents, and as often without, in turn."""
WINDOW_S = 0.5
TIMING: dict[str, str | int] = {"suspect_after": "2s", "dead_after": "4s"}
"""So that nobody misses an agent that is stopped for a window."""


def promotions(machines: list[Machine]) -> list[int]:
    """How long each promotion took, by the agents' own logs, ms."""
    events = [event for machine in machines for event in machine.agent_events()]
    return [int(str(e["took_ms"])) for e in events if e["event"] == "postgresql.promoted"]


def agents(machines: list[Machine]) -> list[int]:
    """The processes of all agents, none of a server."""
    pids = [pid for machine in machines for pid in agent_processes(machine)]
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text() != "postgres\n"]


def commits(writer: Writer, machines: list[Machine], windows: int) -> tuple[list[int], list[int]]:
    """Commits in each window with the agents, and in each without them."""
    counts: dict[signal.Signals, list[int]] = {signal.SIGCONT: [], signal.SIGSTOP: []}
    bounds: list[tuple[signal.Signals, int, int]] = []
    for at in range(2 * windows):
        # Twice the same order would give one side every second half.
        number = (signal.SIGCONT, signal.SIGSTOP)[(at + at // 2) % 2]
        for pid in agents(machines):
            os.kill(pid, number)
        from_ns = time.monotonic_ns()
        threading.Event().wait(WINDOW_S)
        bounds.append((number, from_ns, time.monotonic_ns()))
    for pid in agents(machines):
        os.kill(pid, signal.SIGCONT)
    acked = [e["at_ns"] for e in writer.record.since(bounds[0][1]) if e["what"] == "acked"]
    for number, from_ns, to_ns in bounds:
        counts[number].append(bisect(acked, to_ns) - bisect(acked, from_ns))
    return counts[signal.SIGCONT], counts[signal.SIGSTOP]


def main() -> None:
    """The arguments are above."""
    words = sys.argv[1:]
    count = int(words[0]) if words else SWITCHOVERS
    windows = int(words[1]) if len(words) > 1 else WINDOWS
    switchovers(count)
    costs(windows)


def switchovers(count: int) -> None:
    """How long a switchover takes for a client that writes, and how long its promotion."""
    with Lab(options("sync", 'sync_wait = "3s"')) as lab:
        lab.power_on()
        active, standby = settled(lab)
        in_sync(lab, active)
        writer = Writer(lab)
        writer.wait_acked()
        gaps = []
        for _ in range(count):
            begun_ns = time.monotonic_ns()
            assert Agent(active).ask("switchover", group=GROUP)["ok"]
            Agent(standby).wait(lambda s: role(s, GROUP) == "active", LIMIT_S, "moved")
            active, standby = standby, active
            in_sync(lab, active)
            writer.wait_acked(after_ns=time.monotonic_ns())
            gaps.append(writer.gap_ms(begun_ns))
        _tell("switchover, longest time between two commits, ms", gaps)
        _tell("promotion, ms", promotions(list(lab.machines.values())))
        writer.close()


def costs(windows: int) -> None:
    """What the commits of a client lose to agents with the times that they have by default."""
    hasty = options("sync")
    tables = (hasty.tables or "").replace('interval = "1s"\n', "")
    with Lab(replace(hasty, timing=TIMING, check_every="30s", tables=tables)) as lab:
        lab.power_on()
        active, _standby = settled(lab)
        in_sync(lab, active)
        lab.client.close()
        lab.observer.close()
        writer = Writer(lab)
        writer.wait_acked()
        machines = list(lab.machines.values())
        before_s, begun_s = cpu_s(agents(machines)), time.monotonic()
        managed, alone = commits(writer, machines, windows)
        took_s = time.monotonic() - begun_s
        used = 100 * (cpu_s(agents(machines)) - before_s) / took_s
        writer.close()
    _tell("commits in a window, with the agents", managed)
    _tell("commits in a window, without", alone)
    _tell("with, as a part of without, of all windows together", [sum(managed) / sum(alone)])
    _tell("processor of all agents, % of one core, half of the time stopped", [used])


def _tell(name: str, values: list[float] | list[int]) -> None:
    text = f"{name}: n {len(values)}, median {median(values):.2f}, worst {max(values):.2f}"
    print(f"{text}, least {min(values):.2f}", flush=True)  # noqa: T201  # a program


if __name__ == "__main__":
    main()
