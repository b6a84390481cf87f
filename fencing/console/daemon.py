# SPDX-License-Identifier: GPL-2.0-or-later
"""What a running daemon has to do with it, as far as this package needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fencing.level import FenceReport


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a node before its power is cut."""

    lines: tuple[str, ...]
    """For the person who is about to shoot: what it holds, and what a shot means for that."""
    me: str | None = None
    """The node that the daemon says we run on; None if none answers."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """The node's role in each group, "unknown" among them; empty if nobody answers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon said to a proof."""

    accepted: bool | None
    """None if it did not say, or nobody was there."""
    message: str


class Daemon(Protocol):
    """The daemon of this host. Every call blocks for some seconds at most, and raises nothing."""

    def standing(self, node: str, verb: str) -> Standing:
        """What a shot at `node` would meet."""

    def offer(self, node: str, report: FenceReport) -> Answer | None:
        """Show it the proof that `node` is off; None if there is nobody to be shown it."""


class NoDaemon:
    """Fencing by itself: nobody is asked."""

    def standing(self, node: str, verb: str) -> Standing:
        """Nobody knows."""
        del verb
        return Standing((f"No daemon is asked: nobody here knows whether {node} serves now.",))

    def offer(self, node: str, report: FenceReport) -> None:
        """Nobody is told."""
        del node, report
