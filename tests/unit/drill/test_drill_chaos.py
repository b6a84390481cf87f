# SPDX-License-Identifier: GPL-2.0-or-later
"""What chaos draws from, and what the pair's limits allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_bench import Site, example
from drill_bench import healthy

from haagent.drill.chaos import possible
from haagent.drill.client import Clients
from haagent.drill.holders import Holders
from haagent.drill.kinds import LEVELS, Chaos, Kind
from haagent.drill.pair import Pair
from haagent.drill.power import Power
from haagent.drill.scene import Scene
from haagent.drill.timeline import Timeline
from haagent.drill.watch import Watch
from haagent.drill.writes import Writes
from haagent.netlink import Netlink

MOVES, FENCES = 6, 3
"""The example's max_moves and max_fences."""


def scene(folder: Path, **changes: Any) -> Scene:
    """A healthy pair as the standby's node sees it, with a group changed so on the other one."""
    configuration = Site(folder).load(example())
    timeline, netlink = Timeline(lambda _: None), Netlink()
    pair = Pair(lambda _request, _timeout_s: {}, "alpha", "beta")
    clients = Clients(configuration, netlink, "alpha", "beta")
    watch = Watch(pair, timeline, clients, Holders(netlink, (), clients))
    watch.here, there = healthy("alpha", "standby", ""), healthy("beta", "active", "")
    there["groups"][0].update(changes)
    there["fences_in_window"] = changes.get("fences", 0)
    watch.there = there
    power = Power(folder / "haagent.toml", "alpha", "beta", folder / "socket")
    writes = Writes((), {}, "")
    return Scene(Kind.CHAOS, configuration, pair, power, timeline, watch, writes)


@pytest.mark.parametrize("level", LEVELS[1:])
def test_all_kinds_up_to_a_level_are_drawn_from(level: Kind) -> None:
    """But a check, which has no effect; never a harder one."""
    kinds = Chaos(1.0, level, 1.0, 1).kinds
    assert kinds == LEVELS[1 : LEVELS.index(level) + 1]


@pytest.mark.parametrize(
    ("moves", "fences", "kind", "allowed"),
    [
        (0, 0, Kind.PARTITION, True),
        (0, FENCES, Kind.PARTITION, False),
        (0, FENCES, Kind.RING_LOSS, True),
        (MOVES - 4, 0, Kind.PARTITION, True),
        (MOVES - 3, 0, Kind.PARTITION, False),
        (MOVES - 3, 0, Kind.SWITCHOVER, False),
        (MOVES, 0, Kind.AGENT_FREEZE, True),
        # The groups are at the peer, and this kind wants them here first.
        (MOVES - 3, 0, Kind.FENCE_STANDBY, True),
        (MOVES - 2, 0, Kind.FENCE_STANDBY, False),
    ],
)
def test_limits_of_the_pair_are_kept(
    tmp_path: Path, moves: int, fences: int, kind: Kind, *, allowed: bool
) -> None:
    """S10: no power-off beyond max_fences, no move by which a group would have to stay put."""
    assert possible(scene(tmp_path, moves_in_window=moves, fences=fences), kind) is allowed


def test_nothing_is_possible_with_an_agent_that_does_not_answer(tmp_path: Path) -> None:
    """Nobody knows what it would allow."""
    alone = scene(tmp_path)
    alone.watch.there = None
    assert not any(possible(alone, kind) for kind in LEVELS[1:])
