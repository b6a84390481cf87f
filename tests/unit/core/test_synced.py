# SPDX-License-Identifier: GPL-2.0-or-later
"""S11: commits go on alone only when the peer can certainly not be promoted without them."""

from __future__ import annotations

from typing import Any

import pytest

from core.harness import REBORN, Bench, active, fencing, says, standby
from haagent.core.effects import CommitAlone, Fence, GroupRecord, Record
from haagent.core.events import FailoverAsked, SyncRead
from haagent.core.phases import Active, Left, Starting, TakingOver
from haagent.core.reasons import Reason
from haagent.core.settings import S
from haagent.core.wire import GroupReport, Role

HOLDER = says(Role.ACTIVE, term=1, held_term=1)


def holder(**kwargs: Any) -> Bench:
    """Node 0, active, whose server makes commits wait."""
    return active(sync=True, **kwargs)


def tell(bench: Bench, attempt: int, *, complete: bool) -> None:
    """The server's next reading."""
    bench.feed(SyncRead(0, attempt, complete))


def answers(bench: Bench, *, complete: bool, behind: int = 0) -> GroupReport:
    """A standby that has heard the newest word, or one so much older."""
    seen = bench.beat.groups[0].word - behind
    return says(Role.STANDBY, term=1, seen=seen, complete=complete)


def told(*, given: bool, word: int = 5) -> Bench:
    """A standby that has heard a holder's word."""
    return standby(says(Role.ACTIVE, term=1, held_term=1, word=word, given=given), sync=True)


def test_commits_go_on_alone_once_the_standby_says_that_it_is_stale() -> None:
    """The newest word is answered, and only then, for the reading that asked last."""
    bench = holder()
    tell(bench, 1, complete=True)
    assert bench.beat.groups[0].given
    bench.hear(answers(bench, complete=True))
    tell(bench, 2, complete=False)
    tell(bench, 3, complete=False)
    assert not bench.beat.groups[0].given
    bench.hear(answers(bench, complete=True))
    bench.hear(answers(bench, complete=False, behind=1))
    assert bench.count(CommitAlone) == 0
    bench.hear(answers(bench, complete=False))
    assert bench.asked(CommitAlone) == CommitAlone(0, 3, risk=False)
    assert bench.count(CommitAlone) == 1
    tell(bench, 4, complete=False)
    assert bench.asked(CommitAlone) == CommitAlone(0, 4, risk=False)


def test_a_first_word_must_be_answered_as_well() -> None:
    """Nothing was ever said: that is no answer."""
    bench = holder()
    tell(bench, 1, complete=False)
    assert bench.count(CommitAlone) == 0
    assert bench.beat.groups[0].word


def test_back_in_sync_needs_a_new_word() -> None:
    """A standby that dropped out is given a new number; one that holds its word keeps it."""
    bench = holder()
    tell(bench, 1, complete=True)
    first = bench.beat.groups[0].word
    bench.hear(answers(bench, complete=True))
    tell(bench, 2, complete=True)
    assert bench.state.groups[0].sync.word == first
    bench.hear(answers(bench, complete=False))
    tell(bench, 3, complete=True)
    assert bench.beat.groups[0].word > first
    assert bench.beat.groups[0].given


def test_a_silent_standby_is_proved_off_after_a_while() -> None:
    """Nobody answers: the holder, which gains nothing else, has it shot after sync_wait."""
    bench = holder(sync_wait_ns=3 * S)
    tell(bench, 1, complete=True)
    bench.hear(answers(bench, complete=True))
    bench.watch(5 * S)
    assert bench.reasons() == (Reason.NOTHING_TO_GAIN,)
    tell(bench, 2, complete=False)
    bench.watch(2 * S)
    assert bench.count(Fence) == 0
    bench.watch(2 * S)
    assert bench.count(Fence) == 1
    assert bench.count(CommitAlone) == 0
    bench.finish_fence()
    assert bench.asked(CommitAlone) == CommitAlone(0, 2, risk=False)
    bench.in_group(Active)
    assert not bench.beat.groups[0].given


def test_continue_goes_on_at_a_risk_that_is_told() -> None:
    """Without proof the operator's policy decides; a later answer ends the risk."""
    bench = holder(sync_wait_ns=3 * S, sync_continue=True)
    tell(bench, 1, complete=False)
    bench.watch(2 * S)
    assert bench.count(CommitAlone) == 0
    bench.watch(2 * S)
    assert bench.asked(CommitAlone) == CommitAlone(0, 1, risk=True)
    assert bench.state.groups[0].sync.risk
    tell(bench, 2, complete=True)
    assert not bench.state.groups[0].sync.risk


