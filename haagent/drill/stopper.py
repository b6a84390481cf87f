# SPDX-License-Identifier: GPL-2.0-or-later
"""Stops an agent, or everything on its machine, for a while; a process of its own, run by path.

It stops and lets go on, so nothing stays stopped whatever becomes of whoever wanted it; SIGTERM
makes it let go at once. Only the standard library: it starts in some hundredths of a second.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

EVERYTHING = -1
"""All processes but process 1 and this one. Source: kill(2)."""


def main() -> None:
    """Arguments: the process (-1: all), seconds before, seconds for which it stays stopped."""
    pid, wait_s, hold_s = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    # A reference: later its number might be given to another process.
    pidfd = None if pid == EVERYTHING else os.pidfd_open(pid)
    if signal.sigtimedwait({signal.SIGTERM}, wait_s) is not None:
        return
    _send(pidfd, signal.SIGSTOP)
    signal.sigtimedwait({signal.SIGTERM}, hold_s)
    _send(pidfd, signal.SIGCONT)


def _send(pidfd: int | None, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        if pidfd is None:
            os.kill(EVERYTHING, number)
        else:
            signal.pidfd_send_signal(pidfd, number)


if __name__ == "__main__":
    main()
