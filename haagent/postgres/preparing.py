# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a pair of one existing server: what `haagent postgres setup` does on each node.

On the node whose server is primary: the role, its rights and its way in. On the other one: a copy.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from haagent.postgres import asking, follow
from haagent.postgres.comeback import copy_anew
from haagent.postgres.follow import identity, local_conninfo, peer_conninfo
from haagent.postgres.inspection import FUNCTIONS, lets_in
from haagent.postgres.layout import Address, PostgresSettings
from haagent.postgres.server import Server
from haagent.postgres.sql import Sql
from haagent.resources import ResourceError

LIMIT_S = 20.0
KEEP = "10GB"
"""Of the log for a standby that stays away: more than a day of most databases, less than a disk."""
DATABASES = ("replication", "postgres")
"""What the peer's server connects to: the one to stream, the other for its agent and pg_rewind."""
_WRITTEN = "SELECT FROM pg_file_settings WHERE name = $1 AND setting = $2"


async def primary_here(settings: PostgresSettings) -> bool:
    """Whether this node's server runs as primary.

    Raises:
        SqlError: It runs, and does not say.
    """
    if not await _runs(settings):
        return False
    sql = Sql(local_conninfo(settings), identity(settings))
    try:
        return (await asking.standing(sql, LIMIT_S)).role is asking.Role.PRIMARY
    finally:
        sql.close()


async def prepare(settings: PostgresSettings) -> AsyncIterator[str]:
    """Have the primary here take the peer as its standby; tells each thing that it changes.

    Raises:
        SqlError: The server says no.
        OSError: A file cannot be written.
    """
    sql = Sql(local_conninfo(settings), identity(settings))
    try:
        async for line in _role(settings, sql):
            yield line
        for name, value in (("wal_log_hints", "on"), ("max_slot_wal_keep_size", KEEP)):
            unset = await asking.setting(sql, name, LIMIT_S) in {"off", "-1"}
            if unset and not await sql.ask(_WRITTEN, name, value, limit_s=LIMIT_S):
                statement = f"ALTER SYSTEM SET {name} = {follow.quoted(value)}"
                await sql.ask(statement, limit_s=LIMIT_S)
                yield f"{name} = {value} (wal_log_hints with the server's next start)"
        ((file,),) = await sql.ask("SHOW hba_file", limit_s=LIMIT_S)
        for database in DATABASES:
            for address in (settings.address, settings.peer_address):
                if not await lets_in(sql, settings.replication_user, database, address):
                    yield _let_in(settings, Path(file or ""), database, address)
        await sql.ask("SELECT pg_reload_conf()", limit_s=LIMIT_S)
    finally:
        sql.close()
    for line in _leave_to_agent(settings):
        yield line


async def copy(
    settings: PostgresSettings, progress: Callable[[int, int], None], *, overwrite: bool
) -> list[str]:
    """Fill this node's data directory from the peer's primary; it is left for the agent to start.

    Returns:
        What was changed beside the data, which Debian keeps elsewhere.

    Args:
        settings: Of this node's server.
        progress: Called now and then with the bytes that have come, and of how many.
        overwrite: Although there are data here.

    Raises:
        ResourceError: It could not be done, or must not be.
        SqlError: The peer does not answer.
        OSError: A file cannot be written.
    """
    if not settings.layout.configuration.parent.is_dir():
        text = f"{settings.layout.configuration.parent} is missing; pg_createcluster makes it"
        raise ResourceError(text)
    if not follow.unusable(settings) and not overwrite:
        raise ResourceError(f"{settings.layout.data} holds a server; --overwrite gives it up")
    peer = Sql(f"{peer_conninfo(settings)} dbname=postgres", identity(settings))
    try:
        if (await asking.standing(peer, LIMIT_S)).role is not asking.Role.PRIMARY:
            raise ResourceError("the peer's server is no primary: nothing is copied")
        await copy_anew(settings, Server(settings), peer, _shown(peer, progress))
    finally:
        peer.close()
    values = follow.standby_settings(settings)
    follow.configure(settings, values, standby=True)
    changed: list[str] = []
    hba = settings.layout.configuration.with_name("pg_hba.conf")
    if settings.replication_user not in hba.read_text(encoding="utf-8").split():
        changed += [
            _let_in(settings, hba, database, address)
            for database in DATABASES
            for address in (settings.address, settings.peer_address)
        ]
    return [*changed, *_leave_to_agent(settings)]


def _let_in(settings: PostgresSettings, hba: Path, database: str, address: Address) -> str:
    """Let a node in; both are: the file may be one that is copied with the data."""
    user = settings.replication_user
    line = f"host {database} {user} {address}/{address.max_prefixlen} scram-sha-256"
    with hba.open("a", encoding="utf-8") as opened:
        opened.write(f"# haagent: a node of the pair\n{line}\n")
    return f"{hba}: {line}"


def _leave_to_agent(settings: PostgresSettings) -> Iterator[str]:
    start = settings.layout.start_file
    if start.exists() and "auto" in start.read_text(encoding="utf-8").split():
        start.write_text("manual\n", encoding="utf-8")
        yield f"{start}: manual"


def _shown(
    peer: Sql, progress: Callable[[int, int], None]
) -> Callable[[Awaitable[None]], Awaitable[None]]:
    async def carry(work: Awaitable[None]) -> None:
        async def tell() -> None:
            done = await asking.backup_bytes(peer, LIMIT_S)
            if done is not None:
                progress(*done)

        await asking.beside(work, tell)

    return carry


async def _role(settings: PostgresSettings, sql: Sql) -> AsyncIterator[str]:
    user, known = settings.replication_user, "SELECT FROM pg_roles WHERE rolname = $1"
    if not await sql.ask(known, user, limit_s=LIMIT_S):
        await sql.ask(f"CREATE ROLE {_name(user)} LOGIN REPLICATION", limit_s=LIMIT_S)
        yield f"role {user}"
    if settings.passfile is not None and not settings.passfile.exists():
        from haagent.postgres.libpq import verifier  # noqa: PLC0415  # the library is large

        password = secrets.token_urlsafe(24)
        # Not in clear: the server may log each statement. And 13 would keep it in the old form.
        statement = f"ALTER ROLE {_name(user)} PASSWORD {follow.quoted(verifier(password, user))}"
        await sql.ask(statement, limit_s=LIMIT_S)
        follow.write_private(settings, settings.passfile, f"*:*:*:{user}:{password}\n")
        yield f"{settings.passfile}: a new password; copy this file to {settings.peer} as it is"
    for function in FUNCTIONS:
        statement = f"GRANT EXECUTE ON FUNCTION {function} TO {_name(user)}"
        await sql.ask(statement, limit_s=LIMIT_S)


async def _runs(settings: PostgresSettings) -> bool:
    server = Server(settings)
    try:
        return bool(await server.processes())
    finally:
        server.close()


def _name(role: str) -> str:
    return '"' + role.replace('"', '""') + '"'
