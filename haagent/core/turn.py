# SPDX-License-Identifier: GPL-2.0-or-later
"""One step in the making: the draft that step() hands to the phase functions."""

from __future__ import annotations

from dataclasses import fields, replace
from operator import attrgetter
from typing import Any

from haagent.core.effects import DANGEROUS, Effect, Persist
from haagent.core.phases import GroupPhase, PairPhase
from haagent.core.settings import Timing
from haagent.core.state import Group, State

_NAMES = tuple(field.name for field in fields(State))
_PLACES = {name: place for place, name in enumerate(_NAMES)}
_VALUES = attrgetter(*_NAMES)


class Turn:
    """A state, the time, and the effects so far. Lives for one call of step()."""

    __slots__ = ("clock", "effects", "now_ns", "state")

    def __init__(self, state: State, now_ns: int, *, clock: bool) -> None:
        self.state = state
        self.now_ns = now_ns
        self.clock = clock
        self.effects: list[Effect] = []

    @property
    def timing(self) -> Timing:
        """The configured times."""
        return self.state.settings.timing

    @property
    def may_strike(self) -> bool:
        """Whether a dangerous effect may leave in this step.

        Only with the clock's own event, which comes when all queued input was taken (S6): an
        answer that is handled before an unread heartbeat shoots nobody. And only one at a time.
        Who asks has something to do, so otherwise the core is woken again at once.
        """
        if self.clock and not any(isinstance(effect, DANGEROUS) for effect in self.effects):
            return True
        self.set(wake_ns=self.now_ns)
        return False

    def set(self, **changes: Any) -> None:
        """Change fields of the state.

        As dataclasses.replace does, in a third of its time: this runs a hundred times a second
        for a lifetime.
        """
        values = list(_VALUES(self.state))
        for name, value in changes.items():
            values[_PLACES[name]] = value
        self.state = State(*values)

    def emit(self, effect: Effect) -> None:
        """Ask the edges for something."""
        self.effects.append(effect)

    def attempt(self) -> int:
        """A fresh attempt number (S4)."""
        self.set(last_attempt=self.state.last_attempt + 1)
        return self.state.last_attempt

    def pair(self, phase: PairPhase) -> None:
        """Enter a phase of the pair."""
        self.set(pair=phase)

    def group(self, index: int) -> Group:
        """A group as it stands now."""
        return self.state.groups[index]

    def enter(self, index: int, phase: GroupPhase, **changes: Any) -> None:
        """Enter a phase of a group; changes are further fields of the Group."""
        groups = list(self.state.groups)
        groups[index] = replace(groups[index], phase=phase, since_ns=self.now_ns, **changes)
        self.set(groups=tuple(groups))

    def change(self, index: int, **changes: Any) -> None:
        """Change fields of a group in the phase that it is in."""
        groups = list(self.state.groups)
        groups[index] = replace(groups[index], **changes)
        self.set(groups=tuple(groups))

    def persist(self) -> int:
        """Make the record durable as it stands; the attempt number answers."""
        attempt = self.attempt()
        self.emit(Persist(attempt, self.state.record))
        return attempt
