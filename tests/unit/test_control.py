# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket answers whom it may, within its bounds, and survives everyone else."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from haagent import control
from haagent.control import PROGRESS_BYTES_MAX, ControlServer, Tell
from haagent.errors import EdgeError


async def echo(request: Mapping[str, object], _tell: Tell) -> Mapping[str, object]:
    """A handler that gives the request back."""
    return {"ok": True, "message": "", "data": dict(request)}


async def exchange(path: Path, sent: bytes, *, end: bool = False) -> dict[str, object]:
    """Send bytes as a client; the reply, {} if the server hung up without one."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(sent)
        if end:
            writer.write_eof()
        await writer.drain()
        line = await reader.readline()
    except (BrokenPipeError, ConnectionResetError):
        line = b""
    finally:
        writer.close()
    return dict(json.loads(line)) if line else {}


def test_request_and_reply(tmp_path: Path) -> None:
    """One line goes in, the handler's answer comes back, and the connection ends."""

    async def run() -> None:
        server = ControlServer(tmp_path / "socket", echo)
        await server.start()
        reply = await exchange(tmp_path / "socket", b'{"verb": "history", "limit": 3}\n')
        assert reply == {"ok": True, "message": "", "data": {"verb": "history", "limit": 3}}
        await server.close()

    asyncio.run(run())


@pytest.mark.parametrize("wanted", [True, False])
def test_progress_comes_before_the_reply_if_it_is_wanted(tmp_path: Path, *, wanted: bool) -> None:
    """Each word of progress is a line of its own, in order; who did not ask gets none."""

    async def counting(_request: Mapping[str, object], tell: Tell) -> Mapping[str, object]:
        tell({"step": 1})
        await asyncio.sleep(0)
        tell({"step": 2})
        return {"ok": True, "message": "", "data": None}

    async def run() -> None:
        path = tmp_path / "socket"
        server = ControlServer(path, counting)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(json.dumps({"verb": "switchover", "stream": wanted}).encode() + b"\n")
        lines = [json.loads(line) async for line in reader]
        writer.close()
        steps = [{"progress": {"step": 1}}, {"progress": {"step": 2}}] if wanted else []
        assert lines == [*steps, {"ok": True, "message": "", "data": None}]
        await server.close()

    asyncio.run(run())


def test_progress_that_nobody_reads_is_dropped(tmp_path: Path) -> None:
    """A client that does not read its lines costs a bounded amount of memory."""
    waiting = 0

    async def talkative(_request: Mapping[str, object], tell: Tell) -> Mapping[str, object]:
        nonlocal waiting
        for _ in range(1000):
            tell({"text": "x" * 1000})
        (writer,) = writers
        waiting = writer.transport.get_write_buffer_size()
        return {"ok": True, "message": "", "data": None}

    writers: list[asyncio.StreamWriter] = []

    async def run() -> None:
        path = tmp_path / "socket"
        server = ControlServer(path, talkative)
        served = server._connected

        def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            served(reader, writer)

        server._connected = note  # type: ignore[method-assign]  # a second pair of eyes
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"verb": "switchover", "stream": true}\n')
        lines = [line async for line in reader]
        writer.close()
        assert 0 < waiting < PROGRESS_BYTES_MAX + 2000
        assert json.loads(lines[-1])["ok"]
        await server.close()

    asyncio.run(run())


def test_the_file_is_for_owner_and_group_and_goes_away(tmp_path: Path) -> None:
    """The socket has mode 0660 while it lives, and leaves nothing behind."""

    def seen() -> dict[str, int]:
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    async def run() -> None:
        server = ControlServer(tmp_path / "socket", echo)
        await server.start()
        assert seen() == {"socket": 0o660}
        await server.close()
        assert seen() == {}

    asyncio.run(run())


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    """After a crash the agent starts again; beside a running one it does not."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))

    async def run() -> None:
        first, second = ControlServer(path, echo), ControlServer(path, echo)
        await first.start()
        with pytest.raises(EdgeError, match="another agent"):
            await second.start()
        await second.close()
        assert (await exchange(path, b'{"verb": "status"}\n'))["ok"]
        await first.close()
        path.write_text("not a socket")
        with pytest.raises(EdgeError, match="something else"):
            await first.start()
        with pytest.raises(EdgeError, match="No such file"):
            await ControlServer(tmp_path / "none" / "socket", echo).start()

    asyncio.run(run())


BAD_REQUESTS = [
    b"\n",
    b"null\n",
    b"[]\n",
    b'{"verb": "reboot"}\n',
    b'{"verb": ["status"]}\n',
    b"{}\n",
    b"\xff\n",
    b"[" * 4000 + b"\n",
]


@pytest.mark.parametrize("sent", BAD_REQUESTS, ids=lambda sent: repr(sent[:12]))
def test_what_is_no_request_never_reaches_the_handler(tmp_path: Path, sent: bytes) -> None:
    """Anything but an object with a known verb is refused with the list of verbs."""

    async def never(_request: Mapping[str, object], _tell: Tell) -> Mapping[str, object]:
        raise AssertionError

    async def run() -> None:
        server = ControlServer(tmp_path / "socket", never)
        await server.start()
        reply = await exchange(tmp_path / "socket", sent)
        assert reply["ok"] is False
        assert "confirm-off" in str(reply["message"])
        await server.close()

    asyncio.run(run())


@given(sent=st.binary(max_size=200))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_leave_the_server_alive(tmp_path: Path, sent: bytes) -> None:
    """Whatever a client sends, the next client is answered."""

    async def run() -> None:
        server = ControlServer(tmp_path / "socket", echo)
        await server.start()
        await exchange(tmp_path / "socket", sent, end=True)
        assert (await exchange(tmp_path / "socket", b'{"verb": "status"}\n'))["ok"]
        await server.close()

    asyncio.run(run())


def test_a_request_has_a_longest_size(tmp_path: Path) -> None:
    """A line above the limit is refused with the limit's figure."""

    async def run() -> None:
        server = ControlServer(tmp_path / "socket", echo)
        await server.start()
        for size in (control.REQUEST_BYTES_MAX + 1, 1_000_000):
            reply = await exchange(tmp_path / "socket", b"x" * size)
            assert not reply or "4096" in str(reply["message"])
        assert (await exchange(tmp_path / "socket", b'{"verb": "status"}\n'))["ok"]
        await server.close()

    asyncio.run(run())


