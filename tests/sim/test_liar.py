# SPDX-License-Identifier: GPL-2.0-or-later
"""S8: a BMC that says off while its machine runs is the one thing that no proof survives.

The design promises two things then: where the lie can be seen in time (somebody answers for the
address, frames of the dead arrive) the takeover is refused and the device distrusted; where it
cannot (no network at all between the nodes), two actives last only until frames get through.
"""

from __future__ import annotations

from haagent.core.settings import S

from .bmc import Mode
from .history import Operator, live, make
from .world import World

SEEDS = 40
RESOLVED_NS = 2 * S
"""From the first frames to one holder: a heartbeat, and a stop of at most 60 ms."""


def _lying_world(seed: int, fault: str) -> World:
    world = make(seed, only=(fault,), plain=True)
    world.lies = True
    for machine in world.machines:
        machine.bmc.mode = Mode.LIAR
    return world


def test_lie_that_can_be_seen_is_refused() -> None:
    """An active whose agent hangs answers for its address: nobody takes over, the liar is known."""
    distrusted = 0
    for seed in range(SEEDS):
        world = _lying_world(seed, "stop_process")
        if world.mix.blind:
            continue
        live(world)  # S1 is judged as ever.
        distrusted += world.counts["distrusted"]
    assert distrusted


def test_two_actives_last_until_frames_get_through() -> None:
    """A partition and a lie make two actives; the younger term wins as soon as they hear."""
    doubles = 0
    for seed in range(SEEDS):
        world = _lying_world(seed, "partition")
        world.tolerates_two = True
        world.run_until(world.mix.heal_ns)
        doubles += world.counts["two holders"]
        Operator(world).heal()
        world.run_until(world.now_ns + RESOLVED_NS)
        for group in range(len(world.mix.groups)):
            holders = [m for m in world.machines if m.powered and m.holds(group)]
            assert len(holders) <= 1, world.transcript()
        world.tolerates_two = False
        world.run_until(world.now_ns + 30 * S)
        assert world.checker.settled() is None, world.transcript()
    assert doubles
