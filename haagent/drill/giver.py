# SPDX-License-Identifier: GPL-2.0-or-later
"""Gives a peer its power back if the drill that cut it dies; a process of its own, run by path.

It waits for a byte on its standard input. The end of that input without one is the drill's death:
then the peer's agent has its time to take over and to give the power back, and only then it is
done from here. Only the standard library: it starts in some hundredths of a second.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    """Arguments: seconds to wait after the drill's death, and the command that gives the power."""
    if not os.read(sys.stdin.fileno(), 1):
        time.sleep(float(sys.argv[1]))
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  # our own command line


if __name__ == "__main__":
    main()