def test_a_peer_that_left_is_stale() -> None:
    """It stopped everything and ended: its next agent knows nothing."""
    bench = holder()
    tell(bench, 1, complete=True)
    bench.hear(answers(bench, complete=True), leaving=True)
    bench.in_pair(Left)
    tell(bench, 2, complete=False)
    assert bench.asked(CommitAlone) == CommitAlone(0, 2, risk=False)


def test_only_a_holder_is_asked() -> None:
    """A reading that comes after the group was let go changes nothing."""
    bench = told(given=True)
    tell(bench, 1, complete=False)
    assert bench.beat.groups[0].word == 0
    assert bench.count(CommitAlone) == 0


@pytest.mark.parametrize("given", [True, False])
def test_the_standby_goes_by_the_newest_word(*, given: bool) -> None:
    """Told so it takes over; else it is barred, says so, and never shoots."""
    bench = told(given=given)
    said = bench.beat.groups[0]
    assert (said.seen, said.complete, said.promotable) == (5, given, given)
    assert said.reason == (0 if given else Reason.NOT_IN_SYNC)
    bench.watch(3 * S)
    assert bench.count(Fence) == given


def test_a_word_is_taken_once() -> None:
    """The number that was answered is not taken up again; silence about it changes nothing."""
    bench = told(given=True)
    bench.hear(HOLDER)
    assert bench.state.groups[0].sync.complete
    bench.hear(says(Role.ACTIVE, term=1, held_term=1, word=6))
    assert bench.beat.groups[0].seen == 6
    assert not bench.beat.groups[0].complete


def test_a_new_incarnation_of_the_holder_has_numbers_of_its_own() -> None:
    """What was answered to the one before is no answer to this one."""
    bench = told(given=True)
    bench.reborn(HOLDER)
    assert bench.incarnation == REBORN
    bench.pass_time(100_000_000)
    said = bench.beat.groups[0]
    assert (said.seen, said.complete) == (0, True)
    bench.hear(says(Role.ACTIVE, term=1, held_term=1, word=5))
    bench.pass_time(100_000_000)
    said = bench.beat.groups[0]
    assert (said.seen, said.complete) == (5, False)


def test_a_takeover_commits_alone_since_the_peer_is_off() -> None:
    """What is fenced comes back with a new agent, which knows of no word."""
    bench = fencing(says(Role.ACTIVE, term=1, held_term=1, word=5, given=True), sync=True)
    bench.finish_fence()
    bench.in_group(TakingOver)
    bench.persisted()
    bench.probed()
    bench.in_group(Starting)
    tell(bench, 1, complete=False)
    assert bench.asked(CommitAlone) == CommitAlone(0, 1, risk=False)


def test_the_last_holder_is_complete_once_it_has_heard_the_peer() -> None:
    """After a restart terms decide; the peer's own word on them is needed first."""
    bench = Bench(sync=True)
    bench.stopped()
    assert bench.beat.groups[0].reason == Reason.NOT_IN_SYNC
    bench.hear(says(Role.STANDBY, term=3, held_term=2))
    assert bench.beat.groups[0].reason == Reason.NOT_IN_SYNC
    for held_term, may in ((3, True), (1, False)):
        known = GroupRecord(3, held=False, held_term=held_term)
        last = Bench(sync=True, record=Record(groups=(("web", known),)))
        last.stopped()
        assert not last.beat.groups[0].promotable
        last.hear(says(Role.STANDBY, term=3, held_term=2, promotable=False))
        assert (last.beat.groups[0].reason != Reason.NOT_IN_SYNC) is may


@pytest.mark.parametrize(("mine", "theirs", "first"), [(7, 5, True), (5, 7, False), (-1, -1, True)])
def test_nobody_has_ever_held_it(mine: int, theirs: int, *, first: bool) -> None:
    """At the very first start the fuller data goes first."""
    bench = Bench(me=0, sync=True)
    bench.stopped()
    bench.read_position(mine)
    bench.hear(says(Role.STANDBY, position=theirs, promotable=False))
    assert bench.beat.groups[0].promotable is first


def test_an_operator_may_take_the_loss() -> None:
    """As with data that is too old; the peer's return ends it."""
    bench = told(given=False)
    bench.hear(says(Role.STANDBY, term=1, held_term=1, word=6))
    bench.feed(FailoverAsked(7, None))
    assert bench.reply(7).ok
    assert bench.state.groups[0].accept_loss_until_ns
    bench.hear(HOLDER)
    assert not bench.state.groups[0].accept_loss_until_ns
