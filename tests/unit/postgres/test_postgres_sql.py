# SPDX-License-Identifier: GPL-2.0-or-later
"""A real server is asked: it answers, refuses, hangs and goes away, and nobody waits too long."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from haagent.postgres import asking
from haagent.postgres.asking import Role
from haagent.postgres.errors import SqlError, SqlTimeoutError
from haagent.postgres.follow import identity, local_conninfo
from haagent.postgres.layout import Layout, PostgresSettings
from haagent.postgres.server import Server, postmaster
from haagent.postgres.sql import Sql
from hil.database import PROGRAMS
from hil.ports import free_port

LIMIT_S = 20.0
SHORT_S = 0.5
BECOME = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")
OWN_MEMORY = ("unshare", "--ipc")
"""With the setting below: shared memory that a killed server does not leave on this machine."""


def call(*words: str) -> None:
    """Run one of the server's programs as its user."""
    command = [*OWN_MEMORY, *BECOME, str(PROGRAMS / words[0]), *words[1:]]
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)


async def killed(settings: PostgresSettings) -> None:
    """Nothing of the server runs any more; its file may tell of one that was killed before."""
    server = Server(settings)
    await server.kill()
    server.close()


@pytest.fixture(scope="session")
def made() -> Iterator[PostgresSettings]:
    """A server's data, made once; it does not run."""
    if os.geteuid() != 0:
        pytest.fail("a server that runs as its own user needs root to begin with")
    folder = Path(tempfile.mkdtemp(prefix="haagent-postgres-"))
    folder.chmod(0o755)
    shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    call("initdb", "-D", str(data), "-N", "--auth=peer")
    port = free_port()
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"unix_socket_directories = '{folder}'\nport = {port}\n")
        file.write("dynamic_shared_memory_type = mmap\n")
        file.write("max_connections = 5\nsuperuser_reserved_connections = 2\nmax_wal_senders = 1\n")
    layout = Layout(PROGRAMS, data, data / "postgresql.conf", folder / "log", folder)
    ours, theirs = ip_address("127.0.0.1"), ip_address("127.0.0.2")
    settings = PostgresSettings("db", "alpha", "beta", layout, ours, theirs, port)
    try:
        yield settings
    finally:
        asyncio.run(killed(settings))
        shutil.rmtree(folder)


@pytest.fixture
def settings(made: PostgresSettings) -> PostgresSettings:
    """The server, running."""
    data = str(made.layout.data)
    if subprocess.run(
        [*BECOME, str(PROGRAMS / "pg_ctl"), "status", "-sD", data], check=False
    ).returncode:
        call("pg_ctl", "start", "-sw", "-D", data, "-l", str(made.layout.log))
    return made


@pytest.fixture
def sql(settings: PostgresSettings) -> Iterator[Sql]:
    """How to ask the server."""
    asked = Sql(local_conninfo(settings), identity(settings))
    yield asked
    asked.close()


@pytest.fixture
def frozen(settings: PostgresSettings) -> Iterator[None]:
    """Every process of the server is stopped in the act."""
    pids = asyncio.run(Server(settings).processes())
    assert pids
    for pid in pids:
        with suppress(ProcessLookupError):  # the last client's process may just have ended
            os.kill(pid, signal.SIGSTOP)
    yield
    for pid in asyncio.run(Server(settings).processes()):
        with suppress(ProcessLookupError):  # a test may have ended it
            os.kill(pid, signal.SIGCONT)


def test_peer_authentication_and_nothing_else_changes(sql: Sql) -> None:
    """The asking thread is the server's user; this process is who it was."""
    before = (os.geteuid(), os.getegid())
    rows = asyncio.run(sql.ask("SELECT current_user, $1::text, NULL", "x", limit_s=LIMIT_S))
    assert rows == [("postgres", "x", None)]
    assert (os.geteuid(), os.getegid()) == before


