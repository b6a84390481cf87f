# SPDX-License-Identifier: GPL-2.0-or-later
"""One step in the making: the draft that step() hands to the phase functions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from haagent.core.effects import DANGEROUS, Effect, Persist
from haagent.core.settings import Timing
from haagent.core.state import Group, GroupPhase, PairPhase, State


class Turn:
    """A state, the time, and the effects so far. Lives for one call of step()."""

    __slots__ = ("effects", "now_ns", "state")

    def __init__(self, state: State, now_ns: int) -> None:
        self.state = state
        self.now_ns = now_ns
        self.effects: list[Effect] = []

    @property
    def timing(self) -> Timing:
        """The configured times."""
        return self.state.settings.timing

    @property
    def struck(self) -> bool:
        """A dangerous effect left already: another one waits for the next step.

        Asking wakes the core at once, since whoever asks has something to do.
        """
        if any(isinstance(effect, DANGEROUS) for effect in self.effects):
            self.set(wake_ns=self.now_ns)
            return True
        return False

    def set(self, **changes: Any) -> None:
        """Change fields of the state."""
        self.state = replace(self.state, **changes)

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

    def persist(self) -> int:
        """Make the record durable as it stands; the attempt number answers."""
        attempt = self.attempt()
        self.emit(Persist(attempt, self.state.record))
        return attempt
