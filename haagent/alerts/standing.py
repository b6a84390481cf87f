# SPDX-License-Identifier: GPL-2.0-or-later
"""Which alarms stand, and which of them are news to a receiver: pure, the time is an argument."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from haagent.alerts import Severity
from haagent.alerts.notice import Kind, Subject
from haagent.core.reasons import Reason

IMPOSSIBLE = "takeover_impossible"
"""All reasons against a takeover are one alarm: they come and go together."""
ORDERED = frozenset({Reason.MAINTENANCE.code})
"""An operator wanted it so: that is an alarm of its own, and nobody is got out of bed for it."""


def alarms(status: Mapping[str, Any]) -> dict[str, Subject]:
    """By code, everything that stands. Critical is what makes the status critical."""
    found = {alarm["code"]: _subject(alarm) for alarm in status["alarms"]}
    reasons = [one for one in status["takeover"]["reasons"] if one["code"] not in ORDERED]
    if reasons:
        detail = "; ".join(reason["text"] for reason in reasons)
        found[IMPOSSIBLE] = Subject(
            IMPOSSIBLE, Severity.CRITICAL, f"no takeover is possible: {detail}"
        )
    return found


def _subject(alarm: Mapping[str, str]) -> Subject:
    nowhere = alarm["code"].startswith("inactive_")
    severity = Severity.CRITICAL if nowhere else Severity.WARNING
    return Subject(alarm["code"], severity, alarm["text"])


class Standing:
    """What one receiver knows of the alarms, so that each is told once when it comes and goes.

    Args:
        after_ns: Only what has lasted so long is news.
        least: Below this nothing is told.
        known: What was delivered to it as raised, by an earlier agent.
    """

    def __init__(self, after_ns: int, least: Severity, known: Mapping[str, Subject]) -> None:
        self._after_ns = after_ns
        self._least = least
        self._told = dict(known)
        self._changed_ns: dict[str, int] = {}
        """By code, since when it is otherwise than was told."""

    def news(self, now: Mapping[str, Subject], now_ns: int) -> Iterator[tuple[Kind, Subject]]:
        """What is to be told now. A text that changes while an alarm stands is no news."""
        standing = {code: one for code, one in now.items() if one.severity >= self._least}
        differing = standing.keys() ^ self._told.keys()
        self._changed_ns = {code: self._changed_ns.get(code, now_ns) for code in differing}
        for code in sorted(differing):
            if now_ns - self._changed_ns[code] < self._after_ns:
                continue
            del self._changed_ns[code]
            if code in standing:
                self._told[code] = standing[code]
                yield Kind.RAISED, standing[code]
            else:
                yield Kind.CLEARED, self._told.pop(code)
