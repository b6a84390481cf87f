# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of a group: asking, promising, taking over, holding, releasing, being stuck."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.harness import (
    MINE,
    REBORN,
    THEIRS,
    Bench,
    active,
    asking,
    promise,
    says,
    standby,
    taking_over,
)
from haagent.core.effects import (
    Beat,
    Fence,
    GroupRecord,
    Persist,
    ProbeVip,
    Record,
    StartGroup,
    StopGroup,
)
from haagent.core.events import (
    GroupLost,
    GroupStarted,
    GroupStartFailed,
    GroupStopFailed,
    GroupStopped,
    Persisted,
    PersistFailed,
    StopKind,
    VipProbed,
)
from haagent.core.groups import BLOCKED_NS, START_RETRY_NS, TAKE_OVER_NS, WANT_NS
from haagent.core.phases import (
    Active,
    Alive,
    Assessing,
    Blocked,
    Fenced,
    Grant,
    Releasing,
    Standby,
    Starting,
    Stuck,
    TakingOver,
    Wanting,
    Yielded,
)
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S
from haagent.core.stops import HAND_OVER_NS, START_FAILED_NS
from haagent.core.wire import GroupReport, Role

ACTIVE = says(Role.ACTIVE, term=1, held_term=1)
STANDBY = says(Role.STANDBY)


# The first state.


def test_leftovers_are_cleared() -> None:
    """S5: a starting agent first stops whatever an earlier run left, and then stands by."""
    bench = Bench()
    bench.in_group(Assessing)
    assert bench.count(StopGroup) == 1
    bench.stopped()
    bench.in_group(Standby)
    assert bench.count(StartGroup) == 0


def test_running_group_is_taken_up() -> None:
    """A restarted agent takes up a group that its last run held in this boot and that runs."""
    record = Record(groups=(("web", GroupRecord(7, held=True, held_term=7)),))
    bench = Bench(record=record, same_boot=True, found=frozenset({0}))
    assert bench.in_group(Starting).term == 7
    assert bench.count(StopGroup) == 0
    bench.started()
    assert bench.in_group(Active).term == 7


@pytest.mark.parametrize(
    ("held", "same_boot", "found"),
    [(False, True, {0}), (True, False, {0}), (True, True, set[int]())],
    ids=["not-held", "other-boot", "not-running"],
)
def test_anything_else_is_cleared(held: bool, same_boot: bool, found: set[int]) -> None:  # noqa: FBT001
    """S5: not held, or of an earlier boot, or not running: it is stopped, and its term kept."""
    record = Record(groups=(("web", GroupRecord(7, held=held, held_term=6)),))
    bench = Bench(record=record, same_boot=same_boot, found=frozenset(found))
    bench.in_group(Assessing)
    assert bench.state.groups[0].term == 7


def test_last_holder_is_remembered() -> None:
    """The record of a running group makes its node the last holder after a power loss of both."""
    holder = active()
    written = [e.record for e in holder.all if isinstance(e, Persist)][-1]
    again = Bench(me=0, record=written, same_boot=False)
    assert again.state.groups[0].held_term == 1


# S2 d: the joint start.


def test_preferred_node_asks() -> None:
    """S2 d: at a joint start the preferred node asks, the other does not."""
    assert isinstance(standby(STANDBY, me=0).phase(), Wanting)
    assert isinstance(standby(STANDBY, me=1).phase(), Standby)


def test_last_holder_asks() -> None:
    """S2 d: who held the group last goes first, preferred or not: its data is newer."""
    record = Record(groups=(("web", GroupRecord(5, held=False, held_term=5)),))
    assert isinstance(standby(STANDBY, me=1, record=record).phase(), Wanting)
    other = says(Role.STANDBY, term=5, held_term=5)
    assert isinstance(standby(other, me=0).phase(), Standby)


def test_able_node_asks() -> None:
    """S2 d: a peer that cannot take the group leaves it to us, whoever held it last."""
    unable = says(Role.STANDBY, promotable=False, term=5, held_term=5)
    assert isinstance(standby(unable, me=1).phase(), Wanting)


