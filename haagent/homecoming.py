# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells a node that comes back after its death what it was, and what it is now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from haagent.core.effects import Record
from haagent.core.phases import Active
from haagent.core.state import State
from haagent.core.wire import Role
from haagent.hooks import Happening, Occasion

RETURNED = "returned"
"""The reason that a hook is given."""


class Homecoming:
    """What this node held when it went down, until the peer says what became of it.

    Args:
        record: What was found on the disk.
        same_boot: The machine has not been down since.
        peer: Name of the other node.
    """

    def __init__(self, record: Record, *, same_boot: bool, peer: str) -> None:
        self._peer = peer
        self._lost = (
            {} if same_boot else {name: group.term for name, group in record.groups if group.held}
        )
        """Term by group."""
        self._told: dict[str, str] = {}

    @property
    def told(self) -> Mapping[str, str]:
        """By group: a sentence for a person, until the group is active here again."""
        return dict(self._told)

    def observe(self, before: State, after: State) -> Iterator[Happening]:
        """Take a step in; yields what became known of each group, once."""
        if before.groups is not after.groups:
            for group in after.groups:
                if isinstance(group.phase, Active):
                    self._lost.pop(group.settings.name, None)
                    self._told.pop(group.settings.name, None)
        if not self._lost or after.view is None or before.view is after.view:
            return
        for name, term in tuple(self._lost.items()):
            theirs = after.view.group(name)
            if theirs is not None and theirs.role is Role.ACTIVE and theirs.term > term:
                del self._lost[name]
                self._told[name] = (
                    f"was active here in term {term} when this node went down; "
                    f"{self._peer} took over and is active in term {theirs.term}"
                )
                yield Happening(Occasion.STANDBY, name, theirs.term, RETURNED, self._told[name])
