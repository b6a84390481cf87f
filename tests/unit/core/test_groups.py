# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of a group that runs: starting, holding, releasing, being stuck."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.harness import REBORN, Bench, active, asking, promise, says, standby
from haagent.core.effects import Beat, Fence, GroupRecord, Persist, Record, StartGroup, StopGroup
from haagent.core.events import GroupLost, GroupStopFailed, GroupStopped, StopKind
from haagent.core.groups import START_RETRY_NS
from haagent.core.phases import (
    Active,
    Alive,
    Blocked,
    Fenced,
    Releasing,
    Standby,
    Starting,
    Stuck,
    Wanting,
    Yielded,
)
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S
from haagent.core.stops import HAND_OVER_NS, START_FAILED_NS
from haagent.core.wire import GroupReport, Role

ACTIVE = says(Role.ACTIVE, term=1, held_term=1)
STANDBY = says(Role.STANDBY)


# Starting and holding.


def starting() -> Bench:
    """Node 0 starts the group with its peer alive and able."""
    bench = standby(STANDBY, me=0)
    bench.hear(promise(bench))
    bench.persisted()
    bench.probed()
    bench.in_group(Starting)
    bench.hear(says(Role.STANDBY, term=1))
    return bench


def test_start_failed_hands_over() -> None:
    """A group that does not start here, tried twice, is left to a peer that can take it."""
    bench = starting()
    bench.started(ok=False)
    assert bench.in_group(Starting).tries == 2
    bench = starting()
    bench.does_not_start()
    assert bench.in_group(Releasing).reason is Reason.START_FAILED
    bench.stopped()
    blocked = bench.in_group(Blocked)
    assert (blocked.reason, blocked.detail) == (Reason.START_FAILED, "exit 1")
    bench.hear(asking(bench))
    bench.in_group(Yielded)


def test_start_failed_is_offered_again() -> None:
    """A node that could not hold a group offers itself again after a minute."""
    bench = starting()
    bench.does_not_start()
    bench.stopped()
    unable = says(Role.STANDBY, term=1, promotable=False)
    bench.pass_time(START_FAILED_NS - 100 * MS, unable)
    bench.in_group(Blocked)
    bench.pass_time(300 * MS, unable)
    bench.in_group(Wanting)


def test_start_failed_outlasts_a_promise() -> None:
    """It leaves the group to its peer, and still does not offer itself before the minute is over.

    Otherwise a group that starts on neither node would be thrown to and fro without a pause.
    """
    bench = starting()
    bench.does_not_start()
    wish = asking(bench)
    bench.hear(wish)
    bench.stopped()
    bench.in_group(Yielded)
    assert bench.beat.groups[0].reason == Reason.START_FAILED
    active_there = says(Role.ACTIVE, term=wish.attempt_term, held_term=wish.attempt_term)
    bench.pass_time(START_FAILED_NS - 100 * MS, active_there)
    assert bench.in_group(Blocked).reason is Reason.START_FAILED
    assert not bench.beat.groups[0].promotable
    bench.pass_time(200 * MS, active_there)
    bench.in_group(Standby)
    assert bench.beat.groups[0].promotable


@pytest.mark.parametrize("why", ["unable", "gone", "maintenance"])
def test_start_failed_is_retried(why: str) -> None:
    """Where the peer cannot take it, or must not, the start is tried again after a pause."""
    bench = starting()
    if why == "unable":
        bench.hear(says(Role.STANDBY, term=1, promotable=False))
    elif why == "gone":
        bench.pass_time(450 * MS)
    else:
        bench.ask_maintenance(on=True)
    bench.does_not_start()
    bench.in_group(Starting)
    assert bench.count(StartGroup) == 2
    bench.pass_time(START_RETRY_NS - 100 * MS)
    assert bench.count(StartGroup) == 2
    bench.pass_time(200 * MS)
    assert bench.count(StartGroup) == 3
    assert bench.in_group(Starting).tries == 3
    bench.started()
    bench.in_group(Active)


def test_lost_group_is_handed_over() -> None:
    """An active group that was lost is handed to a peer that can take it."""
    bench = active()
    bench.feed(GroupLost(0, "address removed"))
    assert bench.in_group(Releasing).reason is Reason.START_FAILED


def test_lost_group_is_restarted() -> None:
    """An active group that was lost and that nobody can take is started again at once."""
    bench = active()
    bench.pass_time(450 * MS)
    bench.feed(GroupLost(0, "address removed"))
    assert bench.in_group(Starting).tries == 1
    assert bench.count(StartGroup) == 2


