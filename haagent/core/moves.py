# SPDX-License-Identifier: GPL-2.0-or-later
"""How often a group changes nodes, and when it goes home by itself."""

from __future__ import annotations

from haagent.core.phases import Alive
from haagent.core.state import Group
from haagent.core.turn import Turn


def comes_home(turn: Turn, index: int) -> bool:
    """Failback: this is the preferred node, and both nodes have been well for long enough."""
    state, group = turn.state, turn.group(index)
    after_ns = group.settings.failback_after_ns
    if after_ns is None or group.settings.preferred != state.settings.me:
        return False
    if state.orders.maintenance or restless(group, turn.now_ns):
        return False
    if group.unreachable or group.gave_up or not group.standby_ready:
        return False
    assert isinstance(state.pair, Alive)
    return turn.now_ns - max(group.since_ns, state.pair.since_ns) >= after_ns


def restless(group: Group, now_ns: int) -> bool:
    """The group has changed nodes so often that it stays where it is."""
    return len(recent(group, now_ns)) >= group.settings.max_moves


def one_more(turn: Turn, index: int) -> tuple[int, ...]:
    """The group comes to this node or leaves it now, for better or worse."""
    return (*recent(turn.group(index), turn.now_ns), turn.now_ns)


def recent(group: Group, now_ns: int) -> tuple[int, ...]:
    """When it came here or left, within its window."""
    window_ns = group.settings.move_window_ns
    return tuple(at_ns for at_ns in group.moves_ns if now_ns - at_ns < window_ns)
