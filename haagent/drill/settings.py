# SPDX-License-Identifier: GPL-2.0-or-later
"""What the configuration says of drills; a drill decides nothing, so the nodes may differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from haagent.drill.due import Practice


@dataclass(frozen=True, slots=True)
class DrillSettings:
    """Form of [drill], read; times in seconds."""

    practice: Practice = field(default_factory=Practice)
    stable_for_s: float = 300.0
    """No role has changed for so long before a drill begins."""
    rest_s: float = 3600.0
    """Between two drills that have an effect."""
    gap_budget_s: float = 1.0
    """What a client may go without an answer where nothing is to move."""
    switchover_budget_s: float = 10.0
    """The same where a group is handed over."""
    takeover_budget_s: float = 60.0
    """The same, and the whole way from the fault to groups that run here, after a death."""
    return_budget_s: float = 900.0
    """From its power on until the peer stands by: servers take minutes to boot."""
    crash: Literal["kernel", "freeze"] = "kernel"
    """What crash-active does to the node."""
    writes: Mapping[str, str] = field(default_factory=dict)
    """By group: how to log in to its database, as parameters of libpq, to write there."""
