# SPDX-License-Identifier: GPL-2.0-or-later
"""One fence at a time per peer: daemon, console and agent take turns by a lock with an owner."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

MODE = 0o600
OWNER_BYTES_MAX = 4096
POLL_S = 0.05
"""The kernel tells nobody when a flock(2) becomes free, except who blocks in it."""

_log = structlog.get_logger()


def lock_path(control_socket: Path, node: str) -> Path:
    """Where whoever switches that node's power takes turns: beside the daemon's socket."""
    return control_socket.parent / f"fence-{node}.lock"


class LockedError(Exception):
    """Somebody else fences this peer; the message names who, and since when."""


class FenceLock:
    """The right to switch one peer's power, held by one process of this host at a time.

    The kernel releases it when its owner ends, however it ends.

    Args:
        path: A file of its own; made when missing, never removed.
        owner: Who we are, for whoever finds the lock taken, e.g. "haagent" or "console, root".
    """

    def __init__(self, path: Path, owner: str) -> None:
        self._path = path
        self._owner = owner

    @contextlib.asynccontextmanager
    async def held(self, what: str, limit_s: float) -> AsyncIterator[None]:
        """Hold the lock, at the latest after `limit_s` seconds.

        Where no lock can be made, e.g. on a full disk, the fence goes on without: that nobody else
        fences is a courtesy, and that the peer is off is a proof.

        Raises:
            LockedError: It was not free in time.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        except OSError as error:
            _log.warning("fence.no_lock", path=str(self._path), reason=error.strerror)
            yield
            return
        try:
            await self._take(descriptor, limit_s)
            self._sign(descriptor, what)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    async def _take(self, descriptor: int, limit_s: float) -> None:
        end_s = time.monotonic() + limit_s
        while not _locked(descriptor):
            if time.monotonic() >= end_s:
                raise LockedError(_described(os.pread(descriptor, OWNER_BYTES_MAX, 0)))
            await asyncio.sleep(POLL_S)

    def _sign(self, descriptor: int, what: str) -> None:
        """Leave our name for whoever waits; the lock holds without it, too."""
        signature = {"owner": self._owner, "pid": os.getpid(), "what": what, "since": time.time()}
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(signature).encode(), 0)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _described(signature: bytes) -> str:
    """Who holds it, in words; its file may be empty for a moment."""
    try:
        found = json.loads(signature)
        since = time.strftime("%H:%M:%S", time.localtime(found["since"]))
        return f"{found['owner']} (pid {found['pid']}) does {found['what']} since {since}"
    except (ValueError, KeyError, TypeError):
        return "another process fences it"