def test_a_refusal_is_said_in_its_words_and_the_connection_lives(sql: Sql) -> None:
    """What the server says is passed on, and the next question is answered by the same session."""

    async def ask() -> None:
        session = await sql.ask("SELECT pg_backend_pid()", limit_s=LIMIT_S)
        with pytest.raises(SqlError, match="division by zero"):
            await sql.ask("SELECT 1 / 0", limit_s=LIMIT_S)
        assert await sql.ask("SELECT pg_backend_pid()", limit_s=LIMIT_S) == session

    asyncio.run(ask())


def test_standing_and_a_write(sql: Sql) -> None:
    """A primary says what it is and where; the write makes its own table the first time."""

    async def ask() -> None:
        before = await asking.standing(sql, LIMIT_S)
        await asking.write(sql, LIMIT_S)
        after = await asking.standing(sql, LIMIT_S)
        assert (before.role, before.streams) == (Role.PRIMARY, False)
        assert before.position is not None
        assert after.position is not None
        assert before.position < after.position
        assert before.system == (await asking.standing(sql, LIMIT_S)).system != ""

    asyncio.run(ask())


@pytest.mark.parametrize("connected", [True, False])
def test_a_frozen_server_is_given_up_in_time(
    sql: Sql, settings: PostgresSettings, request: pytest.FixtureRequest, *, connected: bool
) -> None:
    """Neither a connection that stands nor a new one is waited for beyond the limit."""
    if connected:
        asyncio.run(sql.ask("SELECT 1", limit_s=LIMIT_S))
    request.getfixturevalue("frozen")
    begun_s = time.monotonic()
    with pytest.raises(SqlTimeoutError):
        asyncio.run(sql.ask("SELECT 1", limit_s=SHORT_S))
    assert time.monotonic() - begun_s < 10 * SHORT_S
    assert settings.port


def test_it_goes_on_after_a_restart_of_the_server(sql: Sql, settings: PostgresSettings) -> None:
    """A connection that broke between two questions is made anew, and nobody hears of it."""

    async def ask() -> None:
        server = Server(settings)
        await sql.ask("SELECT 1", limit_s=LIMIT_S)
        await server.stop(LIMIT_S)
        assert await server.processes() == []
        with pytest.raises(SqlError):
            await sql.ask("SELECT 1", limit_s=LIMIT_S)
        await server.start(LIMIT_S)
        assert await sql.ask("SELECT 2", limit_s=LIMIT_S) == [("2",)]
        await server.stop(LIMIT_S)  # this one has its shared memory on this machine
        server.close()

    asyncio.run(ask())


def test_an_exhausted_pool_holds_up_nobody(settings: PostgresSettings) -> None:
    """Clients have every connection that is theirs: the agent's own are reserved."""

    async def ask() -> None:
        conninfo = local_conninfo(settings)
        clients = [Sql(conninfo, identity(settings)) for _ in range(3)]
        own = Sql(conninfo, identity(settings))
        try:
            for client in clients:
                await client.ask("SELECT 1", limit_s=LIMIT_S)
            assert await own.ask("SELECT 1", limit_s=LIMIT_S) == [("1",)]
            extra = Sql(f"{conninfo} options='-c role=none'", identity(settings))
            await extra.ask("SELECT 1", limit_s=LIMIT_S)
            last = Sql(conninfo, identity(settings))
            with pytest.raises(SqlError, match="too many clients"):
                await last.ask("SELECT 1", limit_s=LIMIT_S)
            extra.close()
            last.close()
        finally:
            for each in (*clients, own):
                each.close()

    asyncio.run(ask())


def test_a_frozen_server_can_be_stopped(settings: PostgresSettings, frozen: None) -> None:
    """What hears no order is killed, and nothing of it is left (S7)."""
    assert frozen is None

    async def stop() -> None:
        server = Server(settings)
        assert postmaster(settings.layout.data) in await server.processes()
        await server.stop(7.0)
        assert await server.processes() == []
        assert (await server.control()).state == "in production"
        server.close()

    asyncio.run(stop())