@pytest.mark.parametrize(
    "role", [Role.ASSESSING, Role.TAKING_OVER, Role.ACTIVE, Role.STUCK], ids=str
)
def test_nobody_asks_for_what_may_run_there(role: Role) -> None:
    """S1: a group that may run on the peer is not asked for."""
    bench = standby(says(role), me=0)
    bench.in_group(Standby)


def test_nobody_asks_of_another_configuration() -> None:
    """Different configurations: nothing is agreed upon."""
    bench = Bench(me=0)
    bench.stopped()
    bench.hear(STANDBY, configuration_hash=b"x" * 16)
    bench.in_group(Standby)


def test_nobody_asks_for_an_unknown_group() -> None:
    """A group that the peer does not know is not agreed upon."""
    bench = standby(says(Role.STANDBY, name="mail"), me=0)
    bench.in_group(Standby)


def test_nobody_asks_in_maintenance() -> None:
    """In maintenance nothing is started by itself."""
    bench = Bench(me=0)
    bench.ask_maintenance(on=True)
    bench.stopped()
    bench.hear(STANDBY, maintenance=True, orders_version=1)
    bench.in_group(Standby)


def test_term_is_above_any_heard() -> None:
    """A new term is one more than any that either node was heard to use or to ask for."""
    bench = standby(says(Role.STANDBY, term=41), me=0)
    assert bench.in_group(Wanting).term == 42
    other = standby(says(Role.STANDBY, term=3, attempt_term=9), me=0)
    assert other.in_group(Wanting).term == 10


# Promises.


def test_promise_is_given() -> None:
    """A standby promises to an asking peer, by attempt, term and incarnation, and says so."""
    bench = standby(STANDBY, me=1)
    bench.hear(asking(bench, attempt=17))
    assert bench.in_group(Yielded) == Yielded(THEIRS, 17, 1)
    said = bench.beat.groups[0]
    assert (said.role, said.attempt, said.attempt_incarnation) == (Role.YIELDED, 17, THEIRS)
    assert said.attempt_term == said.term == 1


def test_promise_only_for_a_higher_term() -> None:
    """An asking in a term that we have seen already gets no promise: the peer must ask higher."""
    bench = standby(says(Role.STANDBY, promotable=True), me=1)
    wish = asking(bench)
    bench.hear(replace(wish, attempt_term=0))
    bench.in_group(Standby)


def test_promise_stands_in_silence() -> None:
    """S1: a promise outlives the peer's silence: it may be starting."""
    bench = standby(STANDBY, me=1)
    bench.hear(asking(bench))
    bench.pass_time(60 * S)
    bench.in_group(Yielded)


def test_promise_ends_with_the_asking() -> None:
    """A promise ends when the peer says, later, that its attempt is closed."""
    bench = standby(STANDBY, me=1)
    wish = asking(bench)
    bench.hear(wish)
    bench.hear(wish)
    bench.in_group(Yielded)
    bench.hear(ACTIVE)
    bench.in_group(Standby)


def test_promise_moves_to_the_next_asking() -> None:
    """Another attempt of the peer closes the promise to the one before."""
    bench = standby(STANDBY, me=1)
    bench.hear(asking(bench, attempt=1))
    bench.hear(asking(bench, attempt=2))
    bench.pass_time(100 * MS, asking(bench, attempt=2))
    assert bench.in_group(Yielded).attempt == 2


def test_promise_to_a_reborn_peer() -> None:
    """A peer that was reborn and still assesses may have a start under way: the promise stands."""
    bench = standby(STANDBY, me=1)
    bench.hear(asking(bench))
    bench.reborn(says(Role.ASSESSING))
    bench.in_group(Yielded)
    bench.hear(STANDBY)
    bench.in_group(Standby)


def test_promise_ends_by_proof() -> None:
    """S2 b: a peer proved off needs no promise kept."""
    bench = standby(STANDBY, me=1)
    bench.hear(asking(bench))
    bench.pass_time(450 * MS)
    bench.answer_evidence()
    bench.pass_time(4 * S)
    bench.answer_evidence()
    bench.finish_fence()
    assert bench.in_group(TakingOver).grant is Grant.PEER_OFF


# S4: which promise counts.


