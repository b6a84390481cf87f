# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the metrics to a file for node_exporter's textfile collector.

A thread of its own writes, so that a disk that hangs holds up nothing: while it hangs, nothing is
gathered either. The file goes when the agent ends in peace; one that was killed leaves it, and its
age tells (node_textfile_mtime_seconds).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

import structlog

from haagent.bugs import die_of_bugs

MODE = 0o644
"""node_exporter is not root."""
CLOSE_S = 1.0

log = structlog.get_logger()


class Textfile:
    """Writes from `open` to `close`.

    Args:
        path: The file; its folder must be there.
        every_s: Between two writings.
        text: Makes what is written.
    """

    def __init__(self, path: Path, every_s: float, text: Callable[[], Awaitable[bytes]]) -> None:
        self._path = path
        self._every_s = every_s
        self._text = text
        self._orders: SimpleQueue[bytes | None] = SimpleQueue()
        self._idle = threading.Event()
        self._task: asyncio.Task[None] | None = None
        # A daemon: a write that hangs must not keep the process from its end.
        self._thread = threading.Thread(target=self._write_all, name="textfile", daemon=True)
        self._trouble = ""

    def open(self) -> None:
        """Write the first one now."""
        self._idle.set()
        self._thread.start()
        self._task = asyncio.get_running_loop().create_task(self._work())
        self._task.add_done_callback(die_of_bugs)

    async def close(self) -> None:
        """Remove the file, unless the disk hangs."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None
        self._orders.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join, CLOSE_S)

    async def _work(self) -> None:
        while True:
            if self._idle.is_set():
                text = await self._text()
                self._idle.clear()
                self._orders.put(text)
            await asyncio.sleep(self._every_s)

    def _write_all(self) -> None:
        """The thread."""
        while (text := self._orders.get()) is not None:
            try:
                self._write(text)
            except OSError as error:
                self._note(error.strerror or str(error))
            else:
                self._note("")
            self._idle.set()
        with suppress(OSError):
            self._path.unlink()

    def _write(self, text: bytes) -> None:
        """Whole or not at all: whoever reads it never sees half of one."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        fresh.write_bytes(text)
        fresh.chmod(MODE)
        fresh.replace(self._path)

    def _note(self, trouble: str) -> None:
        """Log what is new."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("metrics.textfile", path=str(self._path), trouble=trouble or None)
