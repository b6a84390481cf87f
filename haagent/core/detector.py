# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom do we hear, for how long not, and were we late ourselves."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from haagent.core.events import PeerHeard
from haagent.core.settings import MS, S
from haagent.core.state import LinkState, State, View
from haagent.core.turn import Turn
from haagent.core.wire import Refusal

PAUSE_NS_MAX = 30 * S
"""A peer that asks for more patience than this gets this much."""
RETIRED_MAX = 64
"""Earlier incarnations of the peer that are remembered; an agent does not restart more often."""
STALL_MEMORY_NS = 10 * S
"""How long the worst stall of late is told to the peer."""


class Heard(Enum):
    """What a frame turned out to be."""

    REFUSED = auto()
    STRANGER = auto()
    """Authentic, of an incarnation that has not echoed us: may be a recording (design, 4)."""
    COUNTED = auto()
    ADOPTED = auto()
    """The first frame of an incarnation that echoes ours."""


def judge_self(turn: Turn) -> None:
    """S6: notice our own lateness by the gap between two steps, and wait a full period anew.

    The core is woken every interval, so a gap as long as suspect_after is a stall, of this
    process or of the whole machine.
    """
    gap_ns = turn.now_ns - turn.state.now_ns
    assert gap_ns >= 0
    late = gap_ns >= turn.timing.suspect_after_ns
    if late:
        turn.set(quiet_from_ns=turn.now_ns)
    forgotten = turn.now_ns - turn.state.stalled_at_ns > STALL_MEMORY_NS
    if late or gap_ns > turn.state.stall_ns or forgotten:
        turn.set(stall_ns=gap_ns, stalled_at_ns=turn.now_ns)
    turn.set(now_ns=turn.now_ns)


def silence_ns(state: State, now_ns: int) -> int:
    """How long the peer has been silent, as far as we were able to listen."""
    if state.view is None or now_ns < state.pause_until_ns:
        return 0
    return max(0, now_ns - max(state.view.heard_ns, state.quiet_from_ns))


def hear(turn: Turn, event: PeerHeard) -> Heard:
    """Take a frame in: refuse replays, recognise a new incarnation, note who hears whom."""
    frame, state = event.frame, turn.state
    if frame.link != event.link:
        return _refuse(turn, Refusal.WRONG_LINK)
    if frame.incarnation in state.retired:
        return _refuse(turn, Refusal.REPLAYED)
    known = state.view is not None and state.view.incarnation == frame.incarnation
    if not known and frame.body.echo != state.incarnation:
        turn.set(stranger=frame.incarnation, stranger_heard_ns=event.heard_ns)
        return Heard.STRANGER
    if not known:
        _adopt(turn, event)
        return Heard.ADOPTED
    if frame.counter <= state.links[event.link].counter:
        return _refuse(turn, Refusal.REPLAYED)
    _note(turn, event)
    return Heard.COUNTED


def _refuse(turn: Turn, refusal: Refusal) -> Heard:
    counts = dict(turn.state.refusals)
    counts[refusal.value] = counts.get(refusal.value, 0) + 1
    turn.set(refusals=tuple(sorted(counts.items())))
    return Heard.REFUSED


def _adopt(turn: Turn, event: PeerHeard) -> None:
    """A new incarnation of the peer: the one before is never believed again."""
    state = turn.state
    if state.view is not None:
        turn.set(retired=(*state.retired, state.view.incarnation)[-RETIRED_MAX:])
    fresh = tuple(LinkState(carrier=link.carrier) for link in state.links)
    view = View(event.frame.incarnation, -1, event.heard_ns, event.frame.body)
    turn.set(links=fresh, view=view, stranger=0, stranger_heard_ns=None)
    _note(turn, event)


def _note(turn: Turn, event: PeerHeard) -> None:
    """Liveness is counted per link; what the peer says is taken from its newest frame only."""
    frame, view = event.frame, turn.state.view
    assert view is not None
    links = list(turn.state.links)
    links[event.link] = replace(links[event.link], counter=frame.counter, heard_ns=event.heard_ns)
    heard_ns = max(view.heard_ns, event.heard_ns)
    if frame.counter > view.counter:
        view = replace(view, counter=frame.counter, body=frame.body)
        pause_ns = min(frame.body.pausing_ms * MS, PAUSE_NS_MAX)
        turn.set(pause_until_ns=event.heard_ns + pause_ns if pause_ns else 0)
        _maintain(turn, view)
    turn.set(links=tuple(links), view=replace(view, heard_ns=heard_ns))


def _maintain(turn: Turn, view: View) -> None:
    """Maintenance belongs to the pair: the higher version is believed, at a tie the careful one."""
    body, state = view.body, turn.state
    theirs = (body.maintenance_version, body.maintenance)
    if theirs > (state.maintenance_version, state.maintenance):
        turn.set(maintenance=body.maintenance, maintenance_version=body.maintenance_version)
        turn.persist()
