# SPDX-License-Identifier: GPL-2.0-or-later
"""What a record of the history tells a receiver."""

from __future__ import annotations

import pytest

from haagent.alerts.occurrences import of_record


@pytest.mark.parametrize(
    ("kind", "outcome", "code", "words"),
    [
        ("failover", "completed", "failover", "failover of db to beta took 3.00 s"),
        ("failover", "abandoned", "failover_abandoned", "was given up after 3.00 s"),
        ("failover", "withheld", "failover_withheld", "no failover of db to beta in 3.00 s: why"),
        ("commits", "at_risk", "commits_at_risk", "went on alone on beta after 3.00 s"),
    ],
)
def test_each_record_is_told_as_what_it_is(kind: str, outcome: str, code: str, words: str) -> None:
    """A takeover made, given up or not made; and a risk that was taken, which is none of these."""
    record = {"kind": kind, "group": "db", "node": "beta", "outcome": outcome, "reason": "why"}
    told = of_record(record | {"total_ms": 3000.0})
    assert told.code == code
    assert words in told.detail
