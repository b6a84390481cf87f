# SPDX-License-Identifier: GPL-2.0-or-later
"""Words to a terminal that may be stopped, stuck or gone: none of that holds up a fence."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections import deque
from io import UnsupportedOperation
from typing import TextIO

from fencing.config.problems import printable

LINE_BYTES_MAX = 512
"""Source: POSIX, {_POSIX_PIPE_BUF}: what is ready for writing takes so much without blocking."""
LINES_MAX = 1000
"""Lines kept for a stuck terminal: minutes of a fence at its liveliest; the oldest go first."""


class Output:
    """Steps to one descriptor while things happen, the result to another one at the end.

    Args:
        result: Where the result goes; None if nobody wants it.
        steps: Where steps go.
    """

    def __init__(self, result: int | None, steps: int | None) -> None:
        self._result = result
        self._steps = steps
        self._waiting: deque[bytes] = deque(maxlen=LINES_MAX)

    @classmethod
    def standard(cls) -> Output:
        """The result to stdout, steps to stderr; what is closed is left alone."""
        return cls(_descriptor(sys.stdout), _descriptor(sys.stderr))

    def say(self, line: str) -> None:
        """Show a line now, or as soon as that does not block; never raises."""
        self._waiting.append(_encoded(printable(line)))
        while self._waiting and self._steps is not None and _ready(self._steps):
            self._write_step(self._waiting.popleft())

    def ask(self, line: str) -> None:
        """Show all lines and then a question, whose answer follows on its line; may block."""
        self.flush()
        self._write_step(_encoded(printable(line)).removesuffix(b"\n"))

    def flush(self) -> None:
        """Show all lines, however long that takes: for when nothing is under way."""
        while self._waiting:
            self._write_step(self._waiting.popleft())

    def finish(self, text: str) -> None:
        """Show everything and the result; may block."""
        self.flush()
        if self._result is not None and text:
            with contextlib.suppress(OSError):  # Nobody is there any more to be told.
                _write(self._result, f"{text}\n".encode())

    def _write_step(self, line: bytes) -> None:
        if self._steps is None:
            return
        try:
            _write(self._steps, line)
        except OSError:
            self._steps = None  # The terminal is gone for good.


def _descriptor(stream: TextIO | None) -> int | None:
    """A number only if it is really this stream's: a closed one's may be a socket by now."""
    try:
        return None if stream is None else stream.fileno()
    except (UnsupportedOperation, ValueError):
        return None


def _encoded(line: str) -> bytes:
    return line.encode(errors="replace")[: LINE_BYTES_MAX - 1] + b"\n"


def _ready(descriptor: int) -> bool:
    """Whether it takes a line now; an error shows when it is written."""
    writing = select.poll()
    writing.register(descriptor, select.POLLOUT)
    return bool(writing.poll(0))


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
