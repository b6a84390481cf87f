# SPDX-License-Identifier: GPL-2.0-or-later
"""Roles that a step changed, on this node or as the peer tells of itself: for whoever watches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from haagent.core.beat import role
from haagent.core.state import State
from haagent.core.wire import Role


@dataclass(frozen=True, slots=True)
class RoleChange:
    """A node has another role in a group from now on."""

    group: str
    node: str
    role: str
    """The word of `status`: "active", "releasing", ..."""
    before: str
    """The one it had; "" if it was not known."""


def changes(before: State, after: State, names: tuple[str, str]) -> Iterator[RoleChange]:
    """Our own first, in the order of the groups; most steps change nothing."""
    if before.groups is not after.groups:
        for old, new in zip(before.groups, after.groups, strict=True):
            group, me = new.settings.name, names[after.settings.me]
            if (was := role(old.phase)) is not (now := role(new.phase)):
                yield RoleChange(group, me, _word(now), _word(was))
    if before.view is not after.view:
        for new in after.groups:
            group, peer = new.settings.name, names[after.settings.peer]
            theirs = after.view.role(group) if after.view else None
            known = before.view.role(group) if before.view else None
            if theirs is not None and theirs is not known:
                yield RoleChange(group, peer, _word(theirs), _word(known))


def _word(role: Role | None) -> str:
    return "" if role is None else role.name.lower()
