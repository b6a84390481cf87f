# SPDX-License-Identifier: GPL-2.0-or-later
"""One real server becomes a pair; what speaks against one is said with its remedy."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import pytest

from haagent.postgres import asking, comeback, preparing
from haagent.postgres.asking import Role
from haagent.postgres.comeback import ComeBack
from haagent.postgres.durability import SyncKeeper
from haagent.postgres.follow import (
    NAMES,
    configure,
    identity,
    local_conninfo,
    peer_conninfo,
    waits_for,
)
from haagent.postgres.inspection import Objection, objections
from haagent.postgres.layout import Layout, PostgresSettings, Rebuild
from haagent.postgres.resource import PostgresResource
from haagent.postgres.server import Server
from haagent.postgres.sql import Sql
from haagent.resources import ResourceError
from hil.database import PROGRAMS, VERSION

LIMIT_S = 30.0
BECOME = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")
Some = TypeVar("Some")
_STATISTICS = "stats_temp_directory = '/var/run/postgresql/main.pg_stat_tmp'\n"
DOUBTFUL = {13: _STATISTICS, 14: _STATISTICS, 17: "allow_alter_system = off\n"}
"""A line that speaks against a server of a version."""


@dataclass(frozen=True, slots=True)
class Two:
    """Two nodes' servers, of which one exists."""

    existing: PostgresSettings
    missing: PostgresSettings


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """The data of a fresh server."""
    with tempfile.TemporaryDirectory(prefix="haagent-postgres-") as name:
        shutil.chown(name, "postgres", "postgres")
        data = Path(name) / "data"
        words = [str(PROGRAMS / "initdb"), "-D", str(data), "-N"]
        subprocess.run([*BECOME, *words], check=True, timeout=60)
        yield data


@pytest.fixture
def two(made: Path) -> Iterator[Two]:
    """Debian's layout twice on one machine: a server that runs, a configuration without data."""
    folder = Path(tempfile.mkdtemp(prefix="haagent-postgres-"))
    folder.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.2", 0))
        port = free.getsockname()[1]
    both = []
    # Who connects to 127.0.0.2 comes from 127.0.0.1.
    for node, peer, ours, theirs in (
        ("alpha", "beta", "127.0.0.2", "127.0.0.1"),
        ("beta", "alpha", "127.0.0.1", "127.0.0.2"),
    ):
        place = folder / node
        place.mkdir()
        (place / "etc").mkdir()
        shutil.chown(place, "postgres", "postgres")
        configuration = place / "etc/postgresql.conf"
        configuration.write_text(
            f"listen_addresses = '{ours}'\nport = {port}\nunix_socket_directories = '{place}'\n"
            f"hba_file = '{place}/etc/pg_hba.conf'\ndata_directory = '{place}/data'\n"
        )
        # Like Debian's, which lets in whoever it likes, from one address that is no node's.
        (place / "etc/pg_hba.conf").write_text(
            "local all postgres peer\n"
            "host all all 127.0.0.9/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n"
            "host replication all 127.0.0.9/32 scram-sha-256\n"
        )
        (place / "etc/start.conf").write_text("# by postgresql-common\nauto\n")
        layout = Layout(PROGRAMS, place / "data", configuration, place / "log", place)
        settings = PostgresSettings(
            "db", node, peer, layout, ip_address(ours), ip_address(theirs), port
        )
        both.append(replace(settings, passfile=folder / f"{node}.pass"))
    pair = Two(*both)
    subprocess.run(["cp", "-a", made, pair.existing.layout.data], check=True)
    asyncio.run(Server(pair.existing).start(LIMIT_S))
    try:
        yield pair
    finally:
        for settings in both:
            asyncio.run(Server(settings).stop(settings.times.stop_s))
        shutil.rmtree(folder)


async def every(found: AsyncIterator[Some]) -> list[Some]:
    """All that comes."""
    return [one async for one in found]


def against(settings: PostgresSettings) -> list[Objection]:
    """What refuses a server."""
    return [one for one in asyncio.run(every(objections(settings))) if one.refuses]


@contextmanager
def small_disk(data: Path) -> Iterator[list[str]]:
    """For the data, with less room than a fresh server needs; at the end, what was left there."""
    left: list[str] = []
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", data], check=True)
    try:
        (data / "what was there").write_bytes(bytes(1 << 20))
        yield left
    finally:
        left += [entry.name for entry in data.iterdir()]
        subprocess.run(["umount", data], check=True)
        data.rmdir()


