# SPDX-License-Identifier: GPL-2.0-or-later
"""The client tells apart: not running, still running, failed."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from cli_bench import CannedAgent, good

from haagent.cli.client import BrokenReplyError, NotRunningError, StillRunningError, ask


def test_reply(tmp_path: Path) -> None:
    """What the agent answers is what is returned, however large."""
    data = {"text": "x" * 500_000}
    with CannedAgent(tmp_path / "socket", {"status": good(data)}) as agent:
        assert ask(agent.path, {"verb": "status"}, 10) == good(data)


def test_nobody_there(tmp_path: Path) -> None:
    """A missing socket and one that nobody listens on both mean: not running."""
    path = tmp_path / "socket"
    with pytest.raises(NotRunningError, match="not running"):
        ask(path, {"verb": "status"}, 1)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with pytest.raises(NotRunningError, match="not running"):
        ask(path, {"verb": "status"}, 1)


def test_no_answer_in_time_is_neither_done_nor_failed(tmp_path: Path) -> None:
    """An order that takes longer than the client waits is told as still running."""
    with CannedAgent(tmp_path / "socket", {"switchover": None}) as agent:
        with pytest.raises(StillRunningError, match="may still be carried out"):
            ask(agent.path, {"verb": "switchover"}, 0.2)
        assert agent.requests == [{"verb": "switchover"}]


@pytest.mark.parametrize(
    "answer", [b"", b"{", b"null\n", b"[1]\n", b'{"ok": 1}\n', b"[" * 9999 + b"\n"]
)
def test_a_broken_answer_is_told_as_such(tmp_path: Path, answer: bytes) -> None:
    """An agent that dies, or says what is no reply, gives no traceback."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _address = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(BrokenReplyError):
            ask(path, {"verb": "status"}, 5)
        thread.join()
