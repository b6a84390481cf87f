# SPDX-License-Identifier: GPL-2.0-or-later
"""What a database costs, and how long it is away: promotion, switchover, commits under agents.

Usage: python -m hil.database_figures [SWITCHOVERS [SECONDS]]. Needs root; a line for each figure.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from statistics import median

from hil.agent import Agent, role
from hil.database import GROUP, LIMIT_S, Writer, in_sync, options
from hil.database_proof import settled
from hil.lab import Lab
from hil.machine import Machine

SWITCHOVERS = 20
SECONDS = 10.0
PAIRS = 6
"""Times that the commits are counted with and without the agents, in turn."""


def promotions(machines: list[Machine]) -> list[int]:
    """How long each promotion took, by the agents' own logs, ms."""
    events = [event for machine in machines for event in machine.agent_events()]
    return [int(str(e["took_ms"])) for e in events if e["event"] == "postgresql.promoted"]


def rate(writer: Writer, seconds: float) -> float:
    """Commits a second from now on."""
    from_ns = time.monotonic_ns()
    threading.Event().wait(seconds)
    acked = [e for e in writer.record.since(from_ns) if e["what"] == "acked"]
    return len(acked) / seconds


def main() -> None:
    """The arguments are above."""
    words = sys.argv[1:]
    count = int(words[0]) if words else SWITCHOVERS
    seconds = float(words[1]) if len(words) > 1 else SECONDS
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
        managed, alone = [], []
        for _ in range(PAIRS):
            managed.append(rate(writer, seconds))
            for machine in (active, standby):
                machine.signal_agent(signal.SIGUSR1)  # the servers run on
            alone.append(rate(writer, seconds))
            for machine in (active, standby):
                machine.start_agent()
            settled(lab)
            in_sync(lab, active)
        _tell("commits a second, with the agents", managed)
        _tell("commits a second, without", alone)
        parts = [a / b for a, b in zip(managed, alone, strict=True)]
        _tell("with, as a part of without", parts)
        _tell("the same, of all seconds together", [sum(managed) / sum(alone)])
        writer.close()


def _tell(name: str, values: list[float] | list[int]) -> None:
    text = f"{name}: n {len(values)}, median {median(values):.2f}, worst {max(values):.2f}"
    print(f"{text}, least {min(values):.2f}", flush=True)  # noqa: T201  # a program


if __name__ == "__main__":
    main()
