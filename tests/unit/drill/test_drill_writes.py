# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows that were acknowledged, lost, invented; a real database is asked in tests/net."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_bench import Site, with_groups
from witness.loop import looped

from haagent.drill.writes import Ledger
from haagent.postgres.errors import Row
from haagent.postgres.sql import Sql


class Database(Sql):
    """A server at the edge that has these rows, whatever is written."""

    def __init__(self, *numbers: int) -> None:
        super().__init__("")
        self.numbers = numbers

    async def ask(self, statement: str, *values: str | None, limit_s: float) -> list[Row]:
        """See Sql."""
        del values, limit_s
        return [(str(number),) for number in self.numbers if statement.startswith("SELECT")]


@pytest.mark.parametrize(
    ("there", "lost", "invented"),
    [
        ((1, 2, 4), set(), set()),
        ((1, 2, 3, 4, 5), set(), set()),
        ((1, 4), {2}, set()),
        ((1, 2, 4, 6), set(), {6}),
        ((), {1, 2, 4}, set()),
    ],
    ids=["as acknowledged", "and more than that", "one lost", "one invented", "all lost"],
)
@looped
async def test_rows_are_held_against_what_was_acknowledged(
    there: tuple[int, ...], lost: set[int], invented: set[int]
) -> None:
    """Of five that were sent three were acknowledged; the others may be there or not."""
    ledger = Ledger("db", Database(*there), "id", sent=5, acknowledged={1, 2, 4})
    await ledger.count()
    assert (ledger.lost, ledger.invented) == (lost, invented)
    report = ledger.report()
    assert (report["lost"], report["invented"]) == (len(lost), len(invented))
    assert bool(ledger.verdict) == bool(lost or invented)


DATABASE = """
[[group]]
name = "db"
[[group.resource]]
kind = "postgresql"
name = "pg"
version = 15
address = { alpha = "198.51.100.11", beta = "198.51.100.12" }
[[group.vip]]
address = "192.0.2.30/24"
"""
WEB = """
[[group]]
name = "web"
[[group.vip]]
address = "192.0.2.31/24"
"""
BARE = DATABASE.replace('"db"', '"bare"').partition("[[group.vip]]")[0]


def lines(*writes: str) -> str:
    """A configuration with these groups, in which a drill writes."""
    return with_groups(DATABASE + WEB).replace("[drill]\n", "[drill]\n" + "\n".join(writes) + "\n")


def test_login_is_read(tmp_path: Path) -> None:
    """As parameters of libpq; where the server is, the group says."""
    login = "user=drill dbname=shop passfile=/etc/haagent/drill.pass"
    loaded = Site(tmp_path).load(lines(f'writes = {{ db = "{login}" }}'))
    assert loaded.drill.writes == {"db": login}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('{ web = "user=drill dbname=shop" }', "no resource of kind postgresql"),
        ('{ shop = "user=drill dbname=shop" }', "no group; one of db, web"),
        ('{ db = "user=drill" }', "dbname is missing"),
        ('{ db = "user=drill dbname=shop host=192.0.2.9" }', "host: is known from the group"),
        ('{ db = "user=drill dbname=shop password=secret" }', "put it into passfile"),
        ('{ db = "drill" }', "not parameters of libpq"),
        ('"db"', "not a table"),
    ],
)
def test_what_cannot_be_written_to_is_refused(tmp_path: Path, value: str, words: str) -> None:
    """With the key, and what is wrong."""
    (line,) = Site(tmp_path).refusal(text=lines(f"writes = {value}"))
    assert line.startswith("drill.writes"), line
    assert words in line, line
    assert "secret" not in line


def test_group_without_an_address_is_refused(tmp_path: Path) -> None:
    """A client of it has no way in."""
    text = lines('writes = { bare = "user=drill dbname=shop" }') + BARE.replace('"pg"', '"other"')
    found = Site(tmp_path).refusal(text=text)
    assert any("no virtual address to write through" in line for line in found), found
