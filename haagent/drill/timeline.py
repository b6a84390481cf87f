# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened, in order: told to whoever watches, and kept for the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MOMENTS_MAX = 2000
"""Of one drill; a pair that changes more often than that is told of no more."""


@dataclass(slots=True)
class Timeline:
    """Moments in milliseconds since the drill began."""

    say: Callable[[str], None]
    """Shows a line to whoever watches."""
    zero_ns: int = field(default_factory=time.monotonic_ns)
    moments: list[dict[str, Any]] = field(default_factory=list)
    states: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    """By node: from when on it was in which state, each differing from the one before."""
    phases: list[tuple[str, float]] = field(default_factory=list)
    """The drill's own phases: name and begin."""

    def ms(self, at_ns: int | None = None) -> float:
        """A moment, now if none is given."""
        at_ns = time.monotonic_ns() if at_ns is None else at_ns
        return round((at_ns - self.zero_ns) / 1e6, 3)

    def tell(self, source: str, text: str, at_ns: int | None = None) -> None:
        """Keep a moment and show it."""
        at_ms = self.ms(at_ns)
        if len(self.moments) < MOMENTS_MAX:
            self.moments.append({"at_ms": at_ms, "source": source, "text": text})
        self.say(f"{at_ms / 1000:9.3f} s  {source}: {text}")

    def phase(self, name: str) -> None:
        """A phase of the drill begins."""
        self.phases.append((name, self.ms()))
        self.say(f"{self.ms() / 1000:9.3f} s  --- {name}")

    def state(self, node: str, state: str) -> None:
        """What a node is now; told if it differs from before."""
        known = self.states.setdefault(node, [])
        if not known or known[-1][1] != state:
            known.append((self.ms(), state))
            self.tell(node, state)
