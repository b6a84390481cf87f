# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom do we hear, for how long not, and were we late ourselves."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from haagent.core import freshness
from haagent.core.effects import Manage, StandBy
from haagent.core.events import PeerHeard
from haagent.core.orders import Orders
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
    state, now_ns = turn.state, turn.now_ns
    gap_ns = now_ns - state.now_ns
    assert gap_ns >= 0
    late = gap_ns >= turn.timing.suspect_after_ns
    stall_ns = max(0, gap_ns - turn.timing.interval_ns)
    worst = stall_ns > state.stall_ns or now_ns - state.stalled_at_ns > STALL_MEMORY_NS
    # One change of the state, not four: this runs thirty times a second for a lifetime.
    turn.set(
        now_ns=now_ns,
        wake_ns=None,
        quiet_from_ns=now_ns if late else state.quiet_from_ns,
        stall_ns=stall_ns if worst else state.stall_ns,
        stalled_at_ns=now_ns if worst else state.stalled_at_ns,
    )


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
    links[event.link] = LinkState(links[event.link].carrier, frame.counter, event.heard_ns)
    heard_ns = max(view.heard_ns, event.heard_ns)
    pause_until_ns = turn.state.pause_until_ns
    newest = frame.counter > view.counter
    if newest:
        pause_ns = min(frame.body.pausing_ms * MS, PAUSE_NS_MAX)
        pause_until_ns = event.heard_ns + pause_ns if pause_ns else 0
        view = View(view.incarnation, frame.counter, heard_ns, frame.body)
    else:
        view = replace(view, heard_ns=heard_ns)
    turn.set(links=tuple(links), view=view, pause_until_ns=pause_until_ns)
    if newest:
        _obey(turn, view)
        freshness.hear(turn, view)


def _obey(turn: Turn, view: View) -> None:
    """Standing orders belong to the pair: the newer ones are believed, and kept."""
    body, mine = view.body, turn.state.orders
    if body.orders_version < mine.version:
        return
    said = {report.name for report in body.groups}
    theirs = Orders(
        body.orders_version,
        body.maintenance,
        body.away,
        frozenset(g.name for g in body.groups if g.stopped) | (mine.stopped - said),
        frozenset(g.name for g in body.groups if g.frozen) | (mine.frozen - said),
    )
    if theirs.rank > mine.rank:
        follow(turn, theirs)


def follow(turn: Turn, orders: Orders) -> None:
    """Put new standing orders in force, and make them durable."""
    before = turn.state.orders
    turn.set(orders=orders, wake_ns=turn.now_ns)
    for index, group in enumerate(turn.state.groups):
        name = group.settings.name
        if (frozen := name in orders.frozen) != (name in before.frozen):
            turn.emit(Manage(index, on=not frozen))
        if (stopped := name in orders.stopped) != (name in before.stopped):
            turn.emit(StandBy(index, on=not stopped))
    turn.persist()
