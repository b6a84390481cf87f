# SPDX-License-Identifier: GPL-2.0-or-later
"""A hostile neighbour in the LAN changes nothing but counters."""

from __future__ import annotations

import time

from hil.agent import Agent, link_state
from hil.flood import Flood
from hil.lab import Lab
from hil.machine import Machine
from hil.network import Port
from hil.proof import taken_over, undisturbed
from hil.watch import TAKEOVER_LIMIT_S, ready

PER_SECOND = 10_000
SECONDS = 5


def neighbour(lab: Lab) -> int:
    """A namespace in the LAN: a process in it. One for each test that wants one."""
    number = sum(name.startswith("neighbour") for name in lab.network.plugged)
    port = Port("lan", "eth0", f"02:00:00:00:0d:{number:02x}")
    return lab.attach(f"neighbour{number}", (port,))


def refused(machine: Machine) -> int:
    """Frames that an agent received and did not believe."""
    status = Agent(machine).status()
    assert status is not None
    counters: dict[str, int] = status["counters"]
    return sum(count for name, count in counters.items() if name.startswith("refused_"))


def test_flood_of_bad_frames_is_only_counted(lab: Lab, roles: tuple[Machine, Machine]) -> None:
    """Forged, replayed and random frames at 10,000 a second: counted, and nothing else."""
    active, standby = roles
    before = [refused(machine) for machine in roles]
    since_ns = time.monotonic_ns()
    sent = Flood(neighbour(lab), lab.directory, per_second=PER_SECOND, seconds=SECONDS).wait()
    assert sum(sent[kind] for kind in ("replayed", "forged", "fuzzed")) == PER_SECOND * SECONDS
    undisturbed(lab, active, since_ns, gap_ms_max=1_000)
    assert ready(lab) == (active, standby)
    for machine in roles:
        # A frame that was believed would make the true ones after it look like replays.
        Agent(machine).wait(
            lambda s: all(link_state(s, link) == "up" for link in ("lan", "ring")),
            TAKEOVER_LIMIT_S,
            "both links up",
        )
    for machine, earlier in zip(roles, before, strict=True):
        # A full socket buffer may drop some before the agent sees them; most must be counted.
        assert refused(machine) - earlier > PER_SECOND * SECONDS // 4


def test_replayed_frames_do_not_keep_a_dead_peer_alive(
    lab: Lab, roles: tuple[Machine, Machine]
) -> None:
    """Recorded heartbeats of the active, sent again while it is dead, delay no takeover."""
    active, standby = roles
    flood = Flood(neighbour(lab), lab.directory, per_second=1_000, seconds=60, kinds=("replayed",))
    try:
        fault_ns = lab.power_off(active.name)
        taken_over(lab, active, standby, fault_ns)
    finally:
        flood.close()
