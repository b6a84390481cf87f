# SPDX-License-Identifier: GPL-2.0-or-later
"""What operators told the pair: maintenance, a node on standby, a group stopped or frozen.

Orders belong to the pair, not to a node: they travel in the heartbeats under one version, the
higher one is believed, and both nodes keep them across restarts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Orders:
    """All standing orders of one version."""

    version: int = 0
    maintenance: bool = False
    """Nothing is taken over or handed over by itself."""
    away: tuple[bool, bool] = (False, False)
    """Nodes on standby: they hold nothing that the other one could hold."""
    stopped: frozenset[str] = frozenset()
    """Groups that run nowhere."""
    frozen: frozenset[str] = frozenset()
    """Groups that stay as they are, whatever happens to them."""

    @property
    def rank(self) -> tuple[int, bool, tuple[bool, bool], list[str], list[str]]:
        """The higher rank is believed: newer orders, at a tie the careful ones, on both nodes."""
        groups = sorted(self.stopped), sorted(self.frozen)
        return (self.version, self.maintenance, self.away, *groups)
