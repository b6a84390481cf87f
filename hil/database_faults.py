# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a pair with a database while a client writes, each with what has to follow."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable

from hil.agent import Agent, Status, role
from hil.database import GROUP, LIMIT_S, MAX_LAG, ask, empty, fill, leader, part, streams
from hil.lab import Lab
from hil.machine import Machine

WRITES_S = 3.0
"""What the client writes in such a time goes on without the standby."""
LOOK_S = 0.1
Fault = Callable[[Lab, Machine, Machine], None]
"""Of a lab, its active and its standby."""


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
    threading.Event().wait(WRITES_S)  # the client is to write meanwhile
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


def disk_full(_lab: Lab, active: Machine, standby: Machine) -> None:
    """The active's disk is full, of whatever: its server cannot go on, and the standby's can."""
    fill(active)

    def moved(status: Status) -> bool:
        # Each begins a new segment of the log, so what was set aside for it is soon used up.
        ask(active, "SELECT pg_switch_wal()")
        return role(status, GROUP) == "active"

    Agent(standby).wait(moved, 2 * LIMIT_S, "handed over")


def lags(lab: Lab, active: Machine, _standby: Machine) -> None:
    """Replication breaks, the client goes on, and the active dies with what nobody else has."""
    position = "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint"
    part(lab)
    begun = int(ask(active, position))
    while int(ask(active, position)) < begun + MAX_LAG // 4:
        threading.Event().wait(LOOK_S)
    lab.power_off(active.name)


def mend(lab: Lab) -> None:
    """Take back what was broken and does not mend by itself."""
    lab.network.heal()
    for machine in lab.machines.values():
        empty(machine)


ANY: tuple[Fault, ...] = (
    power,
    freeze,
    agent_dies,
    server_dies,
    partition,
    switchover,
    parted_first,
    rebuilt,
    disk_full,
)
ASYNC: tuple[Fault, ...] = (*ANY, lags)
"""Where commits do not wait for the standby, there may be some that it has not got."""
