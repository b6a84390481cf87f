# SPDX-License-Identifier: GPL-2.0-or-later
"""What a standby runs of a group: not offered while it is broken, and never allowed to serve."""

from __future__ import annotations

import pytest

from core.harness import Bench, active, order, says, standby, taking_over
from haagent.core.effects import Fence, StopGroup
from haagent.core.events import GroupLost, StandbyRead
from haagent.core.phases import Active, Assessing, Blocked, Standby, Stuck, TakingOver
from haagent.core.reasons import Reason
from haagent.core.settings import S
from haagent.core.wire import Role

THERE = says(Role.ACTIVE, term=1, held_term=1)
IDLE = says(Role.STANDBY, term=1)


def broken(*, escaped: bool = False) -> Bench:
    """A standby whose replica is not as it should be."""
    bench = standby()
    bench.feed(StandbyRead(0, ready=False, escaped=escaped))
    return bench


def test_a_broken_replica_is_not_offered() -> None:
    """A switchover would stop a healthy active for nothing; the reason has a name."""
    bench = broken()
    bench.pass_time(1 * S, THERE)
    (said,) = bench.beat.groups
    assert (said.promotable, said.reason) == (False, Reason.STANDBY_NOT_READY)
    bench.feed(StandbyRead(0, ready=True))
    bench.pass_time(1 * S, THERE)
    assert bench.beat.groups[0].promotable


def test_a_broken_replica_is_better_than_a_dead_peer() -> None:
    """From a peer that is dead the group is taken all the same: the start may mend it."""
    bench = broken()
    bench.watch(5 * S)
    assert bench.count(Fence) == 1
    bench.finish_fence()
    bench.in_group(TakingOver)


def test_a_replica_that_serves_is_stopped() -> None:
    """It was promoted against all orders, and could not be demoted: stopped, and seen stopped."""
    bench = standby()
    stops = bench.count(StopGroup)
    bench.feed(StandbyRead(0, ready=False, escaped=True))
    bench.in_group(Assessing)
    assert bench.count(StopGroup) == stops + 1
    bench.stopped()
    bench.in_group(Standby)


def test_a_replica_that_serves_and_cannot_be_stopped_is_shot() -> None:
    """S7: two that serve destroy the data, so this node asks to be fenced."""
    bench = broken(escaped=True)
    bench.pass_time(25 * S, THERE)
    bench.in_group(Stuck)
    assert bench.beat.fence_me


@pytest.mark.parametrize("bench", [active(), taking_over()], ids=["active", "taking over"])
def test_what_is_held_does_not_escape(bench: Bench) -> None:
    """An old word about the standby changes nothing of a group that is held since."""
    before = bench.phase()
    bench.feed(StandbyRead(0, ready=False, escaped=True))
    assert bench.phase() == before


def test_a_frozen_group_is_not_touched() -> None:
    """An operator who promotes it by hand in a frozen group knows why."""
    bench = standby()
    order(bench, "freeze")
    bench.feed(StandbyRead(0, ready=False, escaped=True))
    bench.in_group(Standby)


def test_a_group_that_failed_at_home_does_not_go_home() -> None:
    """Failback is for a node that was repaired, not for one that gave the group up."""
    bench = active(failback_after_ns=10 * S)
    bench.hear(IDLE)
    bench.feed(GroupLost(0, "nginx died"))
    bench.stopped()
    bench.in_group(Blocked)
    held = says(Role.ACTIVE, term=2, held_term=2)
    bench.pass_time(300 * S, held)
    bench.in_group(Standby)
    bench.ask_switchover()
    assert bench.beat.groups[0].role is Role.WANTING, "a person may bring it home"


def test_a_group_goes_home_once_it_was_held_there_again() -> None:
    """What was given up once is not held against the node for ever."""
    bench = active(failback_after_ns=10 * S)
    bench.hear(IDLE)
    bench.feed(GroupLost(0, "nginx died"))
    assert not bench.state.groups[0].gave_up
    bench.stopped()
    assert bench.state.groups[0].gave_up
    bench.pass_time(70 * S, says(Role.ACTIVE, term=2, held_term=2))
    bench.pass_time(1 * S)
    bench.prove_off()
    bench.persisted()
    bench.probed()
    bench.started()
    bench.in_group(Active)
    assert not bench.state.groups[0].gave_up
