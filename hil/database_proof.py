# SPDX-License-Identifier: GPL-2.0-or-later
"""Failovers of mixed kinds under a client that writes all the time: is what was acknowledged there?

Usage: python -m hil.database_proof [COUNT [SEED [async]]]. Needs root. Prints a line for each one,
and ends with 1 as soon as a row is missing (sync), too many are (async), or one was never sent.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from hil.agent import Agent, role, takeover_possible
from hil.database import (
    GROUP,
    LIMIT_S,
    Writer,
    ask,
    in_sync,
    leader,
    options,
    part,
    streams,
)
from hil.drills import running
from hil.lab import Lab
from hil.machine import Machine
from hil.record import NotSeenError
from hil.watch import ready

COUNT = 50
ASYNC_LOST_MAX = 4000
"""Rows of 250 bytes of log: MAX_LAG."""
WORKS_S = 1.0
BUSY_S = 240.0
"""A machine with ten times its load takes a minute to start an agent."""
Fault = Callable[[Lab, Machine, Machine], None]


@dataclass(frozen=True, slots=True)
class Round:
    """One failover, as the client met it."""

    kind: str
    gap_ms: float
    moved: bool
    lost: int


def power(lab: Lab, active: Machine, _standby: Machine) -> None:
    """The active's plug is pulled."""
    lab.power_off(active.name)


def freeze(_lab: Lab, active: Machine, _standby: Machine) -> None:
    """All of the active hangs, its server too."""
    active.freeze()


def agent_dies(_lab: Lab, active: Machine, _standby: Machine) -> None:
    """The active's agent dies and nobody starts it again."""
    active.signal_agent(signal.SIGKILL)


def server_dies(_lab: Lab, active: Machine, _standby: Machine) -> None:
    """The server's leader dies: it is started in place."""
    os.kill(leader(active), signal.SIGKILL)


def partition(lab: Lab, active: Machine, standby: Machine) -> None:
    """The nodes hear each other no more, and clients reach both."""
    for machine in (active, standby):
        lab.network.lose_from(machine.name, "lan", heartbeat_only=True)
        lab.network.lose_from(machine.name, "ring")


def switchover(_lab: Lab, active: Machine, standby: Machine) -> None:
    """An operator orders it."""
    assert Agent(active).ask("switchover", group=GROUP)["ok"]
    Agent(standby).wait(lambda s: role(s, GROUP) == "active", LIMIT_S, "moved")


def parted_first(lab: Lab, active: Machine, standby: Machine) -> None:
    """Replication breaks, the active goes on, it is mended, and the active dies at once."""
    part(lab)
    threading.Event().wait(3 * WORKS_S)  # the client is to write meanwhile
    lab.network.heal()
    streams(lab, standby)
    Agent(standby).wait(lambda s: s["takeover"]["possible"], LIMIT_S, "promotable")
    lab.power_off(active.name)


def rebuilt(lab: Lab, active: Machine, standby: Machine) -> None:
    """The standby loses its disk and is copied anew under load; then the active dies."""
    lab.power_off(standby.name)
    shutil.rmtree(standby.disk / "pg/data")
    lab.power_on(standby.name)
    streams(lab, standby, 3 * LIMIT_S)
    Agent(standby).wait(lambda s: s["takeover"]["possible"], LIMIT_S, "promotable")
    lab.power_off(active.name)


KINDS: tuple[Fault, ...] = (
    power,
    freeze,
    agent_dies,
    server_dies,
    partition,
    switchover,
    parted_first,
    rebuilt,
)


def _has_agent(machine: Machine) -> bool:
    """Whether one runs there, or is being loaded."""
    try:
        return running(machine, "run") > 0
    except NotSeenError:
        return False


def prove(
    lab: Lab, count: int, seed: int, tell: Callable[[Round], None], *, sync: bool
) -> list[Round]:
    """So many failovers, every kind at least once if there are enough.

    Raises:
        AssertionError: Rows are missing or invented, or the two servers' histories differ.
        NotSeenError: The pair did not come back to a state from which it could fail over.
    """
    rng = random.Random(seed)  # noqa: S311  # which fault comes next
    kinds = [KINDS[n % len(KINDS)] for n in range(count)]
    rng.shuffle(kinds)
    writer = Writer(lab)
    rounds = []
    lost: set[int] = set()
    try:
        for kind in kinds:
            active, standby = settled(lab)
            back(lab, active, sync=sync)
            writer.wait_acked(LIMIT_S, after_ns=time.monotonic_ns())
            begun_ns = time.monotonic_ns()
            kind(lab, active, standby)
            writer.wait_acked(LIMIT_S, after_ns=time.monotonic_ns() + int(WORKS_S * 1e9))
            lab.network.heal()
            for machine in lab.machines.values():
                if kind is agent_dies and machine.is_on and not _has_agent(machine):
                    machine.start_agent()
            holder, _ = settled(lab)
            back(lab, holder, sync=sync)
            gone = writer.lost(holder) - lost
            lost |= gone
            done = Round(kind.__name__, writer.gap_ms(begun_ns), holder is not active, len(gone))
            rounds.append(done)
            tell(done)
            assert len(gone) <= (0 if sync else ASYNC_LOST_MAX), f"{len(gone)} rows are lost"
            assert not writer.invented(holder), "rows that nobody sent"
            histories = [ask(each, _HISTORIES) for each in lab.machines.values()]
            assert histories[0] == histories[1] != "", "two servers were primary in one timeline"
    finally:
        writer.close()
    return rounds


_HISTORIES = """
SELECT string_agg(pg_read_file('pg_wal/' || name), '' ORDER BY name DESC)
FROM (SELECT name FROM pg_ls_waldir() WHERE name LIKE '%.history' ORDER BY name DESC LIMIT 1) AS n
"""


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
    own = options("sync", 'sync_wait = "3s"') if sync else options()
    with Lab(own) as lab:
        lab.power_on()
        numbers = iter(range(1, count + 1))
        rounds = prove(
            lab,
            count,
            seed,
            lambda r: print(  # noqa: T201  # a program
                f"{next(numbers):3d} {r.kind:14} gap {r.gap_ms:6.0f} ms  lost {r.lost}", flush=True
            ),
            sync=sync,
        )
    for kind in sorted({each.kind for each in rounds}):
        gaps = [each.gap_ms for each in rounds if each.kind == kind]
        text = f"{kind}: {len(gaps)} times, gap {median(gaps):.0f} ms (median), {max(gaps):.0f}"
        print(text)  # noqa: T201  # a program


if __name__ == "__main__":
    main()
