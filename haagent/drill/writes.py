# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes numbered rows through the address of a database, and counts what became of them.

Where `[drill] writes` says how to log in. A row is acknowledged when its INSERT was; what was
acknowledged and is not there when all is over was lost, what is there and was never sent invented.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from haagent.bugs import die_of_bugs
from haagent.config.settings import GroupPlan
from haagent.drill.watch import DeviatedError
from haagent.errors import EdgeError
from haagent.postgres.layout import PostgresSettings
from haagent.postgres.sql import Sql

WRITE_EVERY_S = 0.02
WRITE_S = 2.0
"""A row that is not acknowledged for so long is given up, and its connection with it."""
READ_S = 30.0
TIDY_S = 5.0
SHOWN_MAX = 20
"""Rows that are named in a report; all are counted."""
TABLE = "haagent_drill"
_MADE = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (drill text, number bigint, PRIMARY KEY (drill, number))"
)
_WRITE = f"INSERT INTO {TABLE} VALUES ($1, $2::bigint)"  # noqa: S608  # our own table
"""Never "on conflict": a second try would be acknowledged without waiting for the standby."""
_READ = f"SELECT number FROM {TABLE} WHERE drill = $1"  # noqa: S608
_EMPTIED = f"DELETE FROM {TABLE}"  # noqa: S608


@dataclass(slots=True)
class Ledger:
    """The rows of one drill in one database."""

    group: str
    sql: Sql
    drill: str
    """The drill's id, which is part of each row."""
    sent: int = 0
    """Rows are numbered from 1 on."""
    acknowledged: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    """Acknowledged, and not there when they were counted last."""
    invented: set[int] = field(default_factory=set)
    pause_ns_max: int = 0
    """The longest time between two acknowledgements."""
    acknowledged_ns: int = field(default_factory=time.monotonic_ns)
    """When the last one came."""

    async def open(self) -> None:
        """Have the table, and nothing in it of a drill that died.

        Raises:
            EdgeError: It cannot be written to.
        """
        try:
            for statement in (_MADE, _EMPTIED):
                await self.sql.ask(statement, limit_s=TIDY_S)
        except EdgeError as error:
            raise EdgeError(f"writes of {self.group}: {error}") from None

    async def write(self) -> None:
        """One row after the other, for ever."""
        due_s = time.monotonic()
        while True:
            self.sent += 1
            number = self.sent
            with suppress(EdgeError):  # Nobody knows whether it was done: it was not acknowledged.
                await self.sql.ask(_WRITE, self.drill, str(number), limit_s=WRITE_S)
                self._taken(number)
            due_s = max(due_s + WRITE_EVERY_S, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())

    def _taken(self, number: int) -> None:
        now_ns = time.monotonic_ns()
        if self.acknowledged:
            self.pause_ns_max = max(self.pause_ns_max, now_ns - self.acknowledged_ns)
        self.acknowledged.add(number)
        self.acknowledged_ns = now_ns

    async def count(self) -> None:
        """Compare what is there with what was acknowledged and sent.

        Raises:
            EdgeError: It cannot be read.
        """
        acknowledged = set(self.acknowledged)  # Before: it may go on writing.
        rows = await self.sql.ask(_READ, self.drill, limit_s=READ_S)
        there = {int(row[0]) for row in rows if row[0] is not None}
        self.lost = acknowledged - there
        self.invented = {number for number in there if not 1 <= number <= self.sent}

    async def close(self) -> None:
        """Leave no rows behind, as far as that is to be had."""
        with suppress(EdgeError):
            await self.sql.ask(_EMPTIED, limit_s=TIDY_S)
        self.sql.close()

    @property
    def verdict(self) -> str:
        """What speaks against the database; "" if nothing."""
        found = {"acknowledged writes lost": self.lost, "rows that nobody sent": self.invented}
        said = [
            f"{len(rows)} {what} (number {', '.join(map(str, sorted(rows)[:SHOWN_MAX]))})"
            for what, rows in found.items()
            if rows
        ]
        return f"{self.group}: {'; '.join(said)}" if said else ""

    def report(self) -> dict[str, Any]:
        """For the record."""
        return {
            "sent": self.sent,
            "acknowledged": len(self.acknowledged),
            "lost": len(self.lost),
            "invented": len(self.invented),
            "lost_rows": sorted(self.lost)[:SHOWN_MAX],
            "longest_pause_ms": round(self.pause_ns_max / 1e6, 1),
        }


class Writes:
    """A ledger for each group that the configuration has one for."""

    def __init__(self, plans: Sequence[GroupPlan], logins: Mapping[str, str], drill: str) -> None:
        """Nothing is written yet.

        Args:
            plans: Of all groups.
            logins: By group, as `[drill] writes` has them.
            drill: Its id.
        """
        self.ledgers = [
            Ledger(plan.name, Sql(_conninfo(plan, logins[plan.name])), drill)
            for plan in plans
            if plan.name in logins
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to write.

        Raises:
            EdgeError: A database takes none.
        """
        for ledger in self.ledgers:
            await ledger.open()
        for ledger in self.ledgers:
            task = asyncio.get_running_loop().create_task(ledger.write())
            task.add_done_callback(die_of_bugs)
            self._tasks.append(task)

    def taken(self) -> bool:
        """Every database has acknowledged a row a moment ago."""
        now_ns = time.monotonic_ns()
        return all(
            ledger.acknowledged and now_ns - ledger.acknowledged_ns < WRITE_S * 1e9
            for ledger in self.ledgers
        )

    async def count(self) -> None:
        """Hold what is there against what was acknowledged.

        Raises:
            DeviatedError: Something is lost, or invented, or nobody can tell.
        """
        for ledger in self.ledgers:
            try:
                await ledger.count()
            except EdgeError as error:
                raise DeviatedError(
                    f"writes of {ledger.group} cannot be counted: {error}"
                ) from None
        wrong = [ledger.verdict for ledger in self.ledgers if ledger.verdict]
        if wrong:
            raise DeviatedError("; ".join(wrong))

    def report(self) -> dict[str, Any]:
        """For the record."""
        return {ledger.group: ledger.report() for ledger in self.ledgers}

    async def close(self) -> None:
        """Write no more."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for ledger in self.ledgers:
            await ledger.close()


def _conninfo(plan: GroupPlan, login: str) -> str:
    """To the group's first address, as a client of it; that it has one, the configuration says."""
    server = next(one for one in plan.resources if isinstance(one, PostgresSettings))
    return f"host={plan.vips[0].address.ip} port={server.port} {login}"
