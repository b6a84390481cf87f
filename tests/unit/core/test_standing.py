# SPDX-License-Identifier: GPL-2.0-or-later
"""Standing orders: a node on standby, a group stopped or frozen; they belong to the pair."""

from __future__ import annotations

import pytest

from core.harness import Bench, active, order, says, silent, standby, taking_over
from haagent.core.effects import Fence, Manage, Persist, Record, StandBy, StartGroup, StopGroup
from haagent.core.events import AwayAsked, GroupLost, GroupOrdered, SwitchoverAsked
from haagent.core.orders import Orders
from haagent.core.phases import Active, Blocked, Fenced, Releasing, Standby, Starting, Wanting
from haagent.core.reasons import Reason
from haagent.core.settings import S
from haagent.core.wire import Role

ACTIVE = says(Role.ACTIVE, term=1, held_term=1)
IDLE = says(Role.STANDBY, term=1)
UNABLE = says(Role.STANDBY, term=1, promotable=False)


# They belong to both nodes.


def test_orders_travel() -> None:
    """What one node was told is in its next heartbeat, and on its disk."""
    bench = active()
    bench.feed(AwayAsked(7, 0, on=True))
    order(bench, "freeze", request=8)
    assert bench.beat.away == (True, False)
    assert bench.beat.orders_version == 2
    assert bench.beat.groups[0].frozen
    assert bench.asked(Persist).record.orders == bench.state.orders


def test_newer_orders_are_believed() -> None:
    """The peer's newer orders are taken up, kept, and acted upon."""
    bench = standby()
    stopped = says(Role.ACTIVE, term=1, held_term=1, stopped=True, frozen=True)
    bench.hear(stopped, orders_version=3, away=(False, True))
    orders = bench.state.orders
    assert (orders.version, orders.away) == (3, (False, True))
    assert (orders.stopped, orders.frozen) == (frozenset({"web"}), frozenset({"web"}))
    assert bench.asked(Manage) == Manage(0, on=False)
    assert bench.asked(Persist).record.orders == orders


def test_older_orders_change_nothing() -> None:
    """A peer that missed an order does not take it back."""
    bench = active()
    order(bench, "freeze")
    bench.hear(IDLE, orders_version=0)
    assert bench.state.orders.frozen == {"web"}


def test_a_tie_is_settled_alike_on_both_nodes() -> None:
    """Both nodes were asked at once: both believe the same orders afterwards."""
    mine = Orders(1, away=(True, False))
    theirs = Orders(1, stopped=frozenset({"web"}))
    assert max(mine, theirs, key=lambda orders: orders.rank) is mine
    bench = active()
    order(bench, "stop")
    bench.hear(IDLE, orders_version=1, away=(True, False))
    assert bench.state.orders == mine


def test_orders_of_an_unknown_group_stay() -> None:
    """A peer whose frames do not speak of a group says nothing about its orders."""
    bench = Bench(groups=("web", "data"))
    bench.stopped(0)
    bench.stopped(1)
    bench.hear(says(Role.STANDBY), says(Role.STANDBY, name="data"))
    bench.feed(GroupOrdered(7, 1, "freeze"))
    bench.hear(says(Role.STANDBY), orders_version=2)
    assert bench.state.orders.frozen == {"data"}


def test_orders_survive_a_restart() -> None:
    """A new agent keeps to them, and leaves a frozen group's resources alone at once."""
    orders = Orders(4, away=(False, True), frozen=frozenset({"web"}), stopped=frozenset({"web"}))
    bench = Bench(record=Record(orders=orders))
    assert bench.state.orders == orders
    assert bench.asked(Manage) == Manage(0, on=False)
    assert bench.asked(StandBy) == StandBy(0, on=False)


def test_a_stopped_group_has_no_replica_either() -> None:
    """Stopped by an operator nothing of the group runs on either node; started, all of it."""
    bench = standby()
    order(bench, "stop")
    assert bench.asked(StandBy) == StandBy(0, on=False)
    order(bench, "start", request=8)
    assert bench.asked(StandBy) == StandBy(0, on=True)


# A node on standby.


def test_away_hands_over() -> None:
    """A node put on standby gives its groups to a peer that can take them."""
    bench = active()
    bench.hear(IDLE)
    bench.feed(AwayAsked(7, bench.state.settings.me, on=True))
    assert bench.reply(7).ok
    bench.in_group(Releasing)


def test_away_keeps_what_nobody_else_can_hold() -> None:
    """Without a peer that could take the group the node goes on serving."""
    bench = active()
    bench.hear(says(Role.BLOCKED, term=1, promotable=False))
    bench.feed(AwayAsked(7, bench.state.settings.me, on=True))
    bench.pass_time(1 * S, says(Role.BLOCKED, term=1, promotable=False))
    bench.in_group(Active)


def test_away_takes_nothing() -> None:
    """A node on standby neither shoots nor starts, and says why."""
    bench = standby()
    bench.feed(AwayAsked(7, 1, on=True))
    assert bench.beat.groups[0].reason == Reason.NODE_STANDBY
    bench.watch(5 * S)
    assert bench.count(Fence) == 0
    assert Reason.NODE_STANDBY in bench.reasons()
    bench.feed(AwayAsked(8, 1, on=False))
    bench.watch(5 * S)
    assert bench.count(Fence) == 1


# A group stopped.


def test_stopped_runs_nowhere() -> None:
    """The holder stops it, and nobody starts it."""
    bench = active()
    bench.hear(IDLE)
    order(bench, "stop")
    assert bench.reply(7).ok
    bench.in_group(Releasing)
    bench.stopped()
    bench.pass_time(20 * S, IDLE)
    bench.in_group(Standby)
    assert bench.beat.groups[0].reason == Reason.GROUP_STOPPED