def test_one_server_becomes_a_pair(two: Two) -> None:
    """Prepared on one node, copied on the other, it streams with the password of the passfile."""
    assert asyncio.run(preparing.primary_here(two.existing))
    assert not asyncio.run(preparing.primary_here(two.missing))
    changed = "\n".join(asyncio.run(every(preparing.prepare(two.existing))))
    for part in ("role replicator", "alpha.pass", "wal_log_hints", "host replication", "manual"):
        assert part in changed
    assert against(two.existing) == []
    assert asyncio.run(every(preparing.prepare(two.existing))) == [], "changed again"
    assert two.existing.passfile is not None
    assert two.missing.passfile is not None
    shutil.copy2(two.existing.passfile, two.missing.passfile)
    shutil.chown(two.missing.passfile, "postgres", "postgres")
    with small_disk(two.missing.layout.data) as full, pytest.raises(ResourceError, match="room"):
        asyncio.run(preparing.copy(two.missing, lambda _done, _of: None, overwrite=False))
    assert full == ["what was there"], "it was removed for a copy that cannot fit"
    assert not two.missing.layout.marker.exists()
    seen: list[tuple[int, int]] = []
    own = "\n".join(
        asyncio.run(
            preparing.copy(two.missing, lambda done, of: seen.append((done, of)), overwrite=False)
        )
    )
    # Once it is promoted, the other one must be let in.
    for part in ("host replication replicator 127.0.0.2/32", "host postgres", "start.conf: manual"):
        assert part in own

    async def streams() -> None:
        sql = Sql(local_conninfo(two.existing), identity(two.existing))
        await asking.keep_slot(sql, two.existing.slot, LIMIT_S)
        await Server(two.missing).start(LIMIT_S)
        query = "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'"
        async with asyncio.timeout(LIMIT_S):
            while await sql.ask(query, limit_s=LIMIT_S) != [("beta",)]:  # noqa: ASYNC110  # it says nothing by itself
                await asyncio.sleep(0.1)
        sql.close()

    asyncio.run(streams())
    with pytest.raises(ResourceError, match="--overwrite gives it up"):
        asyncio.run(preparing.copy(two.missing, lambda _done, _of: None, overwrite=False))


def copied(two: Two) -> None:
    """The other node has a copy."""
    asyncio.run(every(preparing.prepare(two.existing)))
    assert two.existing.passfile is not None
    assert two.missing.passfile is not None
    shutil.copy2(two.existing.passfile, two.missing.passfile)
    shutil.chown(two.missing.passfile, "postgres", "postgres")
    asyncio.run(preparing.copy(two.missing, lambda _done, _of: None, overwrite=False))


