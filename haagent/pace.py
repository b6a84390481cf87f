# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether heartbeats are on time: what feeds a watchdog."""

from __future__ import annotations


class Pace:
    """How late each heartbeat is, by the one before it."""

    def __init__(self) -> None:
        self._beat_ns: int | None = None

    def late_ns(self, now_ns: int, interval_ns: int) -> int:
        """How much more than the interval has passed since the heartbeat before this one."""
        before_ns, self._beat_ns = self._beat_ns, now_ns
        return 0 if before_ns is None else max(now_ns - before_ns - interval_ns, 0)
