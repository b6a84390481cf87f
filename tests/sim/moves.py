# SPDX-License-Identifier: GPL-2.0-or-later
"""No group changes nodes by itself more often than its bound, and a frozen one stays as it is.

Source: docs/adr/0009.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from haagent.core.events import Event, StopKind, SwitchoverAsked
from haagent.core.moves import restless
from haagent.core.phases import (
    Active,
    Assessing,
    Releasing,
    Standby,
    Starting,
    Stuck,
    TakingOver,
    Wanting,
)
from haagent.core.settings import MS
from haagent.core.state import Group, State
from haagent.core.wire import Role

from .violation import Violation

if TYPE_CHECKING:
    from .agent import Agent
    from .world import World

SLACK_NS = 100 * MS
"""The two nodes' clocks drift apart by so much within a window, and more."""


class Moves:
    """Where each group was, and who moved it: an independent small model.

    A group moves when it is started on another node than the last one it was started on. That
    counts for an agent that was there to see it: what is told nowhere else ends with a process.
    Judged is who moves it unasked: away because it does not run here or its clients do not get
    here, or home to its preferred node. A takeover from a node that is off, and what operators
    ask for, are counted and never refused.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        groups = range(len(world.mix.groups))
        self._last: list[int | None] = [None for _ in groups]
        """The node on which the group was started last; None: it was cleared there since."""
        self._left_ns: list[int | None] = [None for _ in groups]
        self._moves_ns: list[list[int]] = [[] for _ in groups]

    def stepped(self, agent: Agent, event: Event, before: State, after: State) -> None:
        """After every step that changed a group."""
        for index, (old, new) in enumerate(zip(before.groups, after.groups, strict=True)):
            if old.phase is new.phase:
                continue
            if _frozen(new, before) and _frozen(new, after) and _touched(old, new, after):
                raise Violation(f"frozen: group {index} goes from {old.phase} to {new.phase}")
            if isinstance(old.phase, TakingOver) and isinstance(new.phase, Starting):
                self._arrived(index, agent.machine.node)
            elif isinstance(old.phase, Releasing | Stuck | Assessing):
                self._left(index, agent.machine.node, old, new)
            elif _by_itself(event, old, new, after):
                self._judge(agent, index)
            elif isinstance(new.phase, Active):
                self._count(agent.machine.node, new, after)

    def _count(self, node: int, group: Group, state: State) -> None:
        if restless(group, state.now_ns):
            self._world.note_once("group restless")
        if len(state.groups) > 1:
            here = sum(isinstance(each.phase, Active) for each in state.groups)
            peer = self._world.machines[1 - node]
            there = any(peer.serves(each) for each in range(len(state.groups)))
            self._world.note_once(f"{here} active here, {'some' if there else 'none'} there")

    def _arrived(self, index: int, node: int) -> None:
        left_ns, self._left_ns[index] = self._left_ns[index], None
        if self._last[index] == 1 - node:
            self._moves_ns[index].append(left_ns or self._world.now_ns)
        self._last[index] = node

    def _left(self, index: int, node: int, old: Group, new: Group) -> None:
        if isinstance(new.phase, Releasing | Stuck | Assessing) or self._last[index] != node:
            return
        self._left_ns[index] = self._world.now_ns
        if isinstance(old.phase, Assessing):
            self._last[index] = None

    def _judge(self, agent: Agent, index: int) -> None:
        group, now_ns = self._world.mix.groups[index], self._world.now_ns
        from_ns = max(agent.began_ns, now_ns - group.move_window_ns + SLACK_NS)
        seen = sum(at_ns >= from_ns for at_ns in self._moves_ns[index])
        self._world.note_once("moved by itself")
        if seen >= group.max_moves:
            raise Violation(f"moves: group {index} moves by itself after {seen} moves")


def _by_itself(event: Event, old: Group, new: Group, state: State) -> bool:
    """Whether the agent decides on a move that nobody asked for and nothing compels."""
    if isinstance(event, SwitchoverAsked):
        return False
    if isinstance(old.phase, Standby) and isinstance(new.phase, Wanting):
        return new.phase.switchover
    theirs = state.view.group(new.settings.name) if state.view else None
    asked = theirs is not None and theirs.switchover
    away = state.orders.away[state.settings.me]
    return isinstance(new.phase, Releasing) and not (asked or away or _compelled(new, state))


def _compelled(group: Group, state: State) -> bool:
    """Whether the group must be let go, whatever else is true."""
    theirs = state.view.group(group.settings.name) if state.view else None
    superseded = theirs is not None and theirs.role is Role.ACTIVE
    stopped = group.settings.name in state.orders.stopped
    return superseded or stopped or state.stopping is StopKind.LEAVE


def _frozen(group: Group, state: State) -> bool:
    return group.settings.name in state.orders.frozen


def _touched(old: Group, new: Group, state: State) -> bool:
    """Whether the agent begins to mend, to move or to take the group; what was begun may end."""
    match new.phase:
        case Wanting() | TakingOver():
            return type(old.phase) is not type(new.phase)
        case Starting():
            return new.phase.attempt is not None or isinstance(old.phase, Active)
        case Releasing():
            return isinstance(old.phase, Active | Starting) and not _compelled(new, state)
        case _:
            return False
