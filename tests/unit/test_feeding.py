# SPDX-License-Identifier: GPL-2.0-or-later
"""S2 e: a watchdog is fed only while the peer or the witnesses provably stand by its node."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core.harness import active, says, silent, standby

from haagent.core.phases import Fenced, Left, PoweringOn, Proof, Unheard
from haagent.core.settings import MS, S
from haagent.core.state import State
from haagent.core.wire import AGE_NEVER_MS, Body, Frame, LinkReport, Role
from haagent.feeding import SENT_EVERY_NS, FeedingRight, outwait_ns, unfed_s

ME, LASTS_NS = 77, 10 * S
HOLDS = active().state
BODY = active().state.view
assert BODY is not None


def right() -> FeedingRight:
    """Of a node that holds a group, with its peer alive."""
    made = FeedingRight(ME, LASTS_NS)
    made.observe(HOLDS)
    return made


def says_heard(*counters: int, echo: int = ME, age_ms: int = 5) -> Frame:
    """A frame of the peer's that tells which of our frames it heard, by link."""
    assert BODY is not None
    links = tuple(LinkReport(counter, age_ms) for counter in counters)
    told: Body = replace(BODY.body, echo=echo, links=links)
    return Frame(1, 0, 5, 9, told)


def test_heard_by_the_peer_counts_from_when_it_was_sent() -> None:
    """However long the peer's word was on its way, the right ends by when our frame left."""
    one = right()
    assert not one.lasts(0)
    for number in range(5):
        one.sent(10 + 2 * number, number * S)
    one.heard(says_heard(3, 15))
    assert one.lasts(2 * S + LASTS_NS - 1)
    assert not one.lasts(2 * S + LASTS_NS)
    one.heard(says_heard(18))
    assert one.lasts(4 * S + LASTS_NS - 1)


@pytest.mark.parametrize(
    "frame",
    [says_heard(10, echo=ME + 1), says_heard(10, age_ms=AGE_NEVER_MS), says_heard(9), says_heard()],
)
def test_what_is_no_hearing_gives_no_right(frame: Frame) -> None:
    """Counters of another agent of ours, of a link never heard on, or of older frames: nothing."""
    one = right()
    one.sent(10, 0)
    one.heard(frame)
    assert not one.lasts(1)


def test_memory_is_bounded_and_errs_on_the_safe_side() -> None:
    """Frames between two remembered ones count as the one before them."""
    one = right()
    one.sent(1, 0)
    one.sent(2, SENT_EVERY_NS - 1)
    one.heard(says_heard(2))
    assert not one.lasts(LASTS_NS)


def test_witnesses_count_from_when_they_were_asked() -> None:
    """A later answer to an earlier question does not shorten what a later one gave."""
    one = right()
    one.agreed(5 * S)
    one.agreed(3 * S)
    assert one.lasts(5 * S + LASTS_NS - 1)
    assert not one.lasts(5 * S + LASTS_NS)


def test_who_holds_nothing_needs_none() -> None:
    """A standby that has lost everybody is no danger to anybody."""
    one = right()
    one.observe(standby().state)
    assert one.lasts(10**18)
    one.observe(HOLDS)
    assert not one.lasts(10**18)


def test_none_is_needed_where_it_is_not_configured() -> None:
    """Without `fence` nothing is asked for, and nothing is remembered."""
    one = FeedingRight(ME, 0)
    one.observe(HOLDS)
    one.sent(1, 0)
    one.heard(says_heard(1))
    assert one.lasts(10**18)


def test_a_peer_that_was_proved_off_waits_for_nobody() -> None:
    """From the proof, or the farewell, until anything of the peer is heard, no right is needed."""
    now_ns = HOLDS.now_ns
    for first in (Fenced(now_ns, Proof.OPERATOR, now_ns), Left(now_ns)):
        one = right()
        one.observe(replace(HOLDS, pair=first))
        assert one.lasts(10**18)
        one.observe(replace(HOLDS, pair=PoweringOn(now_ns, now_ns, 1, 1, now_ns)))
        one.observe(replace(HOLDS, pair=Unheard(now_ns)))
        assert one.lasts(10**18)
        one.observe(HOLDS)
        assert not one.lasts(10**18), "it lives"
        one.observe(replace(HOLDS, pair=Unheard(now_ns)))
        assert not one.lasts(10**18), "and the proof does not come back"


def stranger(state: State, at_ns: int) -> State:
    """An agent of the peer's was heard that may know us by now."""
    return replace(state, stranger=9, stranger_heard_ns=at_ns)


def test_a_stranger_ends_it() -> None:
    """An agent that we answered, though it has not answered us, may wait for our end."""
    now_ns = HOLDS.now_ns
    one = right()
    off = replace(HOLDS, pair=Fenced(now_ns, Proof.HARDWARE, now_ns))
    one.observe(stranger(off, now_ns - 1))
    assert one.lasts(10**18), "what was heard before the proof is dead"
    one.observe(stranger(off, now_ns))
    assert not one.lasts(10**18)
    one.observe(off)
    one.observe(stranger(replace(HOLDS, pair=Unheard(now_ns)), now_ns + 1))
    assert not one.lasts(10**18)


def test_an_agent_that_was_started_anew_needs_one() -> None:
    """S2 e: its peer may be waiting for the end of the agent before it, and it cannot know."""
    one = FeedingRight(ME, LASTS_NS)
    assert not one.lasts(0)
    one.observe(replace(HOLDS, pair=Unheard(HOLDS.now_ns)))
    assert not one.lasts(0)
    one.observe(replace(silent(says(Role.STANDBY)).state, groups=HOLDS.groups))
    assert not one.lasts(0)


def test_the_wait_is_longer_than_the_end_can_take() -> None:
    """The right, a feeding that came one timeout late, the timeout, and a tenth and 2 s more."""
    assert unfed_s(10, 12) == 34
    assert outwait_ns(34) == 39_400 * MS
