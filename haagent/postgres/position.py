# SPDX-License-Identifier: GPL-2.0-or-later
"""How fresh a server's data is, as one number that grows: its timeline, then its place in the log.

A new primary begins a timeline of its own. So data of an older one, however much of it there is, is
older than all of a newer one: an old primary that wrote on alone is never taken for the fresher.

    bits 50 to 62   timeline
    bits 0 to 49    position in the write-ahead log, bytes
"""

from __future__ import annotations

from dataclasses import dataclass

_LOG_BITS = 50
LOG_MAX = (1 << _LOG_BITS) - 1
"""One petabyte."""
TIMELINE_MAX = (1 << 13) - 1


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the history of a database."""

    timeline: int
    log: int
    """LSN, bytes."""

    @property
    def number(self) -> int | None:
        """For heartbeats and `max_lag`; None where it does not fit: then nobody can tell."""
        if not (0 < self.timeline <= TIMELINE_MAX and 0 <= self.log <= LOG_MAX):
            return None
        return self.timeline << _LOG_BITS | self.log

    def __str__(self) -> str:
        """As PostgreSQL writes it."""
        return f"{self.log >> 32:X}/{self.log & 0xFFFFFFFF:X} on timeline {self.timeline}"


def position_of(number: int) -> Position:
    """The place that a `number` stands for."""
    return Position(number >> _LOG_BITS, number & LOG_MAX)


def log_position(text: str) -> int:
    """The bytes of an LSN such as "0/16B3740".

    Raises:
        ValueError: It is none.
    """
    high, slash, low = text.partition("/")
    if not slash:
        raise ValueError(f"no position in a log: {text!r}")
    return (int(high, 16) << 32) + int(low, 16)
