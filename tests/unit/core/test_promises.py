# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of a group that does not run: what is found at a start, asking, promising."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.harness import MINE, THEIRS, Bench, active, asking, promise, says, standby
from haagent.core.effects import GroupRecord, Manage, Persist, Record, StartGroup, StopGroup
from haagent.core.groups import WANT_NS
from haagent.core.orders import Orders
from haagent.core.phases import (
    Active,
    Assessing,
    Grant,
    Standby,
    Starting,
    TakingOver,
    Wanting,
    Yielded,
)
from haagent.core.settings import MS, S
from haagent.core.wire import Role

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


@pytest.mark.parametrize(
    ("held", "same_boot", "phase"),
    [(True, True, Starting), (False, True, Assessing), (True, False, Assessing)],
    ids=["held", "not-held", "other-boot"],
)
def test_frozen_group_is_taken_up_as_it_is(held: bool, same_boot: bool, phase: type) -> None:  # noqa: FBT001
    """What its last holder finds of it in the same boot stays, though it be nothing; else S5."""
    record = Record(
        groups=(("web", GroupRecord(7, held=held, held_term=7)),),
        orders=Orders(1, frozen=frozenset({"web"})),
    )
    bench = Bench(record=record, same_boot=same_boot)
    bench.in_group(phase)
    assert bench.asked(Manage) == Manage(0, on=False)


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
