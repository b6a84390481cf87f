# SPDX-License-Identifier: GPL-2.0-or-later
"""How many of the peer's frames arrive on each link, and how many do not.

A sender counts its frames through all links in turn: on one link the counter rises by the number
of links from frame to frame, and every further step of that size is a frame that was lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from haagent.core.events import PeerHeard
from haagent.core.state import State


@dataclass(slots=True)
class Tally:
    """Of one link, since the agent started."""

    received: int = 0
    """Frames that the core believed."""
    lost: int = 0
    """Frames that were missing between two of these, of one incarnation of the peer. An outage
    counts when it is over; while it lasts, the age of the last frame tells of it."""


class Loss:
    """Watches what the core makes of each frame; refused ones and replays do not count."""

    def __init__(self, links: int) -> None:
        self.tallies = tuple(Tally() for _ in range(links))

    def observe(self, before: State, event: PeerHeard, after: State) -> None:
        """Take in one step."""
        last, now = before.links[event.link].counter, after.links[event.link].counter
        if before.view is None or after.view is None or now == last:
            return
        tally = self.tallies[event.link]
        tally.received += 1
        if before.view.incarnation == after.view.incarnation and last >= 0:
            tally.lost += (now - last) // max(1, len(event.frame.body.links)) - 1
