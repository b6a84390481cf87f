# SPDX-License-Identifier: GPL-2.0-or-later
"""A real PostgreSQL under Debian's `ocf:heartbeat:pgsql`, asked by its own client."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import chown

import pytest
from ocf_bench import installed, refused

from haagent.resources import Condition
from haagent.resources.ocf import OcfResource
from haagent.resources.ocf_codes import UnfitError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="OCF agents need root")

PROGRAMS = Path("/usr/lib/postgresql")
OWNER = "postgres"
ACTION_LIMIT_S = 60.0


def as_owner(*command: str | Path) -> str:
    """What a command of the database's own user prints."""
    done = subprocess.run(
        ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--init-groups", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


class Server:
    """One database on its socket alone, without a word of the agent."""

    def __init__(self, folder: Path) -> None:
        (self.programs,) = sorted(PROGRAMS.glob("*/bin"))[-1:]
        self.folder = folder
        self.data = folder / "data"
        as_owner(self.programs / "initdb", "-A", "trust", "-N", "-D", self.data)
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(f"listen_addresses = ''\nunix_socket_directories = '{folder}'\n")
        self.parameters = {
            "pgctl": str(self.programs / "pg_ctl"),
            "psql": str(self.programs / "psql"),
            "pgdata": str(self.data),
            "pgdba": OWNER,
            "socketdir": str(folder),
            "logfile": str(folder / "server.log"),
        }

    def sql(self, statement: str) -> str:
        """What a client is answered."""
        options = ("-h", self.folder, "-X", "-A", "-t", "-c")
        return as_owner(self.programs / "psql", *options, statement).strip()

    def pid(self) -> int | None:
        """Its postmaster's, by its own file; None where there is none."""
        try:
            return int((self.data / "postmaster.pid").read_text().splitlines()[0])
        except FileNotFoundError:
            return None

    def runs(self) -> bool:
        """That process is there."""
        pid = self.pid()
        return pid is not None and Path(f"/proc/{pid}/exe").exists()

    def kill(self) -> None:
        """Its postmaster dies as of a kernel out of memory."""
        pid = self.pid()
        assert pid is not None
        watched = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(watched, signal.SIGKILL)
        finally:
            os.close(watched)


@pytest.fixture
def server() -> Iterator[Server]:
    """An empty database, not running; ended afterwards if it is."""
    with tempfile.TemporaryDirectory(prefix="haagent-pgsql-") as folder:
        chown(folder, OWNER, OWNER)
        database = Server(Path(folder))
        yield database
        if database.runs():
            with suppress(ProcessLookupError):
                database.kill()


def of(server: Server, directory: Path, **parameters: str) -> OcfResource:
    """The database as a resource."""
    limits_s = dict.fromkeys(("start", "stop", "monitor"), ACTION_LIMIT_S)
    given = {**server.parameters, **parameters}
    return installed("ocf:heartbeat:pgsql", directory, given, limits_s=limits_s)


async def condition(resource: OcfResource) -> Condition:
    """What it says that it is."""
    return (await resource.monitor()).condition


def test_database_lives_through_its_agent(server: Server, tmp_path: Path) -> None:
    """Started, written to, crashed, started in place with what was committed, stopped."""
    resource = of(server, tmp_path)

    async def main() -> None:
        assert await resource.validate() == []
        assert await condition(resource) is Condition.STOPPED
        await resource.start()
        assert await condition(resource) is Condition.ACTIVE
        server.sql("CREATE TABLE kept AS SELECT 7 AS number")
        server.kill()
        assert await condition(resource) is not Condition.ACTIVE
        await resource.stop()
        assert not server.runs()
        await resource.start()
        assert server.sql("SELECT number FROM kept") == "7"
        await resource.start()  # of what runs it is nothing
        assert await condition(resource) is Condition.ACTIVE
        await resource.stop()
        assert not server.runs()
        assert await condition(resource) is Condition.STOPPED
        await resource.close()

    asyncio.run(main())


def test_database_that_takes_no_statement_is_failed(server: Server, tmp_path: Path) -> None:
    """It runs and answers no query: its monitor says so, and its stop ends it all the same."""
    resource = of(server, tmp_path, monitor_sql="SELECT 1 FROM nothing_of_that_name")
    fine = of(server, tmp_path)

    async def main() -> None:
        await fine.start()
        assert await condition(resource) is Condition.FAILED
        assert server.runs()
        await resource.stop()
        assert not server.runs()

    asyncio.run(main())


def test_programs_that_are_missing(tmp_path: Path) -> None:
    """Validate says what is missing, and the start is not for this node."""
    parameters = {"pgdata": str(tmp_path / "data"), "pgctl": "/nonexistent/pg_ctl"}
    resource = installed("ocf:heartbeat:pgsql", tmp_path, parameters)

    async def main() -> None:
        (found,) = await resource.validate()
        assert "/nonexistent/pg_ctl" in found
        assert isinstance(await refused(resource.start()), UnfitError)
        await resource.stop()

    asyncio.run(main())
