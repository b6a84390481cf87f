# SPDX-License-Identifier: GPL-2.0-or-later
"""What Ctrl-C, SIGTERM and a lost terminal do to a command under way."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

_ENDING = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Ends the work on SIGINT and SIGTERM; a lost terminal ends it only before it has begun.

    An off that was ordered is finished although nobody watches: half of it would leave a peer that
    nobody knows to be off. Used as a context manager, in the loop of the work. Signals after the
    first are ignored, because what is left to do is bounded.

    Args:
        work: Is cancelled.
        begun: Whether something was or may have been ordered.
        note: Is told what the signals did.
    """

    def __init__(
        self, work: asyncio.Task[Any], begun: Callable[[], bool], note: Callable[[str], None]
    ) -> None:
        self._work = work
        self._begun = begun
        self._note = note
        self._loop = asyncio.get_running_loop()
        self._taken: list[signal.Signals] = []

    def __enter__(self) -> Self:
        for number in _ENDING:
            self._take(number, self._interrupt)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup(1) had it ignored.
            self._take(signal.SIGHUP, self._hang_up)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number in self._taken:
            self._loop.remove_signal_handler(number)

    def _take(self, number: signal.Signals, act: Callable[[], None]) -> None:
        self._loop.add_signal_handler(number, act)
        self._taken.append(number)

    def _interrupt(self) -> None:
        if self._work.done() or self._work.cancelling():
            self._note("ending; that takes some seconds at most")
            return
        self._note("interrupted: giving up")
        self._work.cancel()

    def _hang_up(self) -> None:
        if self._begun():
            self._note("the terminal is lost: going on to the end")
        else:
            self._interrupt()
