# SPDX-License-Identifier: GPL-2.0-or-later
"""Failback, clients that cannot reach us, and groups that change nodes too often."""

from __future__ import annotations

from dataclasses import replace

from core.harness import Bench, active, promise, says, standby
from haagent.core.effects import StopGroup
from haagent.core.events import GroupLost, ReachChanged
from haagent.core.phases import Active, Releasing, Standby, Starting, Wanting
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S
from haagent.core.wire import Role

ACTIVE = says(Role.ACTIVE, term=1, held_term=1)
IDLE = says(Role.STANDBY, term=1)


def home(**of_group: object) -> Bench:
    """A clean standby that is the preferred node, of a peer that is active."""
    return standby(ACTIVE, me=0, failback_after_ns=10 * S, **of_group)


def test_failback_after_a_time_of_health() -> None:
    """The preferred node asks for its group when both have been well for long enough."""
    bench = home()
    bench.pass_time(9 * S, ACTIVE)
    bench.in_group(Standby)
    bench.pass_time(2 * S, ACTIVE)
    assert bench.in_group(Wanting).switchover


def test_failback_counts_from_the_last_trouble() -> None:
    """A silence in between begins the time anew."""
    bench = home()
    bench.pass_time(9 * S, ACTIVE)
    bench.pass_time(500 * MS)
    bench.pass_time(9 * S, ACTIVE)
    bench.in_group(Standby)


def test_no_failback() -> None:
    """Only to the preferred node, where configured, out of maintenance, reached by its clients."""
    stranger = standby(ACTIVE, failback_after_ns=10 * S)
    never = standby(ACTIVE, me=0)
    careful = home()
    careful.ask_maintenance(on=True)
    deaf = home()
    deaf.feed(ReachChanged(0, reachable=False, doubtful=True))
    for bench in (stranger, never, careful, deaf):
        bench.pass_time(30 * S, ACTIVE, orders_version=0)
        bench.in_group(Standby)


def test_lost_clients_hand_over() -> None:
    """An active that its clients do not reach gives the group to a peer that can take it."""
    bench = active()
    bench.hear(IDLE)
    bench.feed(ReachChanged(0, reachable=False, doubtful=True))
    bench.in_group(Releasing)


def test_lost_clients_without_a_peer() -> None:
    """Nobody can take it: it stays, and is handed over when somebody can."""
    bench = active()
    bench.hear(says(Role.BLOCKED, term=1, promotable=False))
    bench.feed(ReachChanged(0, reachable=False, doubtful=True))
    bench.pass_time(1 * S, says(Role.BLOCKED, term=1, promotable=False))
    bench.in_group(Active)
    bench.hear(IDLE)
    bench.in_group(Releasing)


def test_unreachable_takes_nothing() -> None:
    """A node that clients do not reach says so, and its peer keeps the group."""
    bench = standby()
    bench.feed(ReachChanged(0, reachable=False, doubtful=True))
    bench.pass_time(100 * MS, ACTIVE)
    assert bench.beat.groups[0].reason == Reason.ISOLATED
    bench.feed(ReachChanged(0, reachable=True))
    bench.pass_time(100 * MS, ACTIVE)
    assert bench.beat.groups[0].promotable


def _there_and_back(bench: Bench) -> None:
    """The group fails here, the peer takes it, fails too and hands it back."""
    bench.feed(GroupLost(0, "gone"))
    bench.in_group(Releasing)
    bench.stopped()
    term = bench.state.groups[0].term
    wanting = says(Role.WANTING, attempt=9, attempt_term=term + 1)
    bench.hear(wanting)
    bench.pass_time(200 * MS, says(Role.ACTIVE, term=term + 1, held_term=term + 1))
    bench.pass_time(61 * S, says(Role.ACTIVE, term=term + 1, held_term=term + 1))
    bench.pass_time(200 * MS, says(Role.RELEASING, term=term + 1, held_term=term + 1))
    asked = bench.in_group(Wanting)
    bench.hear(
        says(
            Role.YIELDED,
            term=asked.term,
            attempt=asked.attempt,
            attempt_term=asked.term,
            attempt_incarnation=bench.state.incarnation,
        )
    )
    bench.persisted()
    bench.probed()
    bench.started()
    bench.in_group(Active)
    bench.hear(says(Role.STANDBY, term=asked.term))


def test_an_arrival_that_fails_is_a_move() -> None:
    """A group that came, did not start and left again has changed nodes twice."""
    bench = active(max_moves=3, move_window_ns=600 * S)
    bench.hear(IDLE)
    bench.feed(ReachChanged(0, reachable=False, doubtful=True))
    bench.stopped()
    bench.feed(ReachChanged(0, reachable=True))
    term = bench.state.groups[0].term
    bench.hear(says(Role.RELEASING, term=term))
    bench.hear(promise(bench))
    bench.persisted()
    bench.probed()
    bench.in_group(Starting)
    bench.hear(IDLE)
    bench.started(ok=False)
    bench.in_group(Starting)


def test_what_both_lose_moves_nothing() -> None:
    """A gateway dies for both nodes: the standby does not offer itself from the first sign on."""
    watching, holding = standby(), active()
    there = says(Role.ACTIVE, term=1, held_term=1)
    watching.feed(ReachChanged(0, reachable=True, doubtful=True))
    watching.pass_time(1 * S, there)
    (said,) = watching.beat.groups
    assert (said.promotable, said.reason) == (False, Reason.ISOLATED)
    watching.feed(ReachChanged(0, reachable=True))
    watching.pass_time(1 * S, there)
    assert watching.beat.groups[0].promotable
    holding.hear(IDLE)
    holding.feed(ReachChanged(0, reachable=True, doubtful=True))
    holding.in_group(Active)
    holding.hear(replace(IDLE, promotable=False, reason=Reason.ISOLATED))
    holding.feed(ReachChanged(0, reachable=False, doubtful=True))
    holding.in_group(Active)


def test_what_comes_back_for_both_moves_nothing() -> None:
    """The standby may be sure of it first: a holder whose newest sign is good keeps the group."""
    bench = active()
    unable = replace(IDLE, promotable=False, reason=Reason.ISOLATED)
    bench.hear(unable)
    bench.feed(ReachChanged(0, reachable=False, doubtful=True))
    bench.feed(ReachChanged(0, reachable=False))
    bench.hear(IDLE)
    bench.pass_time(1 * S, IDLE)
    bench.in_group(Active)
    bench.feed(ReachChanged(0, reachable=False, doubtful=True))
    bench.in_group(Releasing)


def test_a_restless_group_stays() -> None:
    """After max_moves changes it is mended where it is, until the window is over."""
    bench = active(max_moves=4, move_window_ns=600 * S)
    bench.hear(IDLE)
    _there_and_back(bench)
    _there_and_back(bench)
    term = bench.state.groups[0].term
    bench.feed(GroupLost(0, "gone"))
    bench.in_group(Starting)
    bench.started()
    bench.feed(ReachChanged(0, reachable=False, doubtful=True))
    bench.pass_time(1 * S, says(Role.STANDBY, term=term))
    bench.in_group(Active)
    stops = bench.count(StopGroup)
    bench.pass_time(600 * S, says(Role.STANDBY, term=term))
    assert bench.count(StopGroup) > stops
