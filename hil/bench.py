# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench`: how long a failover and a switchover take, and what an idle node costs."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from hil.agent import Agent, role
from hil.fence_bench import fence_figures
from hil.figure import Figure
from hil.lab import Lab
from hil.pair import Options
from hil.processes import end, spawn, stat
from hil.proof import held_alone, taken_over
from hil.watch import TAKEOVER_LIMIT_S, power_entry, ready, wait_standby

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hil.machine import Machine

DEAD_AFTER_MS = 1_000.0
SETTLE_S = 0.7
"""Served this long before each fault."""
IDLE_S = 60.0
LOAD_PROCESSES = 8
DEFAULTS = Options(check_every="30s")
"""A pair in which every time has the agent's default."""
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Failover:
    """One failover by freeze, in ms, by those outside the agents."""

    decision_ms: float
    """From the last frame on the LAN to the fence order, beyond dead_after."""
    bmc_ms: float
    """From the fence order to the reading that was the proof."""
    takeover_ms: float
    """From that reading to the first announcement."""
    outage_ms: float
    """Longest time the client had no answer."""


def fail_over(lab: Lab) -> Failover:
    """Freeze the active, wait for all to be well again, and return the times."""
    active, standby = steady(lab)
    frozen = active.freeze()
    taken_over(lab, active, standby, frozen.at_ns)
    active.thaw(frozen)
    order = power_entry(lab, active, frozen.at_ns, what="order", order="power_off")
    announced = lab.observer.first_announcement(standby.mac, frozen.at_ns)
    assert order is not None
    assert announced is not None
    # Up to the order, since freezing its processes takes a moment in which a last beat may leave.
    beat_ns = lab.observer.last_beat_ns(active.mac, order["at_ns"])
    assert beat_ns is not None
    proofs = [
        entry["at_ns"]
        for entry in lab.power.since(order["at_ns"])
        if entry["node"] == active.name
        and entry["what"] == "read"
        and entry["state"] == "off"
        and entry["at_ns"] < announced["at_ns"]
    ]
    outage_ms = lab.client.outage_ms(frozen.at_ns - int(100 * _NS_PER_MS))
    wait_standby(active)
    return Failover(
        (order["at_ns"] - beat_ns) / _NS_PER_MS - DEAD_AFTER_MS,
        (proofs[-1] - order["at_ns"]) / _NS_PER_MS,
        (announced["at_ns"] - proofs[-1]) / _NS_PER_MS,
        outage_ms,
    )


def switch_over(lab: Lab) -> float:
    """Ask for a switchover; return the client's outage in ms."""
    active, standby = steady(lab)
    asked_ns = time.monotonic_ns()
    reply = Agent(active).ask("switchover")
    assert reply["ok"], reply["message"]
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=asked_ns, by=standby.name)
    Agent(standby).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "active")
    held_alone(lab, standby, served["at_ns"])
    return lab.client.outage_ms(asked_ns, served["at_ns"])


def steady(lab: Lab) -> tuple[Machine, Machine]:
    """A pair that has served for a while: active and standby."""
    roles = ready(lab)
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=time.monotonic_ns() + int(SETTLE_S * 1e9))
    return roles


def agent_processes(machine: Machine) -> list[int]:
    """The agent and all its workers: everything in the machine but the bench's process 1."""
    return [pid for pid in machine.processes() if pid != machine.pid]


def cpu_s(pids: Sequence[int]) -> float:
    """Processor time that living processes have used, seconds."""
    ticks = 0
    for pid in pids:
        fields = stat(pid)
        ticks += int(fields[11]) + int(fields[12])  # proc(5): utime, stime
    return ticks / os.sysconf("SC_CLK_TCK")


def pss_mib(pids: Sequence[int]) -> float:
    """Proportional set size of processes together, MiB."""
    kib = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kib += int(line.split()[1])
    return kib / 1024


def idle_costs(lab: Lab, seconds: float) -> list[Figure]:
    """What both nodes' agents use while nothing happens: % of one core, and MiB."""
    active, standby = ready(lab)
    lab.client.close()
    lab.observer.close()
    pids = {name: agent_processes(machine) for name, machine in lab.machines.items()}
    before = {name: cpu_s(of) for name, of in pids.items()}
    begun_s = time.monotonic()
    threading.Event().wait(seconds)
    took_s = time.monotonic() - begun_s
    used = [100 * (cpu_s(of) - before[name]) / took_s for name, of in pids.items()]
    lab.power_off(standby.name)  # it shares pages with the other, as on two machines it would not
    sizes = [pss_mib(agent_processes(active))]
    return [
        Figure("idle: processor of a node", "% of a core", used, 1.5),
        Figure("idle: memory of a node (PSS)", "MiB", sizes, 120.0),
    ]