def test_promise_to_this_very_attempt() -> None:
    """S2 a and d: the peer's promise to our open attempt is the grant."""
    bench = standby(STANDBY, me=0)
    bench.hear(promise(bench))
    assert bench.in_group(TakingOver).grant is Grant.YIELDED


@pytest.mark.parametrize(
    "wrong",
    [{"attempt": 99}, {"attempt_term": 99}, {"attempt_incarnation": MINE - 1}],
    ids=["attempt", "term", "incarnation"],
)
def test_any_other_promise(wrong: dict[str, Any]) -> None:
    """S4: a promise to another attempt, term or incarnation of ours starts nothing."""
    bench = standby(STANDBY, me=0)
    bench.hear(replace(promise(bench), **wrong))
    bench.in_group(Wanting)


def test_promise_too_late() -> None:
    """S4: a promise that comes after the asking was closed starts nothing."""
    bench = standby(STANDBY, me=0)
    late = promise(bench)
    bench.pass_time(WANT_NS - 100 * MS, STANDBY)
    first = bench.in_group(Wanting).attempt
    bench.pass_time(200 * MS, STANDBY)
    bench.hear(late)
    assert bench.in_group(Wanting).attempt != first


def test_asking_is_repeated() -> None:
    """An asking without an answer is closed after 5 s and asked anew, never left open."""
    bench = standby(STANDBY, me=0)
    first = bench.in_group(Wanting).attempt
    bench.pass_time(WANT_NS + 200 * MS, STANDBY)
    assert bench.in_group(Wanting).attempt > first


def test_crossing_wants() -> None:
    """S1: of two crossing askings one is closed: exactly one of two nodes goes on asking."""
    phases = []
    for me in (0, 1):
        unable = says(Role.STANDBY, promotable=False)
        bench = standby(unable, me=me)
        bench.in_group(Wanting)
        bench.hear(asking(bench, term=0, attempt_term=1))
        phases.append(type(bench.phase()))
    assert phases == [Wanting, Yielded]


def test_asking_closes_when_the_peer_is_active() -> None:
    """An asking of a joint start is closed when the peer turns out to hold the group."""
    bench = standby(STANDBY, me=0)
    bench.hear(says(Role.TAKING_OVER))
    bench.in_group(Standby)


def test_asking_closes_when_outdated() -> None:
    """An asking whose term was overtaken is closed; the next one asks higher."""
    bench = standby(STANDBY, me=0)
    bench.hear(says(Role.STANDBY, term=8))
    bench.pass_time(100 * MS, says(Role.STANDBY, term=8))
    assert bench.in_group(Wanting).term == 9


def test_asking_waits_in_silence() -> None:
    """An asking whose peer is suspect is neither granted nor dropped before its time."""
    bench = standby(STANDBY, me=0)
    bench.pass_time(450 * MS)
    bench.in_group(Wanting)


def test_asking_granted_by_proof() -> None:
    """S2 b: an open asking turns into a takeover when the peer is proved off."""
    bench = standby(STANDBY, me=0)
    bench.pass_time(450 * MS)
    bench.answer_evidence()
    bench.pass_time(600 * MS)
    bench.in_group(Wanting)
    bench.finish_fence()
    assert bench.in_group(TakingOver).grant is Grant.PEER_OFF


# Taking over.


@pytest.mark.parametrize("first", ["disk", "probe"])
def test_start_needs_disk_and_probe(first: str) -> None:
    """S2: nothing starts before the term is durable and the addresses were seen silent."""
    bench = taking_over()
    if first == "disk":
        bench.persisted()
    else:
        bench.probed()
    bench.pass_time(1 * S)
    bench.in_group(TakingOver)
    assert bench.count(StartGroup) == 0
    if first == "disk":
        bench.probed()
    else:
        bench.persisted()
    assert bench.count(StartGroup) == 1


def test_disk_and_probe_at_once() -> None:
    """Disk and probe run at the same time, so that neither costs time of its own."""
    bench = taking_over()
    attempt = bench.in_group(TakingOver).attempt
    assert bench.asked(Persist).attempt == bench.asked(ProbeVip).attempt == attempt
    assert bench.asked(Persist).record.groups == (("web", GroupRecord(2, held=True, held_term=0)),)


