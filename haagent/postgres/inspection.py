# SPDX-License-Identifier: GPL-2.0-or-later
"""What speaks against a server as a resource on this machine, each with its remedy.

Its settings are read as the server itself would (`postgres -C`), so it need not run.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from haagent.postgres import follow
from haagent.postgres.asking import Role, standing
from haagent.postgres.errors import SqlError
from haagent.postgres.follow import identity, local_conninfo
from haagent.postgres.layout import Address, PostgresSettings
from haagent.postgres.server import Server
from haagent.postgres.sql import Sql
from haagent.resources import ResourceError

LIMIT_S = 10.0
PASSFILE_MODE = 0o600
FUNCTIONS = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)
"""What pg_rewind calls on the primary. Source: its manual page, NOTES."""
STATISTICS_IN_FILES = 14
"""The last version that writes its statistics to a directory while it runs."""
VOLATILE = ("/run/", "/var/run/")
"""Empty after a boot."""
ALTER_SYSTEM_FORBIDDABLE = 17
"""The first version in which it can be."""


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing that speaks against a server."""

    key: str
    """Of the resource, such as "data"; "" for the server itself."""
    value: str
    text: str
    refuses: bool = True


async def objections(settings: PostgresSettings) -> AsyncIterator[Objection]:
    """All that speaks against it here; nothing is started or changed."""
    if identity(settings) is None:
        yield Objection("user", settings.user, "no user of this machine; install PostgreSQL")
        return
    programs = settings.layout.programs
    if not (programs / "pg_ctl").exists():
        text = "has no pg_ctl; install this version, or name where it is"
        yield Objection("programs", str(programs), text)
        return
    for objection in (*_systemd(settings), *_passfile(settings)):
        yield objection
    if why := follow.unusable(settings):
        text = f"{why}; `haagent postgres setup` fills it from the peer"
        yield Objection("data", str(settings.layout.data), text, refuses=False)
        return
    server = Server(settings)
    try:
        version = _version(settings)
        program = await _program_version(server)
        if program != version:
            text = f"the data are of PostgreSQL {version}, the programs of {program}"
            yield Objection("version", str(program), text)
            return
        async for objection in _configured(settings, server):
            yield objection
        async for objection in _of_version(settings, server, version):
            yield objection
    except ResourceError as error:
        yield Objection("configuration", str(settings.layout.configuration), str(error))
        return
    finally:
        server.close()
    async for objection in _of_primary(settings):
        yield objection


