# SPDX-License-Identifier: GPL-2.0-or-later
"""Data that is too old is not served, whatever became of the node that had the newer."""

from __future__ import annotations

import pytest

from core.harness import Bench, active, order, says, standby
from haagent.core.effects import Fence, GroupRecord, Persist, Record
from haagent.core.events import FailoverAsked
from haagent.core.freshness import DURABLE_EVERY_NS
from haagent.core.phases import Active, Blocked, Standby, TakingOver
from haagent.core.reasons import Reason
from haagent.core.settings import S
from haagent.core.standing import ACCEPT_LOSS_NS
from haagent.core.wire import Role

ACTIVE = says(Role.ACTIVE, term=1, held_term=1)


def lagging(max_lag: int = 10, mine: int = 80, theirs: int = 100) -> Bench:
    """A standby whose data is behind the active's."""
    bench = standby(says(Role.ACTIVE, term=1, held_term=1, position=theirs), max_lag=max_lag)
    bench.read_position(mine)
    return bench


def test_too_old_is_not_taken() -> None:
    """It neither shoots nor starts, and says that its data is too old."""
    bench = lagging()
    bench.watch(5 * S)
    assert bench.reasons() == (Reason.DATA_TOO_OLD,)
    assert bench.beat.groups[0].reason == Reason.DATA_TOO_OLD
    assert bench.beat.groups[0].position == 80
    bench.prove_off()
    bench.in_group(Standby)


@pytest.mark.parametrize(("mine", "theirs"), [(90, 100), (100, 90), (-1, -1)])
def test_fresh_enough(mine: int, theirs: int) -> None:
    """Within the limit, ahead, or where the peer tells of no position at all, nothing bars."""
    bench = lagging(mine=mine, theirs=theirs)
    bench.watch(5 * S)
    assert bench.count(Fence) == 1


def test_an_unknown_position_is_too_old() -> None:
    """S3: not to know one's own data is no reason to trust it."""
    bench = lagging(mine=-1)
    bench.watch(5 * S)
    assert bench.count(Fence) == 0


def test_loss_accepted() -> None:
    """`failover --accept-data-loss`: the peer is shot and the group started, this once."""
    bench = lagging()
    bench.watch(5 * S)
    bench.feed(FailoverAsked(7, None))
    assert bench.reply(7).ok
    bench.watch(1 * S)
    bench.finish_fence()
    bench.persisted()
    bench.probed()
    bench.started()
    bench.in_group(Active)
    assert not bench.state.groups[0].accept_loss_until_ns


def test_loss_is_not_accepted_from_a_living_active() -> None:
    """A peer that serves is not failed over from by accepting loss: that is a switchover."""
    bench = lagging()
    bench.feed(FailoverAsked(7, 0))
    assert "use switchover" in bench.reply(7).message
    holder = active()
    holder.feed(FailoverAsked(7, 0))
    assert "runs here" in holder.reply(7).message


def test_old_data_becomes_known_in_mid_takeover() -> None:
    """What becomes known before the start still prevents it."""
    bench = standby(ACTIVE, max_lag=10)
    bench.read_position(100)
    bench.prove_off()
    bench.in_group(TakingOver)
    bench.hear(says(Role.ACTIVE, term=1, held_term=1, position=200), heard_ns=bench.now_ns)
    assert bench.in_group(Blocked).reason is Reason.DATA_TOO_OLD


def test_unknown_does_not_lower_what_was_told() -> None:
    """The holder's database dies before the holder: what it had acknowledged is still newer."""
    bench = lagging()
    bench.hear(says(Role.ACTIVE, term=1, held_term=1, position=-1))
    bench.watch(5 * S)
    assert bench.count(Fence) == 0
    assert Reason.DATA_TOO_OLD in bench.reasons()


def test_what_was_told_outlives_the_agent() -> None:
    """A standby that restarts after its peer has died does not forget how old its data is."""
    told = lagging().asked(Persist).record
    ((_, kept),) = told.groups
    assert (kept.peer_term, kept.peer_position) == (1, 100)
    bench = Bench(record=told, max_lag=10)
    bench.stopped()
    bench.read_position(80)
    bench.prove_off()
    bench.in_group(Standby)
    bench.read_position(95)
    bench.pass_time(1 * S)
    bench.in_group(TakingOver)


def test_positions_are_written_once_in_a_while() -> None:
    """A database that is written to all day costs no disk write a second."""
    bench = lagging(mine=100)
    written = bench.count(Persist)
    for second in range(90):
        bench.pass_time(1 * S, says(Role.ACTIVE, term=1, held_term=1, position=101 + second))
    assert bench.count(Persist) == written + 90 * S // DURABLE_EVERY_NS


def test_the_last_holder_is_never_too_old() -> None:
    """Nobody can have newer data, whatever is known of positions."""
    record = Record(groups=(("web", GroupRecord(5, held=True, held_term=5, peer_term=4)),))
    bench = Bench(record=record, max_lag=10)
    bench.stopped()
    bench.hear(says(Role.STANDBY, term=4, held_term=4, position=10_000))
    assert bench.state.groups[0].position == -1
    bench.prove_off()
    bench.in_group(TakingOver)


def test_a_later_holder_counts_alone() -> None:
    """Who took over with old data, as an operator wanted, has the newest there is."""
    bench = lagging(mine=80)
    bench.hear(says(Role.ACTIVE, term=9, held_term=9, position=50))
    bench.hear(says(Role.ACTIVE, term=8, held_term=8, position=5000))
    assert bench.state.groups[0].peer_position == 50
    bench.hear(says(Role.ACTIVE, term=9, held_term=9, position=55))
    bench.watch(5 * S)
    assert bench.count(Fence) == 1


def test_an_accepted_loss_ends_with_the_peers_return() -> None:
    """It was for the failover at hand: the peer serves again, so nothing was lost."""
    bench = lagging()
    bench.watch(5 * S)
    bench.feed(FailoverAsked(7, None))
    bench.hear(says(Role.ACTIVE, term=1, held_term=1, position=200))
    assert not bench.state.groups[0].accept_loss_until_ns
    bench.watch(5 * S)
    assert bench.count(Fence) <= 1
    bench.prove_off(request=8)
    bench.in_group(Standby)


def test_an_accepted_loss_ends_with_its_time() -> None:
    """A word that was given and forgotten does not lose data hours later."""
    bench = lagging()
    bench.pass_time(2 * S)
    bench.feed(FailoverAsked(7, None))
    assert "10 minutes" in bench.reply(7).message
    bench.pass_time(ACCEPT_LOSS_NS)
    bench.prove_off(request=8)
    bench.in_group(Standby)


def test_a_loss_is_not_accepted_for_what_would_not_start_anyway() -> None:
    """A frozen group does not start as soon as the peer is off, so nobody says that it does."""
    bench = lagging()
    order(bench, "freeze")
    bench.pass_time(2 * S)
    bench.feed(FailoverAsked(8, None))
    reply = bench.reply(8)
    assert (reply.ok, "froze" in reply.message) == (False, True)