def test_started_again() -> None:
    """Started again, the nodes agree on who holds it as at a joint start."""
    bench = Bench(me=0)
    bench.stopped()
    bench.hear(says(Role.STANDBY))
    order(bench, "stop")
    bench.pass_time(10 * S, says(Role.STANDBY, stopped=True), orders_version=1)
    bench.in_group(Standby)
    order(bench, "start", request=8)
    bench.pass_time(1 * S, says(Role.STANDBY), orders_version=2)
    bench.in_group(Wanting)


def test_a_stopped_group_is_not_shot_for() -> None:
    """There is nothing to gain by fencing the peer for a group that is to run nowhere."""
    bench = standby()
    order(bench, "stop")
    bench.watch(5 * S)
    assert bench.count(Fence) == 0
    assert Reason.GROUP_STOPPED in bench.reasons()


def test_stopped_while_asked_for() -> None:
    """An asking that is open when the group is stopped is closed."""
    bench = standby()
    bench.ask_switchover()
    bench.in_group(Wanting)
    order(bench, "stop")
    bench.in_group(Standby)


def test_stopped_while_taken_over() -> None:
    """A takeover not yet begun is given up when the group is stopped meanwhile."""
    bench = taking_over()
    order(bench, "stop")
    assert bench.in_group(Blocked).reason is Reason.GROUP_STOPPED
    assert bench.count(StartGroup) == 0


# A group frozen.


def test_frozen_stays_as_it_is() -> None:
    """A failed resource, a peer that asks, lost clients: nothing moves a frozen group."""
    bench = active()
    bench.hear(IDLE)
    order(bench, "freeze")
    assert bench.asked(Manage) == Manage(0, on=False)
    bench.feed(GroupLost(0, "nginx died"))
    bench.pass_time(1 * S, says(Role.WANTING, switchover=True, attempt=3, attempt_term=2))
    bench.in_group(Active)
    assert bench.count(StopGroup) == 1  # That of the beginning.
    order(bench, "unfreeze", request=8)
    assert bench.asked(Manage) == Manage(0, on=True)


def failing() -> Bench:
    """An active whose group was lost, does not start again, and can be taken by nobody else."""
    bench = active()
    bench.hear(UNABLE)
    bench.feed(GroupLost(0, "nginx died"))
    bench.does_not_start()
    bench.in_group(Starting)
    return bench


def test_stopped_while_it_does_not_start() -> None:
    """A group that fails to start again and again is stopped when that is ordered."""
    bench = failing()
    order(bench, "stop")
    bench.in_group(Releasing)
    bench.stopped()
    bench.pass_time(120 * S, UNABLE)
    assert bench.in_group(Standby)


def test_frozen_is_not_started_again() -> None:
    """What failed to start is left alone until the group is looked after again."""
    bench = failing()
    starts = bench.count(StartGroup)
    order(bench, "freeze")
    bench.pass_time(120 * S, UNABLE)
    assert bench.count(StartGroup) == starts
    order(bench, "unfreeze", request=8)
    assert bench.count(StartGroup) == starts + 1


def test_frozen_while_it_starts() -> None:
    """A start that was under way may end; if it fails, the group stays all the same."""
    bench = failing()
    bench.pass_time(6 * S, UNABLE)
    order(bench, "freeze")
    bench.hear(IDLE)
    bench.started(ok=False)
    bench.in_group(Starting)


def test_frozen_is_not_taken_over() -> None:
    """Even a peer that is proved off does not make a frozen group move."""
    bench = standby()
    order(bench, "freeze")
    bench.prove_off(request=8)
    bench.in_pair(Fenced)
    bench.in_group(Standby)


def test_frozen_is_stopped_when_the_node_leaves() -> None:
    """Nobody looks after a node that has left, so it leaves nothing running."""
    bench = active()
    order(bench, "freeze")
    bench.ask_stop()
    bench.in_group(Releasing)


@pytest.mark.parametrize("what", ["stop", "start"])
def test_frozen_is_not_ordered_about(what: str) -> None:
    """Stop and start are refused until it is unfrozen."""
    bench = active()
    order(bench, "freeze")
    order(bench, what, request=8)
    assert "frozen" in bench.reply(8).message
    bench.feed(SwitchoverAsked(9, 0))
    assert "froze" in bench.reply(9).message


def test_switchover_here_is_barred() -> None:
    """A switchover to a node on standby is refused with its reason."""
    bench = standby()
    bench.feed(AwayAsked(7, 1, on=True))
    bench.ask_switchover(request=8)
    assert "on standby" in bench.reply(8).message


def test_dry_run() -> None:
    """It says what would be done, or why not, and does nothing."""
    bench = active()
    bench.hear(IDLE)
    bench.feed(SwitchoverAsked(7, 0, dry_run=True))
    assert "could be moved to the peer" in bench.reply(7).message
    bench.in_group(Active)
    other = standby()
    other.feed(SwitchoverAsked(7, 0, dry_run=True))
    assert "could be moved here" in other.reply(7).message
    other.in_group(Standby)
    lonely = silent()
    lonely.feed(SwitchoverAsked(7, 0, dry_run=True))
    assert not lonely.reply(7).ok


def test_both_moved_by_themselves() -> None:
    """Starting is a phase in which an order to stop is carried out when the start has ended."""
    bench = taking_over()
    bench.persisted()
    bench.probed()
    bench.in_group(Starting)
    order(bench, "stop")
    bench.started()
    bench.in_group(Releasing)