def test_a_client_that_says_nothing_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line holds a place only for the request's budget."""
    monkeypatch.setattr(control, "REQUEST_BUDGET_S", 0.05)

    async def run() -> None:
        server = ControlServer(tmp_path / "socket", echo)
        await server.start()
        assert await exchange(tmp_path / "socket", b'{"verb"') == {}
        await server.close()

    asyncio.run(run())


def test_clients_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One client too many is told so at once; a place that becomes free is given away."""
    monkeypatch.setattr(control, "CLIENTS_MAX", 2)

    async def run() -> None:
        gate, waiting = asyncio.Event(), asyncio.Semaphore(0)

        async def slow(request: Mapping[str, object], tell: Tell) -> Mapping[str, object]:
            waiting.release()
            await gate.wait()
            return await echo(request, tell)

        path = tmp_path / "socket"
        server = ControlServer(path, slow)
        await server.start()
        held = [asyncio.create_task(exchange(path, b'{"verb": "status"}\n')) for _ in range(2)]
        for _ in held:
            await waiting.acquire()
        assert "2 others" in str((await exchange(path, b'{"verb": "status"}\n'))["message"])
        gate.set()
        assert all(reply["ok"] for reply in await asyncio.gather(*held))
        assert (await exchange(path, b'{"verb": "status"}\n'))["ok"]
        await server.close()

    asyncio.run(run())


def test_edge_errors_are_answers_and_bugs_reach_the_loop(tmp_path: Path) -> None:
    """An EdgeError becomes a refusal; any other exception goes to the loop's exception handler."""

    async def broken(request: Mapping[str, object], _tell: Tell) -> Mapping[str, object]:
        if request["verb"] == "status":
            raise EdgeError("the disk is gone")
        raise KeyError("bug")

    async def run() -> None:
        seen: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: seen.put_nowait(context))
        server = ControlServer(tmp_path / "socket", broken)
        await server.start()
        reply = await exchange(tmp_path / "socket", b'{"verb": "status"}\n')
        assert (reply["ok"], reply["message"]) == (False, "the disk is gone")
        assert await exchange(tmp_path / "socket", b'{"verb": "history"}\n') == {}
        assert isinstance((await seen.get())["exception"], KeyError)
        await server.close()

    asyncio.run(run())


def test_an_order_outlives_its_client(tmp_path: Path) -> None:
    """A client that goes away does not cancel what it ordered."""

    async def run() -> None:
        begun, gate, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def slow(request: Mapping[str, object], tell: Tell) -> Mapping[str, object]:
            begun.set()
            await gate.wait()
            done.set()
            return await echo(request, tell)

        server = ControlServer(tmp_path / "socket", slow)
        await server.start()
        _reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        writer.write(b'{"verb": "switchover"}\n')
        await begun.wait()
        writer.transport.abort()
        gate.set()
        await done.wait()
        await server.close()

    asyncio.run(run())


class Peer:
    """A client's socket as the kernel describes it: these facts cannot be made up in a process."""

    def __init__(self, uid: int, gid: int, groups: tuple[int, ...] = ()) -> None:
        self._credentials = struct.pack("3i", 4242, uid, gid)
        self._groups = struct.pack(f"{len(groups)}I", *groups)

    def getsockopt(self, level: int, option: int, _size: int) -> bytes:
        """Answer SO_PEERCRED and SO_PEERGROUPS."""
        assert level == socket.SOL_SOCKET
        return self._credentials if option == socket.SO_PEERCRED else self._groups


def test_who_may_ask() -> None:
    """Root, the agent's own user and members of the group may; without a group no one else."""
    server = ControlServer(Path("unused"), echo)
    nobody = os.geteuid() + 12345
    server._group = 777
    for peer in (
        Peer(0, 0),
        Peer(os.geteuid(), 5),
        Peer(nobody, 777),
        Peer(nobody, 5, (6, 777)),
    ):
        assert server._refused_uid(peer) is None  # type: ignore[arg-type]
    assert server._refused_uid(Peer(nobody, 5, (6,))) == nobody  # type: ignore[arg-type]
    server._group = None
    assert server._refused_uid(Peer(nobody, 777, (777,))) == nobody  # type: ignore[arg-type]


def test_the_kernel_tells_who_asks() -> None:
    """SO_PEERCRED and SO_PEERGROUPS of a real socket are this process's own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        server = ControlServer(Path("unused"), echo)
        assert server._refused_uid(ours) is None
        assert set(control._peer_groups(ours)) == set(os.getgroups())
