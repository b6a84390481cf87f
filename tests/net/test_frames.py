# SPDX-License-Identifier: GPL-2.0-or-later
"""A hostile neighbour in the LAN changes nothing but counters."""

from __future__ import annotations

import time

from hil.agent import Agent
from hil.flood import Flood
from hil.lab import Lab
from hil.machine import Machine
from hil.network import Port
from hil.proof import undisturbed
from hil.watch import ready

PER_SECOND = 10_000
SECONDS = 5
NEIGHBOUR = (Port("lan", "eth0", "02:00:00:00:0d:01"),)


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
    neighbour = lab.attach("neighbour", NEIGHBOUR)
    sent = Flood(neighbour, lab.directory, per_second=PER_SECOND, seconds=SECONDS).wait()
    assert sum(sent[kind] for kind in ("replayed", "forged", "fuzzed")) == PER_SECOND * SECONDS
    undisturbed(lab, active, since_ns, gap_ms_max=1_000)
    assert ready(lab) == (active, standby)
    for machine, earlier in zip(roles, before, strict=True):
        # A full socket buffer may drop some before the agent sees them; most must be counted.
        assert refused(machine) - earlier > PER_SECOND * SECONDS // 4
