# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames that did not arrive are counted by the gaps in the peer's own counter."""

from __future__ import annotations

from core.harness import REBORN, Bench, body, says, standby

from haagent.core.events import PeerHeard
from haagent.core.state import State
from haagent.core.step import step
from haagent.core.wire import Frame, Role
from haagent.links.loss import Loss, Tally


class Counted:
    """A standby whose peer's frames are counted; two links, one counter through both."""

    def __init__(self, bench: Bench) -> None:
        self.state: State = bench.state
        self.now_ns = bench.now_ns
        self.loss = Loss(2)

    def hear(self, link: int, counter: int, incarnation: int) -> None:
        """Take in one frame on a link."""
        heard = body(says(Role.ACTIVE, term=1, held_term=1))
        frame = Frame(0, link, incarnation, counter, heard)
        event = PeerHeard(link, self.now_ns, frame)
        before, self.state = self.state, step(self.state, event, self.now_ns).state
        self.loss.observe(before, event, self.state)


def test_gaps_are_losses() -> None:
    """One in two frames of a link is lost; the other link misses nothing."""
    counted = Counted(standby())
    for beat in range(20):
        counted.hear(0, 1000 + 2 * beat, REBORN)
        if beat % 2 == 0:
            counted.hear(1, 1001 + 2 * beat, REBORN)
    lan, ring = counted.loss.tallies
    assert lan == Tally(received=20, lost=0)
    assert ring == Tally(received=10, lost=9), "of the last one nothing can be known yet"


def test_an_outage_counts_when_it_is_over() -> None:
    """A hundred beats without a frame are a hundred lost ones as soon as the next arrives."""
    counted = Counted(standby())
    counted.hear(0, 1000, REBORN)
    counted.hear(0, 1000 + 2 * 101, REBORN)
    assert counted.loss.tallies[0] == Tally(received=2, lost=100)


def test_replays_and_restarts_are_no_losses() -> None:
    """What the core refuses is not counted, and a new incarnation counts from where it begins."""
    counted = Counted(standby())
    for counter in (1000, 1002, 1000, 1002):
        counted.hear(0, counter, REBORN)
    counted.hear(0, 5000, REBORN + 1)
    counted.hear(0, 5002, REBORN + 1)
    assert counted.loss.tallies[0] == Tally(received=4, lost=0)
