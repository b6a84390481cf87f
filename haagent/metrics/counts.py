# SPDX-License-Identifier: GPL-2.0-or-later
"""What the loop itself counts as it goes; everything else is gathered when somebody asks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fencing import FenceOutcome
from haagent.core.settings import S
from haagent.hooks import Happening, Occasion
from haagent.links.loss import Loss
from haagent.metrics.failovers import Failovers
from haagent.metrics.histogram import Histogram

LATENESS_NS = tuple(
    round(seconds * S) for seconds in (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
)
"""A heartbeat's interval is 0.1 s by default, dead_after 1 s."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Since the agent started."""

    loss: Loss
    failovers: Failovers
    frames: Counter[str] = field(default_factory=Counter)
    """Datagrams by what became of them."""
    fences: Counter[str] = field(
        default_factory=lambda: Counter({outcome.value: 0 for outcome in FenceOutcome})
    )
    """Attempts to cut the peer's power, by their outcome."""
    lateness: Histogram = field(default_factory=lambda: Histogram(LATENESS_NS))
    """How long after its deadline the loop turned to it."""

    def tell(self, happening: Happening) -> None:
        """Count what the hooks are told of."""
        if happening.occasion is Occasion.FENCE:
            self.fences[happening.reason] += 1
