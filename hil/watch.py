# SPDX-License-Identifier: GPL-2.0-or-later
"""Questions about a pair on the bench that scenarios, tests and measurements share."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from hil.agent import GROUP, Agent, role, takeover_possible
from hil.record import NotSeenError

if TYPE_CHECKING:
    from hil.machine import Machine
    from hil.pairs import Pair, S, Server
    from hil.record import Entry

READY_LIMIT_S = 60.0
"""From power on to a pair that could take over: 2 s on an idle machine, 30 s on a crowded one."""
TAKEOVER_LIMIT_S = 60.0
"""For what must come; the pair's own times are about a thirtieth of it."""
ROUND_S = 5.0
"""Who served may have handed over while it was asked: so often it is asked anew who serves."""


def ready(lab: Pair[S], *, limit_s: float = READY_LIMIT_S) -> tuple[S, S]:
    """Wait until one node serves and the other could take over; return both, in this order.

    Raises:
        NotSeenError: It does not come to that.
    """
    end_s = time.monotonic() + 2 * limit_s  # until somebody serves, and until both are ready
    while True:
        answer = lab.client.wait_served(limit_s, after_ns=time.monotonic_ns())
        active = lab.machines[answer["node"]]
        standby = lab.other(active)
        try:
            _wait_ready(active, "active", lab.group)
            _wait_ready(standby, "standby", lab.group)
        except NotSeenError:
            if time.monotonic() > end_s:
                raise
        else:
            return active, standby


def _wait_ready(machine: Server, wanted: str, group: str) -> None:
    Agent(machine).wait(
        lambda s: role(s, group) == wanted and takeover_possible(s),
        ROUND_S,
        f"{wanted}, takeover possible",
    )


def forget_failures(machine: Machine) -> None:
    """Have a new agent take over from one that remembers that it failed: that one would wait.

    Raises:
        NotSeenError: No agent answers.
    """
    status = Agent(machine).wait(lambda _: True, READY_LIMIT_S, "an answer")
    if any(group["blocked"] for group in status["groups"]):
        machine.signal_agent(signal.SIGUSR1)
        machine.start_agent()


def wait_standby(machine: Server, limit_s: float = READY_LIMIT_S, group: str = GROUP) -> None:
    """Wait until a machine's agent says that it is standby and hears its peer.

    Raises:
        NotSeenError: It does not.
    """
    Agent(machine).wait(
        lambda s: role(s, group) == "standby" and s["peer_state"]["phase"] == "alive",
        limit_s,
        "standby",
    )


def wait_powered(lab: Pair[S], machine: S, after_ns: int) -> Entry:
    """Return when a machine was switched on after a time.

    Raises:
        NotSeenError: It was not.
    """
    return lab.power.wait(
        lambda e: e["node"] == machine.name and e["what"] == "power" and e["state"] == "on",
        TAKEOVER_LIMIT_S,
        after_ns=after_ns,
        what=f"{machine.name} powered on",
    )


def power_entry(lab: Pair[S], machine: S, after_ns: int, **wanted: str) -> Entry | None:
    """The first entry of the power record of a machine after a time with these values."""
    for entry in lab.power.since(after_ns):
        if entry["node"] == machine.name and wanted.items() <= entry.items():
            return entry
    return None


def orders(lab: Pair[S], after_ns: int, machine: S | None = None) -> list[tuple[str, str]]:
    """Every order a BMC was given after a time: node and order; of one machine, if named."""
    return [
        (entry["node"], entry["order"])
        for entry in lab.power.since(after_ns)
        if entry["what"] == "order" and (machine is None or entry["node"] == machine.name)
    ]
