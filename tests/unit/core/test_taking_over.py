# SPDX-License-Identifier: GPL-2.0-or-later
"""A takeover: what it waits for, and what ends it before anything was started."""

from __future__ import annotations

import pytest

from core.harness import promise, says, standby, taking_over
from haagent.core.effects import GroupRecord, Persist, ProbeVip, StartGroup
from haagent.core.events import (
    GroupStarted,
    GroupStartFailed,
    GroupStopFailed,
    GroupStopped,
    Persisted,
    PersistFailed,
    VipProbed,
)
from haagent.core.groups import BLOCKED_NS, TAKE_OVER_NS
from haagent.core.phases import Blocked, Starting, TakingOver
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S
from haagent.core.wire import Role

STANDBY = says(Role.STANDBY)


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
