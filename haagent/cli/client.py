# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks the agent over its control socket (haagent.control), and tells the endings apart."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from haagent.errors import EdgeError

REPLY_BYTES_MAX = 16_000_000
"""A reply is some kilobytes, a long history some megabytes."""

CONNECT_S = 2.0

Reply = Mapping[str, object]
"""{"ok": bool, "message": str, "data": anything}"""


class NotRunningError(EdgeError):
    """Nobody answers on the socket: the order certainly had no effect."""


class NotAllowedError(EdgeError):
    """The socket may not be opened by this user: the order had no effect."""


class StillRunningError(EdgeError):
    """The agent took the order and has not answered yet: it may still be carried out."""


class BrokenReplyError(EdgeError):
    """The agent hung up, or answered what is no reply: the order may have had an effect."""


Progress = Callable[[Mapping[str, object]], None]


def ask(
    path: Path,
    request: Mapping[str, object],
    timeout_s: float,
    on_progress: Progress | None = None,
) -> Reply:
    """Send one request and wait for its reply; blocks.

    Args:
        path: The control socket.
        request: With its "verb".
        timeout_s: Limit for the whole exchange, > 0.
        on_progress: Called with each word of progress before the reply; None: none is asked for.

    Raises:
        NotRunningError: no agent; NotAllowedError: not for this user.
        StillRunningError: sent, and no answer in time: neither done nor failed.
        BrokenReplyError: the agent ended before it answered.
    """
    deadline_s = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        _connect(connection, path)
        try:
            streamed = {**request, "stream": True} if on_progress else request
            connection.sendall(json.dumps(streamed).encode() + b"\n")
        except TimeoutError:
            raise NotRunningError(f"the agent on {path} takes no request; it hangs") from None
        except OSError:
            pass  # It hung up on us early; its reason may be waiting to be read.
        for line in _lines(connection, path, deadline_s):
            said = _object(line)
            progress = said.get("progress")
            if not isinstance(progress, dict):
                return _reply(said)
            if on_progress is not None:
                on_progress(progress)
    raise AssertionError("the lines end with an error")


def agent_pid(path: Path) -> int | None:
    """Process number of the agent behind the socket; None if none is there.

    Source: unix(7), SO_PEERCRED: of who called listen().
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_S)
        try:
            _connect(connection, path)
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except (EdgeError, OSError):
            return None
    pid, _, _ = struct.unpack("@iII", credentials)
    return int(pid) or None


def _connect(connection: socket.socket, path: Path) -> None:
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise NotRunningError(f"the agent is not running: nobody answers on {path}") from None
    except PermissionError:
        raise NotAllowedError(
            f"not allowed to use {path}: ask as root or a member of group haagent"
        ) from None
    except TimeoutError:
        raise NotRunningError(f"the agent on {path} takes no connection; it hangs") from None
    except OSError as error:
        raise NotRunningError(f"no agent on {path}: {error.strerror or error}") from None


def _lines(connection: socket.socket, path: Path, deadline_s: float) -> Iterator[bytes]:
    """Each line as it arrives, until nobody asks for another or an error says why there is none."""
    received = bytearray()
    while True:
        line, ended, rest = received.partition(b"\n")
        if ended:
            received = rest
            yield bytes(line)
            continue
        try:
            # At least a millisecond: a limit of zero would mean "do not wait at all".
            connection.settimeout(max(deadline_s - time.monotonic(), 0.001))
            part = connection.recv(65536)
        except TimeoutError:
            raise StillRunningError(
                "the agent has not answered yet; the order may still be carried out"
            ) from None
        except OSError as error:
            raise BrokenReplyError(f"the agent on {path} hung up: {error.strerror}") from None
        if not part:
            raise BrokenReplyError(f"the agent on {path} hung up without an answer")
        received += part
        if len(received) > REPLY_BYTES_MAX:
            raise BrokenReplyError(f"the reply is longer than {REPLY_BYTES_MAX} bytes")


def _object(line: bytes) -> Reply:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise BrokenReplyError(
            "the reply is not JSON; are agent and command of one release?"
        ) from None
    if not isinstance(said, dict):
        raise BrokenReplyError("not a reply; are agent and command of one release?")
    return said


def _reply(said: Reply) -> Reply:
    if not isinstance(said.get("ok"), bool):
        raise BrokenReplyError("not a reply; are agent and command of one release?")
    return said