def failover_figures(runs: int, console: Console) -> list[Figure]:
    """Measure failovers and switchovers on one pair."""
    options = replace(DEFAULTS, timing={"max_fences": 100})
    with Lab(options) as lab:
        lab.power_on()
        failovers = []
        for number in range(runs):
            with console.status(f"failover {number + 1} of {runs}"):
                failovers.append(fail_over(lab))
        switchovers = []
        for number in range(runs):
            with console.status(f"switchover {number + 1} of {runs}"):
                switchovers.append(switch_over(lab))
    # The client may lose what detection and the BMC take, and 100 ms.
    extra = [f.outage_ms - DEAD_AFTER_MS - f.bmc_ms for f in failovers]
    return [
        Figure("last frame to fence order, beyond dead_after", "ms", _of(failovers, 0), 20),
        Figure("fence order to read off (the BMC)", "ms", _of(failovers, 1), float("inf")),
        Figure("read off to first announcement", "ms", _of(failovers, 2), 50),
        Figure("client's outage", "ms", _of(failovers, 3), float("inf")),
        Figure("client's outage, beyond dead_after and BMC", "ms", extra, 100),
        Figure("client's outage at a switchover", "ms", switchovers, 150),
    ]


def _of(failovers: Sequence[Failover], field: int) -> list[float]:
    names = ("decision_ms", "bmc_ms", "takeover_ms", "outage_ms")
    return [float(getattr(failover, names[field])) for failover in failovers]


def false_failovers(minutes: float, console: Console) -> Figure:
    """Count shots and moves of the service while both cores are loaded, at defaults."""
    with Lab(DEFAULTS) as lab:
        lab.power_on()
        active, _ = steady(lab)
        since_ns = time.monotonic_ns()
        with load(lab.directory), console.status(f"{minutes:g} minutes under load"):
            threading.Event().wait(60 * minutes)
        shots = [e for e in lab.power.since(since_ns) if e["what"] == "order"]
        moves = [mac for mac in lab.observer.holders(since_ns) if mac != active.mac]
    return Figure(f"false failovers in {minutes:g} min of load", "", [len(shots) + len(moves)], 0)


@contextmanager
def load(directory: Path) -> Iterator[None]:
    """Busy processes on all cores, and one that writes to the disk."""
    busy = [sys.executable, "-c", "while True: pass"]
    write = f"dd if=/dev/zero of={directory}/load bs=1M count=64 conv=fsync"
    writer = ["sh", "-c", f"while :; do {write}; done"]
    started = [spawn(busy) for _ in range(LOAD_PROCESSES)]
    started.append(spawn(writer, stderr=subprocess.DEVNULL))
    try:
        yield
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            end(process)


def show(console: Console, figures: Sequence[Figure]) -> None:
    """Print medians and worst with the conditions under which they were measured."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("", "n", "median", "worst", "limit", "unit", ""):
        table.add_column(name, justify="left" if name in {"", "unit"} else "right")
    for figure in figures:
        limit = "" if figure.limit == float("inf") else f"{figure.limit:g}"
        mark = "" if not limit else "[green]✔[/]" if figure.held else "[red]✘[/]"
        table.add_row(
            figure.name,
            str(len(figure.values)),
            f"{statistics.median(figure.values):.1f}",
            f"{max(figure.values):.1f}",
            limit,
            figure.unit,
            mark,
        )
    console.print(table)
    console.print(
        f"[dim]{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Linux {platform.release()},"
        f" Python {platform.python_version()}; both nodes, their BMCs, the client and the observer"
        " on this one machine; off_settle 0s, max_fences 100, otherwise defaults.[/]"
    )


def main() -> None:
    """See --help."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="failovers, and switchovers")
    parser.add_argument("--idle", type=float, default=IDLE_S, help="seconds of idling, 0 for none")
    parser.add_argument("--load", type=float, default=0.0, help="minutes under load, 0 for none")
    wanted = parser.parse_args()
    console = Console(highlight=False)
    figures: list[Figure] = []
    if wanted.runs:
        figures += fence_figures(wanted.runs)
        figures += failover_figures(wanted.runs, console)
    if wanted.idle:
        with Lab(DEFAULTS) as lab, console.status(f"idling for {wanted.idle:g} s"):
            lab.power_on()
            figures += idle_costs(lab, wanted.idle)
    if wanted.load:
        figures.append(false_failovers(wanted.load, console))
    show(console, figures)
    raise SystemExit(0 if all(figure.held for figure in figures) else 1)


if __name__ == "__main__":
    main()
