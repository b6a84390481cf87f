# SPDX-License-Identifier: GPL-2.0-or-later
"""A real terminal, tmux's, in which a person works and looks at the screen."""

from __future__ import annotations

import os
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.processes import run
from hil.record import NotSeenError

LOOK_EVERY_S = 0.1


class Terminal:
    """One window of a fixed size; made by `terminal`."""

    def __init__(self, socket: Path) -> None:
        self._tmux = [shutil.which("tmux") or "tmux", "-S", str(socket)]

    def open(self, command: tuple[str, ...], size: tuple[int, int]) -> None:
        """Run a command in it, such as a shell."""
        columns, lines = size
        shape = ["-x", str(columns), "-y", str(lines)]
        self._run("-f", "/dev/null", "new-session", "-d", *shape, shlex.join(command))

    def screen(self, *, escapes: bool = False) -> str:
        """What stands on it; with the escapes that a terminal of the same content would need."""
        return self._run("capture-pane", "-p", *(["-e"] if escapes else []))

    def type(self, *keys: str) -> None:
        """Press keys by tmux's names, or type words."""
        self._run("send-keys", *keys)

    def wait(self, wanted: Callable[[str], bool], limit_s: float, what: str) -> str:
        """Look until the screen is as wanted; return it.

        Raises:
            NotSeenError: It was not within the limit; the message has the last screen.
        """
        end_s = time.monotonic() + limit_s
        while not wanted(seen := self.screen()):
            if time.monotonic() > end_s:
                raise NotSeenError(f"{what} not seen within {limit_s:g} s on:\n{seen}")
            threading.Event().wait(LOOK_EVERY_S)  # a screen tells nobody that it changed
        return seen

    def close(self) -> None:
        """End it, and all that runs in it."""
        run([*self._tmux, "kill-server"], check=False)

    def _run(self, *words: str) -> str:
        return run([*self._tmux, *words]).stdout


@contextmanager
def terminal(
    folder: Path,
    *command: str,
    size: tuple[int, int] = (80, 24),
) -> Iterator[Terminal]:
    """A terminal that runs a command, gone with everything in it afterwards.

    Args:
        folder: For tmux's socket.
        command: What it runs.
        size: Columns and lines.
    """
    window = Terminal(folder / f"tmux.{os.getpid()}")
    window.open(command, size)
    try:
        yield window
    finally:
        window.close()
