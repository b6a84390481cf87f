# SPDX-License-Identifier: GPL-2.0-or-later
"""The questions that a server is asked, and what its answers mean."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from haagent.postgres.errors import Row, SqlError, SqlTimeoutError
from haagent.postgres.follow import forks, quoted
from haagent.postgres.position import Position, log_position
from haagent.postgres.sql import Sql

POLL_S = 0.005
PROGRESS_EVERY_S = 1.0
HEALTH_ROW, SYNC_ROW = 1, 2
HISTORY_BYTES_MAX = 1 << 20
"""A line of a history file has about 60 bytes; so many failovers do not happen."""

_STANDING = """
SELECT pg_is_in_recovery(),
  CASE WHEN pg_is_in_recovery()
    THEN GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    ELSE pg_current_wal_flush_lsn() END,
  CASE WHEN pg_is_in_recovery()
    THEN GREATEST((SELECT timeline_id FROM pg_control_checkpoint()),
                  (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
                  (SELECT received_tli FROM pg_stat_wal_receiver))::text
    ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
  (SELECT status FROM pg_stat_wal_receiver),
  (SELECT system_identifier FROM pg_control_system()),
  (SELECT timeline_id FROM pg_control_checkpoint())
"""
_HISTORY = "SELECT encode(pg_read_binary_file('pg_wal/' || $1, 0, $2::bigint, true), 'escape')"
_PREPARE = (
    "CREATE SCHEMA IF NOT EXISTS haagent",
    "CREATE TABLE IF NOT EXISTS haagent.alive (id int PRIMARY KEY, at timestamptz NOT NULL)",
)
_WRITE = """
INSERT INTO haagent.alive VALUES ($1::int, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET at = excluded.at
"""


class Role(StrEnum):
    """What a server is."""

    PRIMARY = "primary"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class Standing:
    """A server at one moment."""

    role: Role
    position: Position | None
    """None: it has none yet."""
    streams: bool
    """A standby that receives."""
    system: str
    checkpoint_timeline: int
    """Below the position's until a new primary has written its first checkpoint."""


async def standing(sql: Sql, limit_s: float) -> Standing:
    """What the server is now.

    Raises:
        SqlError: It does not say.
    """
    ((recovers, log, timeline, receiver, system, checkpoint),) = await sql.ask(
        _STANDING, limit_s=limit_s
    )
    role = Role.STANDBY if recovers == "t" else Role.PRIMARY
    position = None
    if log is not None and timeline is not None:
        base = 10 if role is Role.STANDBY else 16
        position = Position(int(timeline, base), log_position(log))
    return Standing(role, position, receiver == "streaming", system or "", int(checkpoint or 0))


async def history(sql: Sql, timeline: int, limit_s: float) -> Mapping[int, int]:
    """Where the server's timeline left each earlier one.

    Raises:
        SqlError: It does not say.
    """
    if timeline == 1:
        return {}
    name, most = f"{timeline:08X}.history", str(HISTORY_BYTES_MAX)
    ((text,),) = await sql.ask(_HISTORY, name, most, limit_s=limit_s)
    if text is None:
        raise SqlError(f"it has no {name}")
    return forks(text)


async def began_apart(one: Sql, other: Sql, timeline: int, limit_s: float) -> bool:
    """Whether two servers have each begun a timeline under the same number.

    Each numbers by the timelines that it knows; neither a walreceiver nor pg_rewind tells such two
    apart. A server that has no history of its timeline has not begun it.
    """
    try:
        return await history(one, timeline, limit_s) != await history(other, timeline, limit_s)
    except SqlError:
        return False


async def write(sql: Sql, limit_s: float, row: int = HEALTH_ROW) -> None:
    """Write, and see it where the session's commits go: on the server's own disk at least.

    Args:
        sql: How to ask it.
        limit_s: For all of it.
        row: Of its own for each purpose: who waits for a standby holds its lock all the while.

    Raises:
        SqlError: It could not be written.
    """
    try:
        await sql.ask(_WRITE, str(row), limit_s=limit_s)
    except SqlError as error:
        if "haagent.alive" not in str(error):
            raise
        for statement in _PREPARE:
            await sql.ask(statement, limit_s=limit_s)
        await sql.ask(_WRITE, str(row), limit_s=limit_s)


async def promote(sql: Sql, limit_s: float) -> None:
    """Order a standby to become primary; it may be one already.

    Raises:
        SqlError: It did not take the order.
    """
    statement = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_promote(false) ELSE true END"
    rows = await sql.ask(statement, limit_s=limit_s)
    if rows != [("t",)]:
        raise SqlError("it does not take the order to promote itself")


async def keep_slot(sql: Sql, name: str, limit_s: float) -> None:
    """Hold back the log for a standby from now on.

    Raises:
        SqlError: It could not be done.
    """
    statement = """
        SELECT pg_create_physical_replication_slot($1, true)
        WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)
    """
    await sql.ask(statement, name, limit_s=limit_s)


async def drop_slot(sql: Sql, name: str, limit_s: float) -> None:
    """Hold nothing back any more; on a standby nobody would ever fetch it.

    Raises:
        SqlError: It could not be done.
    """
    statement = """
        SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
        WHERE slot_name = $1 AND NOT active
    """
    await sql.ask(statement, name, limit_s=limit_s)


async def setting(sql: Sql, name: str, limit_s: float) -> str:
    """What a setting of the server is, as our own session knows it.

    Raises:
        SqlError: It does not say.
    """
    ((value,),) = await sql.ask("SELECT current_setting($1)", name, limit_s=limit_s)
    return value or ""


async def alter(sql: Sql, values: Mapping[str, str], limit_s: float) -> None:
    """Have a running server take over those of these settings that it has not.

    Raises:
        SqlError: It could not be done.
    """
    differ = {k: v for k, v in values.items() if await setting(sql, k, limit_s) != v}
    for name, value in differ.items():
        await order(sql, name, value, limit_s)


async def order(sql: Sql, name: str, value: str, limit_s: float) -> None:
    """Write a setting, whatever it is, and have the server read it; at the end our session has.

    Raises:
        SqlError: It could not be done, or is not in force in time.
    """
    await sql.ask(f"ALTER SYSTEM SET {name} = {quoted(value)}", limit_s=limit_s)
    await sql.ask("SELECT pg_reload_conf()", limit_s=limit_s)
    until_s = time.monotonic() + limit_s
    while await setting(sql, name, limit_s) != value:
        if time.monotonic() > until_s:
            raise SqlTimeoutError(f"{name} does not come into force")
        await asyncio.sleep(POLL_S)


async def flushed(sql: Sql, standby: str, limit_s: float) -> tuple[int, int | None]:
    """How far a primary has written its log, and how far a standby has; None: it does not stream.

    Raises:
        SqlError: It does not say.
    """
    statement = """
        SELECT pg_current_wal_flush_lsn(), (SELECT flush_lsn FROM pg_stat_replication
        WHERE application_name = $1 AND state = 'streaming' ORDER BY pid DESC LIMIT 1)
    """
    ((own, theirs),) = await sql.ask(statement, standby, limit_s=limit_s)
    assert own is not None
    return log_position(own), None if theirs is None else log_position(theirs)


async def waits(sql: Sql, session: str, limit_s: float) -> bool:
    """Whether a session's commit waits for a standby.

    Raises:
        SqlError: The server does not say.
    """
    statement = "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $1::int"
    return await sql.ask(statement, session, limit_s=limit_s) == [("t",)]


async def backup_bytes(sql: Sql, limit_s: float) -> tuple[int, int] | None:
    """How much of a base backup of the server was sent, and of how much; None if nobody can tell.

    Raises:
        SqlError: It does not say.
    """
    rows: list[Row] = await sql.ask(
        "SELECT backup_streamed, backup_total FROM pg_stat_progress_basebackup "
        "ORDER BY pid DESC LIMIT 1",
        limit_s=limit_s,
    )
    if not rows or not (rows[0][0] and rows[0][1]):
        return None
    ((streamed, total),) = rows
    return min(int(streamed or 0), int(total or 0)), int(total or 0)


async def database_bytes(sql: Sql, limit_s: float) -> int:
    """What all databases of the server take; its log and what else it keeps are not counted.

    Raises:
        SqlError: It does not say, or not to this user.
    """
    query = "SELECT sum(pg_database_size(oid))::bigint FROM pg_database"
    ((size,),) = await sql.ask(query, limit_s=limit_s)
    return int(size or 0)


async def beside(work: Awaitable[None], tell: Callable[[], Awaitable[None]]) -> None:
    """Await what takes long, and tell now and then how far it is.

    Args:
        work: What is awaited.
        tell: May fail by SqlError: then nothing is told this time.
    """
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=PROGRESS_EVERY_S)
            with suppress(SqlError):
                await tell()
        task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