def test_disk_full_is_named() -> None:
    """A disk that is full is a named reason, not a crash, and is tried again."""
    bench = taking_over()
    bench.probed()
    bench.persisted(ok=False)
    phase = bench.in_group(Blocked)
    assert (phase.reason, phase.detail) == (Reason.NOT_DURABLE, "no space left")
    assert bench.beat.groups[0].reason == Reason.NOT_DURABLE
    assert not bench.beat.groups[0].promotable
    bench.pass_time(BLOCKED_NS + 200 * MS)
    bench.in_group(TakingOver)
    assert bench.count(StartGroup) == 0


@pytest.mark.parametrize("probed", [False, True], ids=["neither answers", "only the probe"])
def test_disk_without_answer_is_named(probed: bool) -> None:  # noqa: FBT001 - a parameter
    """A disk that hangs is a named reason after 10 s, and tried again; a late answer is stale."""
    bench = taking_over()
    attempt = bench.in_group(TakingOver).attempt
    if probed:
        bench.probed()
    bench.pass_time(TAKE_OVER_NS - 1)
    bench.in_group(TakingOver)
    bench.pass_time(1)
    phase = bench.in_group(Blocked)
    assert (phase.reason, phase.detail) == (Reason.NOT_DURABLE, "no answer in time")
    assert bench.beat.groups[0].reason == Reason.NOT_DURABLE
    bench.feed(Persisted(attempt))
    assert bench.phase() == phase
    bench.pass_time(BLOCKED_NS + 200 * MS)
    assert bench.in_group(TakingOver).attempt != attempt
    assert bench.count(StartGroup) == 0


def test_probe_without_answer_is_named() -> None:
    """S8: a probe that hangs is a named reason after 10 s: no answer is not silence."""
    bench = taking_over()
    attempt = bench.in_group(TakingOver).attempt
    bench.persisted()
    bench.pass_time(TAKE_OVER_NS - 1)
    bench.in_group(TakingOver)
    bench.pass_time(1)
    phase = bench.in_group(Blocked)
    assert (phase.reason, phase.detail) == (Reason.VIP_NOT_PROBED, "no answer in time")
    assert not bench.asked(Persist).record.groups[0][1].held
    bench.feed(VipProbed(0, attempt, None))
    assert bench.phase() == phase
    assert bench.count(StartGroup) == 0
    assert not bench.state.distrusted


def test_address_answers() -> None:
    """S8: an address that answers is named; without a fence no device is to blame."""
    bench = standby(STANDBY, me=0)
    bench.hear(promise(bench))
    bench.probed("02:00:00:00:00:09")
    phase = bench.in_group(Blocked)
    assert phase.reason is Reason.VIP_ANSWERS
    assert "02:00:00:00:00:09" in phase.detail
    assert not bench.state.distrusted
    assert not bench.asked(Persist).record.groups[0][1].held


def test_stale_answers_in_a_takeover() -> None:
    """S4: answers to an earlier takeover neither start nor block this one."""
    bench = taking_over()
    old = bench.in_group(TakingOver).attempt
    bench.persisted(ok=False)
    bench.pass_time(BLOCKED_NS + 200 * MS)
    before = bench.in_group(TakingOver)
    for event in (Persisted(old), PersistFailed(old, ""), VipProbed(0, old, "02:00:00:00:00:01")):
        bench.feed(event)
    assert bench.phase() == before


def test_answers_of_another_kind() -> None:
    """S4: an answer with the right number and of the wrong kind changes nothing."""
    bench = taking_over()
    before = bench.in_group(TakingOver)
    number = before.attempt
    for event in (
        GroupStarted(0, number),
        GroupStartFailed(0, number, ""),
        GroupStopped(0, number),
        GroupStopFailed(0, number, ""),
    ):
        bench.feed(event)
        assert bench.phase() == before


def test_probe_answer_while_starting() -> None:
    """S4: a probe's answer with the number of a start changes nothing."""
    bench = taking_over()
    bench.persisted()
    bench.probed()
    before = bench.in_group(Starting)
    assert before.attempt is not None
    bench.feed(VipProbed(0, before.attempt, None))
    bench.feed(VipProbed(0, before.attempt, "02:00:00:00:00:01"))
    assert bench.phase() == before


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