async def begins_a_timeline(settings: PostgresSettings, *, writes: int = 1) -> None:
    """As whoever takes over: it follows nobody, is promoted, and written to."""
    server, sql = Server(settings), Sql(local_conninfo(settings), identity(settings))
    await server.stop(LIMIT_S)
    configure(settings, {"primary_conninfo": ""}, standby=True)
    await server.start(LIMIT_S)
    await asking.promote(sql, LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        while (await asking.standing(sql, LIMIT_S)).role is not Role.PRIMARY:  # noqa: ASYNC110  # it says nothing by itself
            await asyncio.sleep(0.1)
    for _ in range(writes):
        await asking.write(sql, LIMIT_S)
    await asking.keep_slot(sql, settings.slot, LIMIT_S)
    await sql.ask("CHECKPOINT", limit_s=LIMIT_S)
    sql.close()
    server.close()


async def way_back(back: ComeBack) -> str:
    """Take the long way back to its end; why it did not get there."""
    back.begin()
    async with asyncio.timeout(LIMIT_S):
        while back.works:  # noqa: ASYNC110  # it says nothing by itself
            await asyncio.sleep(0.1)
    return back.failure


@contextmanager
def coming_back(two: Two, rebuild: Rebuild) -> Iterator[ComeBack]:
    """The other node's way back, which starts no server at its end."""
    settings = replace(two.missing, rebuild=rebuild)
    peer = Sql(f"{peer_conninfo(settings)} dbname=postgres", identity(settings))
    yield ComeBack(settings, Server(settings), peer, lambda: asyncio.sleep(0))
    peer.close()


def test_newest_data_are_left_alone(two: Two) -> None:
    """A primary that was put back to older data is no reason to overwrite what this node has."""
    copied(two)
    asyncio.run(begins_a_timeline(two.missing))
    asyncio.run(Server(two.missing).stop(LIMIT_S))
    with coming_back(two, "auto") as back:
        assert "newer than the primary's" in asyncio.run(way_back(back))
    assert asyncio.run(Server(two.missing).control()).position.timeline == 2


def test_two_timelines_of_one_number(two: Two) -> None:
    """Both nodes began a timeline 2, each without the other: that is no history to stream from."""
    copied(two)
    asyncio.run(begins_a_timeline(two.missing))
    asyncio.run(begins_a_timeline(two.existing, writes=300))

    async def said() -> str:
        await Server(two.missing).stop(LIMIT_S)
        own = PostgresResource(replace(two.missing, rebuild="never"))
        try:
            with pytest.raises(ResourceError) as refused:
                await own.stand_by()
        finally:
            await own.retire()
            await own.close()
        return str(refused.value)

    assert "its history is not the primary's" in asyncio.run(said())
    with coming_back(two, "never") as back:
        assert "pg_rewind does not help" in asyncio.run(way_back(back))
    with coming_back(two, "auto") as back:
        assert asyncio.run(way_back(back)) == ""


def test_a_late_checkpoint_costs_no_copy(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose primary was not ready for pg_rewind is rewound the next time."""
    copied(two)
    asyncio.run(begins_a_timeline(two.existing))

    async def twice(back: ComeBack) -> tuple[str, str]:
        with monkeypatch.context() as impatient:
            impatient.setattr(comeback, "CHECKPOINT_S", 0.0)
            first = await way_back(back)
        return first, await way_back(back)

    with coming_back(two, "never") as back:
        first, second = asyncio.run(twice(back))
    assert "first checkpoint" in first
    assert second == ""


def test_no_password_in_the_servers_log(two: Two) -> None:
    """Not even where the server logs each statement."""

    async def logs_statements() -> None:
        sql = Sql(local_conninfo(two.existing), identity(two.existing))
        await asking.order(sql, "log_statement", "ddl", LIMIT_S)
        sql.close()

    asyncio.run(logs_statements())
    asyncio.run(every(preparing.prepare(two.existing)))
    assert two.existing.passfile is not None
    password = two.existing.passfile.read_text().strip().rpartition(":")[2]
    log = two.existing.layout.log.read_text()
    assert "ALTER ROLE" in log
    assert password not in log


def test_only_the_agent_lets_commits_go(two: Two) -> None:
    """Who empties the setting by hand, while the standby may be promoted, has it put back."""
    settings = replace(two.existing, durability="sync")
    ours = waits_for(settings.peer)

    async def emptied() -> None:
        sql = Sql(local_conninfo(settings), identity(settings))
        await asking.order(sql, NAMES, ours, LIMIT_S)
        told = asyncio.Event()
        keeper = SyncKeeper(settings)
        keeper.told = lambda _attempt, _complete: told.set()
        keeper.begin()
        async with asyncio.timeout(LIMIT_S):
            await told.wait()
            await asking.order(sql, NAMES, "", LIMIT_S)
            while await asking.setting(sql, NAMES, LIMIT_S) != ours:  # noqa: ASYNC110  # it says nothing by itself
                await asyncio.sleep(0.1)
        await keeper.end()
        sql.close()

    asyncio.run(emptied())


def test_what_speaks_against_a_server(two: Two) -> None:
    """Each with what would be right; what was put right is not said any more."""
    texts = [f"{one.value}: {one.text}" for one in against(two.existing)]
    for wanted in ("start.conf: systemd starts it", "alpha.pass", "set it and restart"):
        assert any(wanted in text for text in texts), (wanted, texts)
    assert any("CREATE ROLE replicator" in text for text in texts)
    wrong = replace(two.existing, port=two.existing.port + 1)
    assert any("set port" in one.text for one in against(wrong))
    nobody = replace(two.existing, user="nobody-of-that-name")
    assert [one.key for one in against(nobody)] == ["user"]
    bare = replace(two.missing, passfile=None)
    (empty,) = [one for one in asyncio.run(every(objections(bare))) if one.key == "data"]
    assert not empty.refuses
    assert "haagent postgres setup" in empty.text


def test_password_in_the_old_form(two: Two) -> None:
    """As 13 keeps it, unless it is told otherwise; what `setup` makes is in the new one."""

    def doubts() -> list[str]:
        found = asyncio.run(every(objections(two.existing)))
        return [one.text for one in found if not one.refuses and one.key == "replication_user"]

    asyncio.run(every(preparing.prepare(two.existing)))
    assert doubts() == []

    async def set_as_before() -> None:
        sql = Sql(local_conninfo(two.existing), identity(two.existing))
        await sql.ask("SET password_encryption = md5", limit_s=LIMIT_S)
        await sql.ask("ALTER ROLE replicator PASSWORD 'x'", limit_s=LIMIT_S)
        sql.close()

    asyncio.run(set_as_before())
    (text,) = doubts()
    assert "MD5" in text


def test_settings_that_only_some_versions_have(two: Two) -> None:
    """They speak against a server of those versions, and no other is asked for them."""
    before = against(two.existing)
    assert "configuration" not in {one.key for one in before}
    line = DOUBTFUL.get(VERSION, "")
    with two.existing.layout.configuration.open("a") as file:
        file.write(line)
    fresh = [one.value for one in against(two.existing) if one not in before]
    assert fresh == ([line.replace("'", "").strip()] if line else [])


def test_data_of_another_version(two: Two) -> None:
    """What the configuration calls its version is held against the data."""
    (two.existing.layout.data / "PG_VERSION").write_text("12\n")
    (objection,) = [one for one in against(two.existing) if one.key == "version"]
    assert objection.value == str(VERSION)
    assert "the data are of PostgreSQL 12" in objection.text
    (two.existing.layout.data / "PG_VERSION").write_text(f"{VERSION}\n")
    assert "version" not in {one.key for one in against(two.existing)}