def _systemd(settings: PostgresSettings) -> list[Objection]:
    """Debian starts every server whose start.conf says so, on both nodes, before the agent."""
    file = settings.layout.start_file
    try:
        words = [line.split("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
    except OSError:
        return []
    if "auto" not in words:
        return []
    text = "systemd starts it at boot, on both nodes and before the agent decides; write manual"
    return [Objection("", str(file), text)]


def _passfile(settings: PostgresSettings) -> list[Objection]:
    file, owner = settings.passfile, identity(settings)
    if file is None or owner is None:
        return []
    try:
        status = file.stat()
    except OSError as error:
        return [Objection("passfile", str(file), f"{error.strerror}; see the page postgresql.md")]
    if status.st_uid != owner.user or status.st_mode & 0o077:
        text = f"libpq ignores it; chown {settings.user} and chmod {PASSFILE_MODE:o} it"
        return [Objection("passfile", str(file), text)]
    return []


async def _configured(settings: PostgresSettings, server: Server) -> AsyncIterator[Objection]:
    wanted = {
        "wal_level": ({"replica", "logical"}, "replica"),
        "hot_standby": ({"on"}, "on"),
        "full_page_writes": ({"on"}, "on"),
        "fsync": ({"on"}, "on"),
        "port": ({str(settings.port)}, str(settings.port)),
    }
    for name, (allowed, remedy) in wanted.items():
        value = await _value(settings, server, name)
        if value not in allowed:
            yield Objection("", f"{name} = {value}", f"set {name} = {remedy}")
    for name, least in (("max_wal_senders", 3), ("max_replication_slots", 1)):
        value = await _value(settings, server, name)
        if int(value) < least:
            yield Objection("", f"{name} = {value}", f"set {name} to {least} or more")
    hints = await _value(settings, server, "wal_log_hints")
    if hints != "on" and "version: 0" in await _checksums(settings, server):
        text = "pg_rewind needs wal_log_hints = on, or data checksums; set it and restart"
        yield Objection("", f"wal_log_hints = {hints}", text)
    if await _value(settings, server, "max_slot_wal_keep_size") == "-1":
        text = "a standby that stays away fills the disk; set max_slot_wal_keep_size"
        yield Objection("", "max_slot_wal_keep_size = -1", text, refuses=False)
    if settings.durability == "sync":
        value = await _value(settings, server, "synchronous_commit")
        if value not in {"on", "remote_apply"}:
            text = 'durability = "sync" needs synchronous_commit = on'
            yield Objection("", f"synchronous_commit = {value}", text)


async def _of_version(
    settings: PostgresSettings, server: Server, version: int
) -> AsyncIterator[Objection]:
    """What only some versions have."""
    if version <= STATISTICS_IN_FILES:
        folder = await _value(settings, server, "stats_temp_directory")
        if folder.startswith(VOLATILE):
            text = "only pg_ctlcluster makes it after a boot, and without it autovacuum has nothing"
            text += " to go by; take the line out, and restart"
            yield Objection("", f"stats_temp_directory = {folder}", text)
    if (
        version >= ALTER_SYSTEM_FORBIDDABLE
        and await _value(settings, server, "allow_alter_system") != "on"
    ):
        text = "the agent writes its settings by ALTER SYSTEM; set allow_alter_system = on"
        yield Objection("", "allow_alter_system = off", text)


def _version(settings: PostgresSettings) -> int:
    """Major one of the data. Source: PostgreSQL, Database File Layout."""
    try:
        return int((settings.layout.data / "PG_VERSION").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ResourceError(f"{settings.layout.data}/PG_VERSION: {error}") from error


async def _program_version(server: Server) -> int:
    done = await server.run("look", "postgres", "--version", limit_s=LIMIT_S, answers=True)
    found = re.search(r"\(PostgreSQL\) (\d+)", done.answer)
    if found is None:
        raise ResourceError(f"postgres --version: {done}")
    return int(found[1])


async def _value(settings: PostgresSettings, server: Server, name: str) -> str:
    words = ["-C", name, "-D", str(settings.layout.data)]
    words += ["-c", f"config_file={settings.layout.configuration}"]
    done = await server.run("look", "postgres", *words, limit_s=LIMIT_S, answers=True)
    if done.status != 0:
        raise ResourceError(f"{name} cannot be read: {done}")
    return done.answer.strip()


async def _checksums(settings: PostgresSettings, server: Server) -> str:
    words = ("-D", str(settings.layout.data))
    done = await server.run("look", "pg_controldata", *words, limit_s=LIMIT_S, answers=True)
    lines = [line for line in done.answer.splitlines() if "checksum version" in line]
    return " ".join(" ".join(lines).split())


async def _of_primary(settings: PostgresSettings) -> AsyncIterator[Objection]:
    """The role and who lets it in: asked where the server runs as primary."""
    sql = Sql(local_conninfo(settings), identity(settings))
    user = settings.replication_user
    try:
        if (await standing(sql, LIMIT_S)).role is not Role.PRIMARY:
            return
        role = "SELECT rolreplication, rolcanlogin, rolpassword LIKE 'md5%' FROM pg_authid"
        rows = await sql.ask(f"{role} WHERE rolname = $1", user, limit_s=LIMIT_S)
        if not rows or rows[0][:2] != ("t", "t"):
            text = f"no such role; CREATE ROLE {user} LOGIN REPLICATION PASSWORD '...'"
            yield Objection("replication_user", user, text)
            return
        if rows[0][2] == "t":
            text = "its password is kept as MD5, which scram-sha-256 in pg_hba.conf refuses"
            text += "; SET password_encryption = 'scram-sha-256', and set it anew"
            yield Objection("replication_user", user, text, refuses=False)
        for function in FUNCTIONS:
            may = "SELECT has_function_privilege($1, $2, 'EXECUTE')"
            if await sql.ask(may, user, function, limit_s=LIMIT_S) != [("t",)]:
                text = f"pg_rewind needs it; GRANT EXECUTE ON FUNCTION {function} TO {user}"
                yield Objection("replication_user", user, text)
        for database in ("replication", "postgres"):
            if not await lets_in(sql, user, database, settings.peer_address):
                text = f"add: host {database} {user} {settings.peer_address} scram-sha-256"
                yield Objection("", "pg_hba.conf", text)
    except SqlError as error:
        text = f"not asked: {error}"
        yield Objection("", "the server", text, refuses=False)
    finally:
        sql.close()


async def lets_in(sql: Sql, user: str, database: str, address: Address) -> bool:
    """Whether a line of pg_hba.conf speaks of the role there; if it fits shows when it connects.

    Raises:
        SqlError: The server does not say.
    """
    rules = """
        SELECT FROM pg_hba_file_rules WHERE type LIKE 'host%' AND auth_method <> 'reject'
        AND ($2 = ANY (database) OR ('all' = ANY (database) AND $2 <> 'replication'))
        AND ($1 = ANY (user_name) OR 'all' = ANY (user_name))
        AND CASE
            WHEN netmask IS NULL THEN address <> 'samehost'
            WHEN family(address::inet) <> family($3::inet) THEN false
            ELSE address::inet & netmask::inet = $3::inet & netmask::inet
        END LIMIT 1
    """
    return bool(await sql.ask(rules, user, database, str(address), limit_s=LIMIT_S))
