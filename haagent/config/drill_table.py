# SPDX-License-Identifier: GPL-2.0-or-later
"""Form of [drill], and what it says once read."""

from __future__ import annotations

from typing import Literal

from fencing.config import duration
from haagent.config.schema import (
    Blackouts,
    DayOrMore,
    DrillBudget,
    DrillKind,
    Hours,
    Logins,
    Table,
    UpToQuarter,
)
from haagent.drill.due import Practice
from haagent.drill.settings import DrillSettings

_S = duration.UNITS_NS["s"]
_DRILL = DrillSettings()
_PRACTICE = _DRILL.practice


class DrillTable(Table):
    """Form of [drill]; nanoseconds once read."""

    level: DrillKind = None
    every: DayOrMore = round(_PRACTICE.every_s * _S)
    random_delay: UpToQuarter = round(_PRACTICE.random_delay_s * _S)
    working_hours: Hours = ()
    blackout: Blackouts = ()
    prove_every: DayOrMore = round(_PRACTICE.prove_every_s * _S)
    stable_for: UpToQuarter = round(_DRILL.stable_for_s * _S)
    rest: UpToQuarter = round(_DRILL.rest_s * _S)
    gap_budget: DrillBudget = round(_DRILL.gap_budget_s * _S)
    switchover_budget: DrillBudget = round(_DRILL.switchover_budget_s * _S)
    takeover_budget: DrillBudget = round(_DRILL.takeover_budget_s * _S)
    return_budget: DrillBudget = round(_DRILL.return_budget_s * _S)
    crash: Literal["kernel", "freeze"] = _DRILL.crash
    writes: Logins = _DRILL.writes


def drill_settings(table: DrillTable) -> DrillSettings:
    """The same with times in seconds."""
    return DrillSettings(
        Practice(
            level=table.level,
            every_s=table.every / _S,
            random_delay_s=table.random_delay / _S,
            hours=table.working_hours,
            blackouts=table.blackout,
            prove_every_s=table.prove_every / _S,
        ),
        stable_for_s=table.stable_for / _S,
        rest_s=table.rest / _S,
        gap_budget_s=table.gap_budget / _S,
        switchover_budget_s=table.switchover_budget / _S,
        takeover_budget_s=table.takeover_budget / _S,
        return_budget_s=table.return_budget / _S,
        crash=table.crash,
        writes=table.writes,
    )
