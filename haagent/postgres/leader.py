# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that leads a running server: its end is heard of at once, not with the next look."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from haagent.postgres.server import Server, postmaster


class Leader:
    """Of one server at a time."""

    def __init__(self, server: Server, data: Path, ended: Callable[[], None]) -> None:
        """Nobody is watched yet.

        Args:
            server: Whose it is.
            data: The server's directory.
            ended: Called on the loop when the one that is watched has ended.
        """
        self._server = server
        self._data = data
        self._ended = ended
        self._pidfd: int | None = None

    async def watch(self) -> None:
        """Watch the one there is now, unless one is watched."""
        if self._pidfd is not None:
            return
        pid = await self._server.on_disk(partial(postmaster, self._data))
        if pid is None or self._pidfd is not None:
            return
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            return  # It has ended; the next look sees it.
        asyncio.get_running_loop().add_reader(self._pidfd, self._readable)

    def forget(self) -> None:
        """Watch nobody."""
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _readable(self) -> None:
        self.forget()
        self._ended()
