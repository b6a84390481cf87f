# SPDX-License-Identifier: GPL-2.0-or-later
"""A person at a terminal: a command that runs at a pty of its own, as it does over ssh."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LIMIT_S = 60.0
"""Whatever is waited for comes within seconds; the rest is for a loaded machine."""
CTRL_C, CTRL_D, CTRL_S, CTRL_Q = "\x03", "\x04", "\x13", "\x11"


class Person:
    """Starts a command whose controlling terminal is ours, reads what it shows, types, hangs up.

    Usable as a context manager, which ends the command and the terminal.
    """

    def __init__(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> None:
        self._keyboard, terminal = pty.openpty()
        self._open = True
        self.shown = ""
        """Everything that was read of the screen."""
        try:
            self._process = subprocess.Popen(  # noqa: S603  # commands of the bench
                ["setsid", "--ctty", *command],  # noqa: S607  # util-linux, wherever it is
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                env=None if environment is None else dict(environment),
            )
        finally:
            os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self.hang_up()

    @property
    def pid(self) -> int:
        """The command's process id."""
        return self._process.pid

    def see(self, text: str) -> str:
        """Wait until the screen shows `text`, read no further; everything shown so far.

        Raises:
            AssertionError: It did not come, or the command ended before.
        """
        end_s = time.monotonic() + LIMIT_S
        while text not in self.shown:
            assert self._read(end_s), f"{text!r} is not in:\n{self.shown}"
        return self.shown

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._keyboard, text.encode())

    def hang_up(self) -> None:
        """Lose the terminal: the kernel sends the command SIGHUP."""
        if self._open:
            self._open = False
            os.close(self._keyboard)

    def wait(self) -> int:
        """Read to the end of the command; its exit code, negative for a signal.

        Raises:
            AssertionError: It does not end.
        """
        end_s = time.monotonic() + LIMIT_S
        while self._open and self._read(end_s):
            pass
        try:
            return self._process.wait(max(end_s - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.shown}") from None

    def _read(self, end_s: float) -> bool:
        """Read what there is; False at the end of the command or of the time."""
        readable, _, _ = select.select([self._keyboard], [], [], max(end_s - time.monotonic(), 0))
        if not readable:
            return False
        try:
            part = os.read(self._keyboard, 65536)
        except OSError:
            return False  # Nobody has the other end any more.
        self.shown += part.decode(errors="replace").replace("\r\n", "\n")
        return bool(part)
