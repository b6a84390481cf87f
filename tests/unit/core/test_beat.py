# SPDX-License-Identifier: GPL-2.0-or-later
"""What this node says: its roles, whom it hears, and when it speaks."""

from __future__ import annotations

import pytest

from core.harness import HASH, MINE, THEIRS, Bench, active, asking, promise, says, standby
from haagent.core.beat import body, role
from haagent.core.effects import Beat
from haagent.core.phases import (
    Active,
    Assessing,
    Blocked,
    Grant,
    GroupPhase,
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
from haagent.core.wire import AGE_NEVER_MS, Frame, Role, cluster_id, decode, encode

ROLES: list[tuple[GroupPhase, Role]] = [
    (Assessing(1, 0), Role.ASSESSING),
    (Standby(), Role.STANDBY),
    (Wanting(1, 1, switchover=False, until_ns=0), Role.WANTING),
    (Yielded(1, 1, 1), Role.YIELDED),
    (TakingOver(Grant.PEER_OFF, 1, 1, 0), Role.TAKING_OVER),
    (Starting(1, 1), Role.TAKING_OVER),
    (Active(1, 0), Role.ACTIVE),
    (Releasing(1, 1, 0), Role.RELEASING),
    (Stuck(1, 1, 0), Role.STUCK),
    (Blocked(Reason.NOT_DURABLE, "", 0), Role.BLOCKED),
]


@pytest.mark.parametrize(("phase", "word"), ROLES, ids=[word.name for _, word in ROLES])
def test_roles(phase: GroupPhase, word: Role) -> None:
    """Every phase has its word on the wire."""
    assert role(phase) is word


def test_first_heartbeat() -> None:
    """A node that has heard nobody says so on every link, and that it is assessing."""
    bench = Bench()
    bench.pass_time(1 * MS)
    said = bench.beat
    assert said.echo == 0
    assert [link.age_ms for link in said.links] == [AGE_NEVER_MS, AGE_NEVER_MS]
    assert said.groups[0].role is Role.ASSESSING
    assert said.configuration_hash == HASH


def test_one_way_loss_is_told() -> None:
    """Each link's last counter and its age tell the peer where it is heard and where not."""
    bench = standby()
    bench.pass_time(300 * MS)
    lan, ring = bench.beat.links
    assert (lan.counter, lan.age_ms) == (1, 300)
    assert ring.age_ms == AGE_NEVER_MS


def test_age_is_capped() -> None:
    """An age beyond what 16 bits hold reads as never."""
    bench = standby()
    assert body(bench.state, bench.now_ns + 3600 * S).links[0].age_ms == AGE_NEVER_MS


def test_regular() -> None:
    """One heartbeat every interval, without drift."""
    bench = standby()
    bench.pass_time(100 * MS)
    before = bench.count(Beat)
    bench.pass_time(2 * S, says(Role.ACTIVE, term=1))
    assert bench.count(Beat) - before == 20


def test_news_travel_at_once() -> None:
    """A changed role is told at once, not with the next regular heartbeat."""
    bench = standby(says(Role.STANDBY), me=1)
    wish = asking(bench)
    bench.hear(wish)
    assert bench.in_last(Beat)
    assert bench.beat.groups[0].role is Role.YIELDED


def test_heartbeats_after_a_freeze() -> None:
    """After a freeze the heartbeats go on at their interval; missed ones are not made up for."""
    bench = standby()
    bench.freeze(5 * S)
    before = bench.count(Beat)
    bench.pass_time(1 * S)
    assert bench.count(Beat) - before <= 11


def test_asking_says_which() -> None:
    """An asking carries its attempt, its term and our incarnation."""
    bench = standby(says(Role.STANDBY), me=0)
    asked, said = bench.in_group(Wanting), bench.beat.groups[0]
    assert (said.attempt, said.attempt_term) == (asked.attempt, asked.term)
    assert said.attempt_incarnation == MINE
    assert bench.beat.echo == THEIRS


def test_handed_over_is_told() -> None:
    """After a hand-over the beat says for a while that the peer shall go first."""
    bench = active()
    bench.ask_switchover()
    bench.stopped()
    assert bench.beat.groups[0].reason == Reason.HANDED_OVER
    bench.pass_time(6 * S)
    assert bench.beat.groups[0].promotable


def test_beats_fit_the_wire() -> None:
    """What the core says can be encoded and read back, at each stage of a joint start."""
    bench = standby(says(Role.STANDBY), me=0)
    bench.hear(promise(bench))
    bench.persisted()
    bench.probed()
    bench.started()
    cluster = cluster_id("x")
    for said in [effect.body for effect in bench.all if isinstance(effect, Beat)]:
        frame = Frame(0, 1, MINE, 1, said)
        data = encode(frame, cluster=cluster, key_id=1, key=b"k")
        assert decode(data, cluster=cluster, keys={1: b"k"}, me=1) == frame
