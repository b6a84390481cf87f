# SPDX-License-Identifier: GPL-2.0-or-later
"""A verdict that changes only after enough readings in a row."""

from __future__ import annotations


class Steady:
    """Good until told otherwise; no clock and no chance in it.

    Args:
        failures: Bad readings in a row that make it bad, at least 1.
        successes: Good readings in a row that make it good again, at least 1.
        good: The verdict to begin with.
    """

    def __init__(self, failures: int, successes: int, *, good: bool = True) -> None:
        self._needed = {False: failures, True: successes}
        self._against = 0
        """Readings in a row that contradict the verdict."""
        self.good = good
        self.newest = good
        """The last reading, whatever it changed."""

    def take(self, *, good: bool) -> bool:
        """Take one reading; returns the verdict after it."""
        self.newest = good
        self._against = self._against + 1 if good is not self.good else 0
        if self._against >= self._needed[good]:
            self._against = 0
            self.good = good
        return self.good
