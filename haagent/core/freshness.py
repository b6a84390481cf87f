# SPDX-License-Identifier: GPL-2.0-or-later
"""How fresh the data of a group is here, against what its last holder told of its own.

The holder may be dead, or its position unknown, when that is asked: so what it told is kept, also
across restarts of this agent, and no silence and no "unknown" lowers it.
"""

from __future__ import annotations

from dataclasses import replace

from haagent.core import synced
from haagent.core.settings import S
from haagent.core.state import Group, State, View
from haagent.core.turn import Turn
from haagent.core.wire import GroupReport, Role

DURABLE_EVERY_NS = 60 * S
"""A position that advances all day is written this often."""


def hear(turn: Turn, view: View) -> None:
    """The peer spoke: keep what it tells as a holder. A loss accepted before is no longer."""
    state = turn.state
    groups = tuple(_heard(group, view) for group in state.groups)
    if groups == state.groups:
        return
    turn.set(groups=groups)
    moved = any(a.peer_term != b.peer_term for a, b in zip(groups, state.groups, strict=True))
    if moved or turn.now_ns - state.position_kept_ns >= DURABLE_EVERY_NS:
        turn.set(position_kept_ns=turn.now_ns)
        turn.persist()


def _heard(group: Group, view: View) -> Group:
    theirs = view.group(group.settings.name)
    if theirs is None:
        return group
    if group.settings.sync:
        return synced.heard(group, theirs, view)
    if theirs.role not in {Role.ACTIVE, Role.TAKING_OVER}:
        return group
    if theirs.role is Role.TAKING_OVER or group.settings.max_lag is None:
        return replace(group, accept_loss_until_ns=0) if group.accept_loss_until_ns else group
    term, position = group.peer_term, group.peer_position
    if theirs.term > term and theirs.position >= 0:
        term, position = theirs.term, theirs.position
    elif theirs.term >= term:
        term, position = theirs.term, max(position, theirs.position)
    if (term, position, 0) == (group.peer_term, group.peer_position, group.accept_loss_until_ns):
        return group
    return replace(group, peer_term=term, peer_position=position, accept_loss_until_ns=0)


def too_old(state: State, group: Group) -> bool:
    """Our data is further behind than allowed; for the last holder it never is.

    A position of ours that nobody can tell counts as too old where another one is known.
    """
    limit = group.settings.max_lag
    if limit is None:
        return False
    theirs = state.view.group(group.settings.name) if state.view else None
    if group.held_term > max(group.peer_term, _held(theirs)):
        return False
    known = max(group.peer_position, theirs.position if theirs else -1)
    return known >= 0 and (group.position < 0 or known - group.position > limit)


def _held(theirs: GroupReport | None) -> int:
    return theirs.held_term if theirs else 0
