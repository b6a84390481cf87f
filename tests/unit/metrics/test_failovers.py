# SPDX-License-Identifier: GPL-2.0-or-later
"""The phase histograms hold what the history holds, each phase once."""

from __future__ import annotations

from typing import Any

from haagent.metrics.failovers import Failovers


def record(number: int, kind: str = "failover", outcome: str = "completed") -> dict[str, Any]:
    """As haagent.history writes them."""
    phases = [{"name": "suspect", "ms": 400.0}, {"name": "active", "ms": 600.0}]
    return {
        "id": number,
        "kind": kind,
        "group": "web",
        "outcome": outcome,
        "phases": phases,
        "total_ms": 1000.0,
    }


def seen(failovers: Failovers, phase: str) -> tuple[int, float]:
    """How often that phase was counted, and its seconds in all."""
    return failovers.phases[phase].cumulative()[-1][1], failovers.phases[phase].sum_s


def test_phases_that_come_later_are_counted_once() -> None:
    """The peer's return completes a record that was counted already."""
    records = [record(1)]
    failovers = Failovers(["web"], [])
    failovers.take(records)
    records[0]["phases"].append({"name": "peer_back", "ms": 30_000.0})
    failovers.take(records)
    failovers.take(records)
    assert seen(failovers, "suspect") == (1, 0.4)
    assert seen(failovers, "peer_back") == (1, 30.0)
    assert failovers.ended["web", "failover", "completed"] == 1
    assert failovers.durations["web", "failover"].sum_s == 1.0


def test_what_earlier_agents_did_is_not_counted_again() -> None:
    """A counter begins at the agent's start, and rises by one for each new record."""
    records = [record(1), record(2)]
    failovers = Failovers(["web"], records)
    records.append(record(3, kind="switchover"))
    failovers.take(records)
    assert failovers.ended["web", "failover", "completed"] == 0
    assert failovers.ended["web", "switchover", "completed"] == 1
    assert seen(failovers, "suspect") == (0, 0.0), "only failovers have phases of a silence"


def test_what_is_no_takeover_is_not_counted() -> None:
    """A risk that was taken stands in the history, and has a metric of its own."""
    failovers = Failovers(["web"], [])
    before = dict(failovers.ended)
    failovers.take([record(1, kind="commits", outcome="at_risk")])
    assert failovers.ended == before
    assert seen(failovers, "suspect") == (0, 0.0)


def test_an_abandoned_takeover_has_no_duration() -> None:
    """It is counted as what it is."""
    failovers = Failovers(["web"], [])
    failovers.take([record(1, outcome="abandoned")])
    assert failovers.ended["web", "failover", "abandoned"] == 1
    assert failovers.durations["web", "failover"].cumulative()[-1][1] == 0


def test_a_phase_that_is_not_known_is_counted_all_the_same() -> None:
    """A resource may note moments of its own."""
    new = record(1)
    new["phases"].append({"name": "promoted", "ms": 80.0})
    failovers = Failovers(["web"], [])
    failovers.take([new])
    assert seen(failovers, "promoted") == (1, 0.08)
