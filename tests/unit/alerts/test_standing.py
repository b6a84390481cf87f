# SPDX-License-Identifier: GPL-2.0-or-later
"""Which alarms are news: each once when it comes, once when it goes, and nothing that flickers."""

from __future__ import annotations

from core.harness import standby
from status_bench import DEAD, settled, status

from haagent.alerts import Severity
from haagent.alerts.notice import Kind, Subject
from haagent.alerts.standing import IMPOSSIBLE, Standing, alarms
from haagent.core.settings import S

LINK = Subject("link_lan", Severity.WARNING, "link lan: no carrier")
NOWHERE = Subject("inactive_web", Severity.CRITICAL, "web is active nowhere")
AFTER_NS = 5 * S


def codes(standing: Standing, now_ns: int, *subjects: Subject) -> list[tuple[str, str]]:
    """What is news when these stand."""
    now = {subject.code: subject for subject in subjects}
    return [(kind.value, subject.code) for kind, subject in standing.news(now, now_ns)]


def test_told_once_when_it_has_lasted() -> None:
    """Raised after its time, not again while it stands, cleared when it was gone for as long."""
    standing = Standing(AFTER_NS, Severity.WARNING, {})
    assert codes(standing, 0, LINK) == []
    assert codes(standing, AFTER_NS - 1, LINK) == []
    assert codes(standing, AFTER_NS, LINK) == [("raised", "link_lan")]
    assert codes(standing, 100 * S, LINK) == []
    assert codes(standing, 101 * S) == []
    assert codes(standing, 106 * S) == [("cleared", "link_lan")]
    assert codes(standing, 200 * S) == []


def test_what_flickers_is_not_told() -> None:
    """Each coming and going begins anew."""
    standing = Standing(AFTER_NS, Severity.WARNING, {})
    for second in range(0, 60, 4):
        assert codes(standing, second * S, LINK) == []
        assert codes(standing, (second + 2) * S) == []
    assert codes(standing, 100 * S, LINK) == []
    assert codes(standing, 105 * S, LINK) == [("raised", "link_lan")]
    for second in range(106, 160, 4):
        assert codes(standing, second * S) == []
        assert codes(standing, (second + 2) * S, LINK) == []


def test_a_text_that_changes_is_no_news() -> None:
    """An alarm is its code."""
    standing = Standing(0, Severity.INFO, {})
    assert codes(standing, 0, LINK) == [("raised", "link_lan")]
    other = Subject(LINK.code, LINK.severity, "link lan: one-way")
    assert codes(standing, 1, other) == []


def test_below_the_least_nothing_is_told() -> None:
    """Who wants only what is critical hears of nothing else."""
    standing = Standing(0, Severity.CRITICAL, {})
    assert codes(standing, 0, LINK, NOWHERE) == [("raised", "inactive_web")]
    assert codes(standing, 1, LINK) == [("cleared", "inactive_web")]


def test_what_an_earlier_agent_told_is_known() -> None:
    """It is not raised again, and it is cleared with the words it was raised with."""
    known = {LINK.code: LINK, NOWHERE.code: NOWHERE}
    standing = Standing(0, Severity.WARNING, known)
    (told,) = standing.news({NOWHERE.code: NOWHERE}, 0)
    assert told == (Kind.CLEARED, LINK)


def test_critical_is_what_the_status_calls_critical() -> None:
    """A dead fence device on the standby: the takeover is impossible, and says why."""
    fine = alarms(status(settled(standby())))
    assert fine == {}
    found = alarms(status(settled(standby()), device=DEAD))
    assert found[IMPOSSIBLE].severity is Severity.CRITICAL
    assert "no answer" in found[IMPOSSIBLE].detail
    assert found["fence_alpha-bmc_unreachable"].severity is Severity.WARNING


def test_maintenance_gets_nobody_out_of_bed() -> None:
    """It stands as a warning, and is no takeover that is impossible."""
    bench = settled(standby())
    bench.ask_maintenance(on=True)
    found = alarms(status(settled(bench)))
    assert found["maintenance"].severity is Severity.WARNING
    assert IMPOSSIBLE not in found