def test_lost_group_that_is_not_held() -> None:
    """The loss of a group that is not active here changes nothing."""
    bench = standby()
    bench.feed(GroupLost(0, ""))
    bench.in_group(Standby)


def test_peer_asks_for_a_hand_over() -> None:
    """S2 a: an active releases to an asking peer, and promises only when all was seen stopped."""
    bench = active()
    wish = asking(bench, switchover=True)
    bench.hear(wish)
    bench.in_group(Releasing)
    bench.pass_time(300 * MS, wish)
    assert bench.beat.groups[0].role is Role.RELEASING
    bench.stopped()
    bench.hear(wish)
    assert bench.in_group(Yielded).attempt == wish.attempt


def test_joint_asking_does_not_move_an_active() -> None:
    """An asking that is no switchover does not move a group that is held."""
    bench = active()
    bench.hear(asking(bench))
    bench.in_group(Active)


@pytest.mark.parametrize("phase", [Starting, Active])
def test_superseded_holder_releases(phase: type) -> None:
    """S8, S1: a holder that meets the group active on the peer in a later term lets go."""
    bench = starting() if phase is Starting else active()
    bench.hear(says(Role.ACTIVE, term=2))
    bench.in_group(Releasing)


@pytest.mark.parametrize(("me", "expected"), [(0, Active), (1, Releasing)])
def test_superseded_at_a_tie(me: int, expected: type) -> None:
    """S1: at equal terms exactly one of the two lets go."""
    record = Record(groups=(("web", GroupRecord(7, held=True, held_term=7)),))
    bench = Bench(me=me, record=record, same_boot=True, found=frozenset({0}))
    bench.started()
    bench.hear(says(Role.ACTIVE, term=7))
    bench.in_group(expected)


def test_not_superseded_by_less() -> None:
    """A peer in an earlier term, or that does not know the group, supersedes nothing."""
    bench = active()
    bench.hear(says(Role.ACTIVE, term=0))
    bench.hear(says(Role.ACTIVE, name="mail", term=9))
    bench.in_group(Active)


# Releasing, S7.


def test_released_goes_to_the_peer() -> None:
    """S2 a: what the peer is releasing is asked for at once, in maintenance too."""
    bench = standby()
    bench.ask_maintenance(on=True)
    bench.hear(says(Role.RELEASING, term=1, held_term=1), maintenance=True, orders_version=1)
    bench.in_group(Wanting)


def test_after_a_hand_over_the_peer_goes_first() -> None:
    """After a hand-over the old holder does not take the group back for 5 s."""
    bench = active()
    bench.ask_switchover()
    bench.stopped()
    bench.pass_time(HAND_OVER_NS - 100 * MS, says(Role.STANDBY, term=1))
    bench.in_group(Standby)
    bench.pass_time(200 * MS, says(Role.STANDBY, term=1))
    bench.in_group(Wanting)


def test_hand_over_survives_a_lost_frame() -> None:
    """A hand-over does not depend on the peer's having heard the frames sent while stopping."""
    old = active()
    old.ask_switchover()
    old.stopped()
    old.pass_time(100 * MS, says(Role.STANDBY, term=1))
    new = standby(says(Role.ACTIVE, term=1, held_term=1), me=1)
    new.hear(old.beat.groups[0])
    new.in_group(Wanting)


def test_handed_over_is_forgotten_when_taken() -> None:
    """Once the peer holds the group the old holder offers itself again: it may be needed."""
    bench = active()
    bench.ask_switchover()
    bench.stopped()
    bench.hear(says(Role.ACTIVE, term=2, held_term=2))
    assert bench.in_group(Standby).handed_over_until_ns == 0
    assert bench.beat.groups[0].promotable


def test_leftovers_whose_stop_never_ends() -> None:
    """S7: a starting agent whose clearing hangs asks to be fenced, and goes on trying."""
    bench = Bench()
    bench.pass_time(20 * S + 100 * MS)
    bench.in_group(Stuck)
    bench.pass_time(200 * MS)
    assert bench.count(StopGroup) == 2


def stuck(bench: Bench, *heard: GroupReport, ask: Callable[[], None] = lambda: None) -> None:
    """Every stop fails, at once, until the stop budget is over."""
    ask()
    tries = 0
    while not isinstance(bench.phase(), Stuck):
        if bench.in_last(StopGroup) or tries == 0:
            bench.stopped(ok=False)
            tries += 1
        assert not bench.beat.fence_me
        bench.pass_time(100 * MS, *heard)
    assert tries == 20, "one try a second"


