# SPDX-License-Identifier: GPL-2.0-or-later
"""The operator's door: a unix socket, one JSON line in, one JSON line back, then closed.

Request: {"verb": one of VERBS, ...}.
Reply: {"ok": bool, "message": str, "data": anything}. With "stream": true in the request, lines of
the form {"progress": {...}} may come before it, as things happen. Who may ask is read from the
socket itself (SO_PEERCRED), never from what is said on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import json
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from haagent.bugs import die_of_bugs
from haagent.errors import EdgeError

VERBS = frozenset(
    {
        "status",
        "switchover",
        "failover",
        "standby",
        "group",
        "maintenance",
        "confirm-off",
        "fence-proof",
        "drill",
        "history",
        "black-box",
        "reload",
    }
)

GROUP = "haagent"
"""Members of this system group may ask, if there is one."""
MODE = 0o660
REQUEST_BYTES_MAX = 4096
CLIENTS_MAX = 16
REQUEST_BUDGET_S = 5.0
"""A client that has not finished its line by then is hung up on."""
REPLY_BUDGET_S = 5.0
"""The same for one that does not read its answer."""

PROGRESS_BYTES_MAX = 65_536
"""What may wait for a client that is slow to read; more word of progress is dropped."""

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))
_SO_PEERGROUPS = 59  # asm-generic/socket.h, Linux 4.13; not in Python's socket module
_GROUPS_MAX = 65536  # NGROUPS_MAX, linux/limits.h

Tell = Callable[[Mapping[str, object]], None]
"""Sends word of progress; does nothing if nobody wants it, or reads it."""
Handler = Callable[[Mapping[str, object], Tell], Awaitable[Mapping[str, object]]]
"""Answers one checked request; EdgeError becomes a reply, any other exception is a bug."""

_log = structlog.get_logger()


class ControlServer:
    """Answers operators on a unix socket until closed; bounded in clients, bytes and time."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._group: int | None = None
        self._inode: int | None = None
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; a socket file that nobody answers on is replaced in one step.

        Raises:
            EdgeError: another agent answers there, or the socket cannot be made.
        """
        self._group = _group_id()
        listener = _listen(self._path, self._group)
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.start_unix_server(
            self._connected, sock=listener, limit=REQUEST_BYTES_MAX
        )

    async def close(self) -> None:
        """Stop listening, hang up on everybody, and remove the socket file if it is still ours."""
        if self._server is not None:
            self._server.close()
        clients = tuple(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        task.add_done_callback(die_of_bugs)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await self._answer(reader, writer)
            _send(writer, reply)
            async with asyncio.timeout(REPLY_BUDGET_S):
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            # The client went away or sleeps; what it asked for was carried out all the same.
            writer.transport.abort()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Mapping[str, object]:
        uid = self._refused_uid(writer.get_extra_info("socket"))
        if uid is not None:
            _log.warning("control.refused", uid=uid)
            return _refusal(f"uid {uid} may not ask: root or a member of group {GROUP} may")
        if len(self._clients) > CLIENTS_MAX:
            return _refusal(f"{CLIENTS_MAX} others are asking already; try again")
        try:
            async with asyncio.timeout(REQUEST_BUDGET_S):
                line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            return _refusal(f"the request is longer than {REQUEST_BYTES_MAX} bytes")
        request = _request(line)
        if request is None:
            return _refusal(f"not a request; a verb is one of {', '.join(sorted(VERBS))}")
        streams = request.get("stream") is True

        def tell(progress: Mapping[str, object]) -> None:
            if streams and writer.transport.get_write_buffer_size() < PROGRESS_BYTES_MAX:
                _send(writer, {"progress": progress})

        try:
            return await self._handler(request, tell)
        except EdgeError as error:
            return _refusal(str(error))

    def _refused_uid(self, client: socket.socket) -> int | None:
        """Uid of a client that may not ask, None if it may."""
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _pid, uid, gid = _CREDENTIALS.unpack(credentials)
        if uid in (0, os.geteuid()):
            return None
        if self._group in (gid, *_peer_groups(client)):
            return None
        return int(uid)


def _send(writer: asyncio.StreamWriter, line: Mapping[str, object]) -> None:
    writer.write(json.dumps(line).encode() + b"\n")


def _peer_groups(client: socket.socket) -> tuple[int, ...]:
    """Supplementary groups that the client had when it connected: no look-up of names."""
    size = 4 * 256
    while True:
        try:
            packed = client.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, size)
        except OSError as error:
            if error.errno == errno.ERANGE and size < 4 * _GROUPS_MAX:
                size *= 4
                continue
            return ()
        return struct.unpack(f"{len(packed) // 4}I", packed)


def _group_id() -> int | None:
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def _request(line: bytes) -> Mapping[str, object] | None:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(request, dict):
        return None
    verb = request.get("verb")
    return request if isinstance(verb, str) and verb in VERBS else None


def _refusal(message: str) -> dict[str, object]:
    return {"ok": False, "message": message, "data": None}


def _listen(path: Path, group: int | None) -> socket.socket:
    """A listening socket at `path`, with its final mode from the first moment.

    It is made under another name and renamed: nobody ever meets a socket of the wrong mode, and a
    stale file is replaced rather than removed first.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    new = path.with_name(f"{path.name}.new")
    try:
        _refuse_occupied(path)
        new.unlink(missing_ok=True)
        listener.bind(str(new))
        os.chown(new, -1, -1 if group is None else group)
        new.chmod(MODE)
        listener.listen(CLIENTS_MAX)
        new.rename(path)
    except OSError as error:
        listener.close()
        raise EdgeError(f"control socket {path}: {error.strerror or error}") from None
    except EdgeError:
        listener.close()
        raise
    return listener


def _refuse_occupied(path: Path) -> None:
    """Raise EdgeError if `path` is no socket, or if another agent answers there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise EdgeError(f"control socket {path}: something else is in its place; remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return
        except BlockingIOError:
            pass  # alive, with a full backlog
    raise EdgeError(f"control socket {path}: another agent answers on it; stop that one first")
