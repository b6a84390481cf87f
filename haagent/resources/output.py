# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program says, brought into the log line by line, at a bounded pace and in bounded memory.

A pipe is read once each `READ_PAUSE_S` at most, so a flood is slowed down by its own pipe. What
exceeds the allowance of lines is counted instead of logged; the last lines are always kept.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Final

READ_BYTES = 65_536
"""One pipe full (pipe(7)): split into lines within a millisecond."""
READ_PAUSE_S = 0.02
"""With READ_BYTES, 3 MB/s at most from one pipe; and nobody minds a line that is this late."""
DRAIN_READS = 4
"""Reads after the end of a program: what its pipe holds, and a bound if others go on writing."""
LINE_BYTES_MAX = 1000
TAIL_LINES = 20
BURST_LINES = 200
LINES_PER_S = 20
"""Lines that one resource may bring into the log: a verbose start at once, then a trickle."""

_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != ord("\t")
}
"""Terminals obey these: a log line must not."""


class Allowance:
    """How many lines may be logged: a bucket that fills with time."""

    def __init__(self) -> None:
        self._lines = float(BURST_LINES)
        self._exhausted = False
        self._filled_ns = time.monotonic_ns()

    def take(self, wanted: int) -> int:
        """As many of the wanted lines as may be logged now; they are used up.

        Once exhausted it grants nothing for a second: a few lines in a row tell more of a flood
        than single ones.
        """
        now_ns = time.monotonic_ns()
        gained = (now_ns - self._filled_ns) / 1e9 * LINES_PER_S
        self._lines, self._filled_ns = min(BURST_LINES, self._lines + gained), now_ns
        if self._exhausted and self._lines < LINES_PER_S:
            return 0
        granted = min(wanted, int(self._lines))
        self._lines -= granted
        self._exhausted = granted < wanted
        return granted


class Lines:
    """Cuts a stream into lines: shows those that the allowance permits, keeps the last ones."""

    def __init__(
        self, allowance: Allowance, show: Callable[[str], None], tail: deque[str] | None = None
    ) -> None:
        self._allowance = allowance
        self._show = show
        self._partial = b""
        self.tail: deque[str] = deque(maxlen=TAIL_LINES) if tail is None else tail
        """The last lines, oldest first; may be shared by the streams of one program."""
        self._lost = 0

    def feed(self, data: bytes) -> None:
        """Take what was read; the end of it may be half a line."""
        body, newline, rest = (self._partial + data).rpartition(b"\n")
        # One byte more than is shown, so that the rest of a too long line is known as such.
        self._partial = rest[: LINE_BYTES_MAX + 1]
        if newline:
            self._take(body)

    def end(self) -> None:
        """There is no more: half a line is a line now."""
        last, self._partial = self._partial, b""
        if last:
            self._take(last)
        self._tell_lost()

    def _take(self, body: bytes) -> None:
        count = body.count(b"\n") + 1
        allowed = self._allowance.take(count)
        if allowed:
            self._tell_lost()
        for line in body.split(b"\n", allowed)[:allowed]:
            if text := _readable(line):
                self._show(text)
        self._lost += count - allowed
        last = (_readable(line) for line in body.rsplit(b"\n", TAIL_LINES)[-TAIL_LINES:])
        self.tail.extend(text for text in last if text)

    def _tell_lost(self) -> None:
        if self._lost:
            self._show(f"({self._lost} lines more than may be logged)")
            self._lost = 0


class PipeReader:
    """Reads a pipe at a bounded pace until its end or close()."""

    def __init__(
        self, descriptor: int, take: Callable[[bytes], None], end: Callable[[], None]
    ) -> None:
        """Begin to read.

        Args:
            descriptor: Non-blocking; ours from now on.
            take: Gets every portion.
            end: Called once, when nothing more will come.
        """
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._take = take
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False
        """Nobody writes any more, or close() was called."""
        self._wait()

    def drain(self) -> None:
        """Take what the pipe holds now."""
        for _ in range(DRAIN_READS):
            if self.closed or not self._read():
                return

    def close(self) -> None:
        """Read no more; harmless when repeated."""
        if not self.closed:
            self.closed = True
            self._loop.remove_reader(self._descriptor)
            if self._timer is not None:
                self._timer.cancel()
            os.close(self._descriptor)
            self._end()

    def _wait(self) -> None:
        self._timer = None
        self._loop.add_reader(self._descriptor, self._ready)

    def _ready(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._timer = self._loop.call_later(READ_PAUSE_S, self._wait)
        self._read()  # The last: what it finds may be the end.

    def _read(self) -> bool:
        """Take one portion; False if there is none now."""
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._take(data)
        else:
            self.close()
        return bool(data)


def _readable(line: bytes) -> str:
    """A line for the log: cut, without anything that a terminal would obey."""
    text = line[:LINE_BYTES_MAX].decode(errors="backslashreplace").rstrip()
    return text.translate(_CONTROLS) + (" ...(cut)" if len(line) > LINE_BYTES_MAX else "")