def test_stop_that_fails_first_succeeds() -> None:
    """A stop that fails is tried again after a second, and nobody is asked to shoot."""
    bench = active()
    bench.ask_switchover()
    bench.stopped(ok=False)
    bench.in_group(Releasing)
    bench.pass_time(1 * S + 100 * MS, says(Role.STANDBY, term=1))
    bench.stopped()
    bench.in_group(Standby)
    assert not any(e.body.fence_me for e in bench.all if isinstance(e, Beat))


def test_stop_failed() -> None:
    """S7: an active that cannot stop a group asks to be fenced, and goes on trying."""
    bench = active()
    stuck(bench, says(Role.STANDBY, term=1), ask=bench.ask_switchover)
    assert bench.beat.fence_me
    assert not bench.beat.groups[0].promotable
    stops = bench.count(StopGroup)
    bench.pass_time(20 * S + 200 * MS, says(Role.STANDBY, term=1))
    assert bench.count(StopGroup) == stops + 2
    bench.stopped(ok=False)
    bench.in_group(Stuck)
    bench.stopped()
    bench.in_group(Standby)
    assert not bench.beat.fence_me


def test_stop_that_never_ends() -> None:
    """S7: a stop without an answer counts as one that failed."""
    bench = active()
    bench.ask_switchover()
    bench.pass_time(20 * S + 100 * MS, says(Role.STANDBY, term=1))
    bench.in_group(Stuck)
    assert bench.beat.fence_me


def test_leftovers_that_cannot_be_cleared() -> None:
    """S7: a starting agent that cannot clear leftovers asks to be fenced."""
    bench = Bench()
    stuck(bench)
    assert bench.beat.fence_me


def test_stale_stop_answer() -> None:
    """S4: an answer to an earlier stop does not free a group."""
    bench = active()
    bench.ask_switchover()
    before = bench.in_group(Releasing)
    bench.feed(GroupStopped(0, before.attempt - 1))
    bench.feed(GroupStopFailed(0, before.attempt - 1, ""))
    assert bench.phase() == before


def test_group_without_grant_stays_down() -> None:
    """S2: heard, suspected, silent, fencing: without a grant nothing is started."""
    bench = standby()
    bench.pass_time(120 * S)
    bench.in_group(Standby)
    assert bench.count(StartGroup) == 0
    assert bench.count(Fence) == 0
    bench.hear(ACTIVE)
    bench.in_pair(Alive)


def test_takeover_waits_for_a_living_agent() -> None:
    """An agent that is about to end takes nothing over."""
    bench = active(groups=("web",))
    bench.ask_stop(StopKind.LEAVE)
    bench.stopped()
    bench.hear(says(Role.RELEASING, term=1))
    bench.in_group(Standby)


def test_stopping_closes_an_asking() -> None:
    """An agent that is about to end closes its asking."""
    bench = standby(STANDBY, me=0)
    bench.in_group(Wanting)
    bench.ask_stop(StopKind.LEAVE)
    bench.in_group(Standby)


def test_leaving_ends_a_pending_retry() -> None:
    """A group that waits for its next try is stopped when the agent leaves."""
    bench = starting()
    bench.hear(says(Role.STANDBY, term=1, promotable=False))
    bench.does_not_start()
    bench.ask_stop(StopKind.LEAVE)
    bench.in_group(Releasing)


def test_fenced_but_stopping() -> None:
    """A proof that comes while the agent is leaving starts nothing."""
    for wish in (ACTIVE, STANDBY):
        bench = standby(wish, me=1)
        if wish is STANDBY:
            bench.hear(asking(bench))
        bench.pass_time(450 * MS)
        bench.answer_evidence()
        bench.pass_time(4 * S)
        bench.ask_stop(StopKind.LEAVE)
        bench.finish_fence()
        assert bench.count(StartGroup) == 0
        assert isinstance(bench.phase(), Standby | Yielded)


def test_reborn_peer_is_the_same_peer() -> None:
    """An agent restart of the active moves nothing."""
    bench = standby()
    bench.hear(ACTIVE, pausing_ms=10_000)
    bench.pass_time(2 * S)
    bench.reborn(says(Role.TAKING_OVER, term=1, held_term=1))
    assert bench.state.view is not None
    assert bench.state.view.incarnation == REBORN
    bench.in_group(Standby)
    assert not isinstance(bench.pair, Fenced)


def test_a_release_is_durable_from_its_beginning() -> None:
    """ADR 3: an agent that is killed while it stops the group must not find it "held"."""
    bench = active()
    bench.hear(says(Role.STANDBY, term=1))
    bench.ask_switchover()
    bench.in_group(Releasing)
    ((_, record),) = bench.asked(Persist).record.groups
    assert not record.held
