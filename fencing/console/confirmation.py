# SPDX-License-Identifier: GPL-2.0-or-later
"""The question before the shot: only the node's name, typed at a terminal, is a yes."""

from __future__ import annotations

import sys

from fencing.console.exits import Exit, RefusedError
from fencing.console.output import Output

ANSWER_BYTES_MAX = 1000
"""Names have at most 32; whoever sends more is no person at a terminal."""


def require_terminal() -> None:
    """Refuse to go on where nobody could be asked.

    Raises:
        RefusedError: Stdin is no terminal.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        text = "stdin is no terminal to ask at: nothing was ordered; --yes does not ask"
        raise RefusedError(Exit.NOT_ORDERED, text)


def confirm(node: str, output: Output) -> None:
    """Wait, for as long as it takes, until somebody types the node's name.

    Raises:
        RefusedError: Something else was typed, or nothing.
    """
    output.ask(f"Type the node's name to do it ({node}): ")
    typed = sys.stdin.buffer.readline(ANSWER_BYTES_MAX)
    if typed.decode(errors="replace").strip() != node:
        raise RefusedError(Exit.NOT_ORDERED, "that is not its name: nothing was ordered")
