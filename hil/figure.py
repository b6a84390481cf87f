# SPDX-License-Identifier: GPL-2.0-or-later
"""One thing measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """Values of one thing, and what they must not exceed."""

    name: str
    unit: str
    values: Sequence[float]
    limit: float
    judged: Literal["worst", "median"] = "worst"
    """Which of the values the limit is for."""

    @property
    def held(self) -> bool:
        """Whether what is judged was within the limit."""
        pick = max if self.judged == "worst" else statistics.median
        return pick(self.values) <= self.limit
