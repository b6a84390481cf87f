# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole agents and all kinds of witnesses that choose, each with a wall clock that is set."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from hil.agent import Agent, takeover_possible
from hil.clock import Clock, under
from hil.pair import Options
from hil.power import Behaviour, Fault
from hil.proof import taken_over, undisturbed
from hil.watch import READY_LIMIT_S, ready

from .observer_bench import ADDRESSES, TABLES, Observers
from .witness_bench import Build, etcd_beside, tables, wait_order

YEAR_S = 365 * 86_400.0
CALM_S = 6.0
"""Longer than between two looks at the witnesses, and than the observers' lease."""
GAP_MS_MAX = 3000.0
OPTIONS = Options(
    timing={"fence_retry": "1s"},
    check_every="1s",
    deadline="4s",
    under=under("/run/disk/clock"),
    more=tables() + TABLES,
)


def test_clocks_that_are_set_change_nothing(build: Build, tmp_path: Path) -> None:
    """Both agents', etcd's and the observers': at rest, and in the middle of a fence."""
    pair = build(OPTIONS)
    observers = Observers(pair, clocks=True)
    agents = {name: Clock(m.disk / "clock") for name, m in pair.machines.items()}
    try:
        with etcd_beside(pair, tmp_path, clocks=True) as etcd:
            for name in ADDRESSES:
                observers.start(name)
            pair.power_on()
            active, standby = ready(pair)
            members = [member.clock for member in etcd.members if member.clock]
            clocks = [*agents.values(), *members, *observers.clocks.values()]
            begun_ns = time.monotonic_ns()
            for number, clock in enumerate(clocks):
                clock.step(YEAR_S if number % 2 else -YEAR_S)
            threading.Event().wait(CALM_S)  # nothing is to happen: no event to wait for
            undisturbed(pair, active, begun_ns, gap_ms_max=GAP_MS_MAX)
            for machine in (active, standby):
                Agent(machine).wait(
                    lambda s: (
                        takeover_possible(s) and all(w["word"] == "yes" for w in s["witnesses"])
                    ),
                    READY_LIMIT_S,
                    "all of them answer",
                )
            pair.switches[active.name].behaviour = Behaviour(Fault.OFF_LATE, 2.0)
            frozen = active.freeze()
            wait_order(pair, active.name, frozen.at_ns)
            for number, clock in enumerate(clocks):
                clock.step(-3 * YEAR_S if number % 2 else 3 * YEAR_S)
            taken_over(pair, active, standby, frozen.at_ns)
            effects = [event.get("effect") for event in standby.agent_events()]
            assert effects.count("Fence") == 1
            told = datetime.fromisoformat(Agent(standby).history()[-1]["when"])
            assert abs((told - datetime.now(UTC)).days) > 365, "its clock was not set"
    finally:
        observers.close()
