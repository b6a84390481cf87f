# SPDX-License-Identifier: GPL-2.0-or-later
"""The relays of an emulated PDU: what really is, whatever its console says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

OnChange = Callable[[int, bool], None]
"""Called with an outlet and whether it now is on, in the emulator's thread."""


class Relays:
    """Numbered from `first`, all on at first."""

    def __init__(self, count: int, on_change: OnChange | None = None, *, first: int = 1) -> None:
        self._on = dict.fromkeys(range(first, first + count), True)
        self._changed = threading.Condition()
        self._on_change = on_change
        self.stuck: frozenset[int] = frozenset()
        """These never move."""

    @property
    def on(self) -> Mapping[int, bool]:
        """Whether each outlet has power now."""
        with self._changed:
            return dict(self._on)

    def switch(self, outlets: Iterable[int], *, on: bool) -> None:
        """Move some of them."""
        for outlet in outlets:
            with self._changed:
                if outlet in self.stuck or self._on[outlet] is on:
                    continue
                self._on[outlet] = on
                self._changed.notify_all()
            if self._on_change is not None:
                self._on_change(outlet, on)

    def await_power(self, outlet: int, *, on: bool, limit_s: float) -> bool:
        """Wait until an outlet is on or off: whether it came to be."""
        with self._changed:
            return self._changed.wait_for(lambda: self._on[outlet] is on, limit_s)
