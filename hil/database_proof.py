# SPDX-License-Identifier: GPL-2.0-or-later
"""Failovers of mixed kinds under a client that writes all the time: is what was acknowledged there?

Usage: python -m hil.database_proof [COUNT [SEED [async]]]. Needs root. Prints a line for each one,
and ends with 1 as soon as a row is missing (sync), too much is (async), one was never sent, or both
servers wrote in one timeline or at one time.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from hil.agent import Agent, takeover_possible
from hil.database import MAX_LAG, Writer, in_sync, options, rows, streams, writing
from hil.database_faults import ANY, ASYNC, Fault, agent_dies, mend
from hil.database_logs import Left, Logs
from hil.drills import running
from hil.lab import Lab
from hil.machine import Machine
from hil.record import NotSeenError
from hil.watch import ready

COUNT = 50
DISK_MIB = 1024
WORKS_S = 1.0
BUSY_S = 240.0
"""A machine with ten times its load takes a minute to start an agent."""
TOLD_S = 1.0
"""An agent asks its server four times a second how far it is, and tells it with each heartbeat."""


@dataclass(frozen=True, slots=True)
class Round:
    """One failover, as the client met it."""

    kind: str
    gap_ms: float
    moved: bool
    lost: int
    left: Left


@dataclass(slots=True)
class Ledger:
    """All rows that were ever sent, of any round."""

    acked: set[int] = field(default_factory=set)
    tried: set[int] = field(default_factory=set)

    def enter(self, writer: Writer) -> None:
        """Take in what somebody wrote, who writes no more."""
        self.acked |= writer.acked()
        self.tried |= writer.tried()

    def lost(self, machine: Machine) -> int:
        """Count the acknowledged rows that a server has not, and forget them.

        Raises:
            AssertionError: It has rows that nobody sent.
        """
        there = rows(machine)
        assert there <= self.tried, f"{len(there - self.tried)} rows that nobody sent"
        gone = self.acked - there
        self.acked -= gone
        return len(gone)


def drawn(count: int, seed: int, *, sync: bool) -> list[Fault]:
    """So many faults in any order, every kind at least once if there are enough."""
    faults = ANY if sync else ASYNC
    kinds = [faults[n % len(faults)] for n in range(count)]
    random.Random(seed).shuffle(kinds)  # noqa: S311  # which fault comes next
    return kinds


def prove(
    lab: Lab, kinds: Sequence[Fault], tell: Callable[[Round], None], *, sync: bool
) -> list[Round]:
    """One failover after the other.

    Raises:
        AssertionError: Rows are missing or invented, or both servers wrote.
        NotSeenError: The pair did not come back to a state from which it could fail over.
    """
    ledger, logs = Ledger(), Logs(lab)
    rounds = []
    for kind in kinds:
        active, standby = settled(lab)
        back(lab, active, sync=sync)
        logs.begin(active)
        known = len(Agent(standby).history())
        with writing(lab) as writer:
            begun_ns = time.monotonic_ns()
            kind(lab, active, standby)
            writer.wait_acked(after_ns=time.monotonic_ns() + int(WORKS_S * 1e9))
            mend(lab)
            for machine in lab.machines.values():
                if kind is agent_dies and machine.is_on and not _has_agent(machine):
                    machine.start_agent()
            holder, _ = settled(lab)
            back(lab, holder, sync=sync)
        ledger.enter(writer)
        done = Round(
            kind.__name__,
            writer.gap_ms(begun_ns),
            holder is not active,
            ledger.lost(holder),
            logs.judge(),
        )
        rounds.append(done)
        tell(done)
        if sync:
            assert done.lost == 0, f"{done.lost} acknowledged rows are lost"
        elif done.lost:
            reported(done, Agent(standby).history()[known:])
    return rounds


def _has_agent(machine: Machine) -> bool:
    """Whether one runs there, or is being loaded."""
    try:
        return running(machine, "run") > 0
    except NotSeenError:
        return False


def reported(done: Round, records: list[dict[str, Any]]) -> None:
    """A loss is within `max_lag`, and the history tells of it.

    Raises:
        AssertionError: It is not, or does not.
    """
    told = [record for record in records if "data_behind" in record]
    assert told, f"{done.lost} rows were lost, and the history does not tell: {records}"
    behind = max(record["data_behind"] for record in told)
    heard_ns = min(record["marks_ns"]["last_frame"] for record in told)
    heard_s = time.time() - (time.monotonic_ns() - heard_ns) / 1e9
    least = done.left.size(heard_s - TOLD_S)
    assert least <= behind <= MAX_LAG, f"told {behind} bytes of {least} and more"


def settled(lab: Lab) -> tuple[Machine, Machine]:
    """The active and the standby, on a machine that may be very busy."""
    answer = lab.client.wait_served(BUSY_S, after_ns=time.monotonic_ns())
    active = lab.machines[answer["node"]]
    for machine in (active, lab.other(active)):
        Agent(machine).wait(takeover_possible, BUSY_S, "takeover possible")
    return ready(lab)


def back(lab: Lab, active: Machine, *, sync: bool) -> None:
    """Wait until the other node could take over without a loss, as far as that can be."""
    if sync:
        in_sync(lab, active)
    else:
        streams(lab, lab.other(active))


def main() -> None:
    """The arguments are above."""
    words = sys.argv[1:]
    count = int(words[0]) if words else COUNT
    seed = int(words[1]) if len(words) > 1 else 1
    sync = "async" not in words[2:]
    own = (
        options("sync", 'sync_wait = "3s"', disk_mib=DISK_MIB)
        if sync
        else options(disk_mib=DISK_MIB)
    )
    with Lab(own) as lab:
        lab.power_on()
        numbers = iter(range(1, count + 1))
        rounds = prove(
            lab,
            drawn(count, seed, sync=sync),
            lambda r: print(  # noqa: T201  # a program
                f"{next(numbers):3d} {r.kind:12} gap {r.gap_ms:6.0f} ms  lost {r.lost} rows,"
                f" {r.left.size()} bytes left behind",
                flush=True,
            ),
            sync=sync,
        )
    for kind in sorted({each.kind for each in rounds}):
        gaps = [each.gap_ms for each in rounds if each.kind == kind]
        text = f"{kind}: {len(gaps)} times, gap {median(gaps):.0f} ms (median), {max(gaps):.0f}"
        print(text)  # noqa: T201  # a program


if __name__ == "__main__":
    main()
