# SPDX-License-Identifier: GPL-2.0-or-later
"""When a drill is due, and when none is begun."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from haagent.drill.archive import Entry, Verdict
from haagent.drill.due import DAY_S, Blackout, Hours, Practice
from haagent.drill.kinds import Kind

NOW = datetime(2026, 11, 26, 14, 30, tzinfo=UTC)
"""A Thursday."""
OFFICE = Hours(frozenset(range(5)), time(9), time(16))
XMAS = Blackout(date(2026, 12, 20), date(2027, 1, 6))


def proof(kind: Kind, days_ago: float) -> Entry:
    """A drill of that kind, passed so long ago."""
    began = NOW - timedelta(days=days_ago)
    return Entry("id", began, kind, "alpha", Verdict.PASSED)


def test_without_a_level_what_was_proven_is_to_stay_so() -> None:
    """What nobody chose or practised is not missed; what was proven once grows old."""
    assert Practice().overdue({}, NOW.timestamp()) == []
    proofs = {kind: proof(kind, 91) for kind in (Kind.FENCE_STANDBY, Kind.CHAOS)}
    proofs[Kind.CHECK] = proof(Kind.CHECK, 89)
    (told,) = Practice().overdue(proofs, NOW.timestamp())
    assert told["code"] == "drill_due_fence-standby"
    assert "91 days ago" in told["text"]


def test_old_and_missing_proofs_are_told() -> None:
    """Of the chosen level and each below: never, or longer ago than prove_every."""
    practice = Practice(level=Kind.AGENT_KILL, prove_every_s=90 * DAY_S)
    proofs = {Kind.CHECK: proof(Kind.CHECK, 89), Kind.SWITCHOVER: proof(Kind.SWITCHOVER, 91)}
    told = {one["code"]: one["text"] for one in practice.overdue(proofs, NOW.timestamp())}
    assert set(told) == {"drill_due_switchover", "drill_due_agent-kill"}
    assert "91 days ago" in told["drill_due_switchover"]
    assert "never" in told["drill_due_agent-kill"]


def test_hours_and_blackouts() -> None:
    """Within the hours and outside the blackouts only; a blackout's last day is part of it."""
    practice = Practice(hours=(OFFICE,), blackouts=(XMAS,))
    assert practice.not_now(NOW) is None
    assert "working hours" in str(practice.not_now(NOW.replace(hour=16, minute=0)))
    assert "working hours" in str(practice.not_now(NOW + timedelta(days=2)))
    for day in (20, 31):
        assert "blackout" in str(practice.not_now(datetime(2026, 12, day, 12, 0, tzinfo=UTC)))
    assert "blackout" in str(practice.not_now(datetime(2027, 1, 6, 12, 0, tzinfo=UTC)))
    assert practice.not_now(datetime(2027, 1, 7, 12, 0, tzinfo=UTC)) is None


def test_delay_is_drawn_once() -> None:
    """Both nodes draw the same delay, it lies within its bounds, and differs between drills."""
    practice = Practice(every_s=90 * DAY_S, random_delay_s=14 * DAY_S)
    drawn = [practice.due(NOW + timedelta(days=day), "shop") for day in range(20)]
    delays = set()
    for day, due in enumerate(drawn):
        assert due is not None
        assert due == practice.due(NOW + timedelta(days=day), "shop")
        delay = due - (NOW + timedelta(days=day + 90))
        assert timedelta(0) <= delay <= timedelta(days=14)
        delays.add(delay)
    assert len(delays) == 20
    assert practice.due(None, "shop") is None
