# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened, in words for whoever was not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haagent.alerts import Severity
from haagent.alerts.notice import Subject
from haagent.core.reasons import Reason
from haagent.hooks import Happening, Occasion

STAND_AS_ALARMS = frozenset({Reason.TOO_MANY_MOVES.code, Reason.FENCE_DISTRUSTED.code})
"""These are told when they are raised, and when they are over."""


def of_happening(happening: Happening, peer: str) -> Subject | None:
    """What a hook is told, as a notice; None for what others tell better."""
    match happening.occasion:
        case Occasion.FENCE if happening.reason == "confirmed_off":
            return Subject("fenced", Severity.WARNING, f"the power of {peer} was cut and read off")
        case Occasion.FENCE:
            detail = f"the power of {peer} could not be proved off: {happening.detail}"
            return Subject("fence_unconfirmed", Severity.CRITICAL, detail)
        case Occasion.ALARM if happening.reason in STAND_AS_ALARMS | {"fence_unconfirmed"}:
            return None
        case Occasion.ALARM:
            severity = Severity.CRITICAL if happening.reason == "stuck" else Severity.WARNING
            return Subject(happening.reason, severity, happening.detail)
        case Occasion.STANDBY if happening.detail:
            return Subject("returned", Severity.INFO, f"{happening.group} {happening.detail}")
        case _:
            return None  # The record of the takeover says it, with its times.


def of_record(record: Mapping[str, Any]) -> Subject:
    """A takeover to this node that is over, or one that was not made, and why."""
    what, group, node = record["kind"], record["group"], record["node"]
    severity = Severity.WARNING if what == "failover" else Severity.INFO
    took_s = record["total_ms"] / 1e3
    match record["outcome"]:
        case "completed":
            return Subject(what, severity, f"{what} of {group} to {node} took {took_s:.2f} s")
        case "abandoned":
            detail = f"{what} of {group} to {node} was given up after {took_s:.2f} s"
            return Subject(f"{what}_abandoned", Severity.WARNING, detail)
        case "at_risk":
            detail = f"commits of {group} went on alone on {node} after {took_s:.2f} s, at a risk"
            return Subject("commits_at_risk", Severity.WARNING, detail)
        case _:
            detail = f"no {what} of {group} to {node} in {took_s:.2f} s: {record['reason']}"
            return Subject(f"{what}_withheld", Severity.WARNING, detail)
