# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent watch`: the pair, live on a terminal."""

from __future__ import annotations

import os
import sys

from haagent.cli.asking import fail
from haagent.cli.options import DEFAULT_SOCKET, SocketOption
from haagent.cli.verdict import Exit


def watch(socket: SocketOption = DEFAULT_SOCKET) -> None:
    """Show the pair live: nodes, groups, links with their loss, fence devices, the last events.

    It goes on when the agent is restarted, and says so when what it shows is old. q or Ctrl-C quit.
    Exit codes: 0 quit, 1 this is no terminal that can be drawn on.
    """
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not terminal or os.environ.get("TERM", "") in {"", "dumb", "unknown"}:
        fail("no terminal that can be drawn on; `haagent status` needs none", Exit.DEGRADED)
    from haagent.cli.screen import Screen  # noqa: PLC0415 textual is large

    # The mouse stays the terminal's, for marking and copying.
    Screen(socket).run(mouse=False)
