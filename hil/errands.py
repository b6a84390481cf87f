# SPDX-License-Identifier: GPL-2.0-or-later
"""A program that others run, and whose work is done by a thread of ours while it waits."""

from __future__ import annotations

import os
import shlex
from pathlib import Path


class Errands:
    """The program and the two named pipes between it and us.

    Args:
        program: Where it is put; the pipes are beside it.
        script: Its text, with `{orders}` and `{answers}` for the pipes.
    """

    def __init__(self, program: Path, script: str) -> None:
        pipes = {name: program.with_name(name) for name in ("orders", "answers")}
        for pipe in pipes.values():
            os.mkfifo(pipe)
        quoted = {name: shlex.quote(str(pipe)) for name, pipe in pipes.items()}
        program.write_text(script.format(**quoted))
        program.chmod(0o755)
        # Open for both, so that neither side of a pipe ever waits for the other or sees its end.
        self.orders = os.fdopen(os.open(pipes["orders"], os.O_RDWR), "r+b", buffering=0)
        self._answers = os.open(pipes["answers"], os.O_RDWR)

    def answer(self, line: str) -> None:
        """Let the program that waits go on."""
        os.write(self._answers, f"{line}\n".encode())

    def close(self) -> None:
        """Take no more; nobody may wait at them."""
        self.orders.close()
        os.close(self._answers)
