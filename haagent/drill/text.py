# SPDX-License-Identifier: GPL-2.0-or-later
"""A record as a person reads it at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from haagent.drill.archive import Entry

Record = Mapping[str, Any]
TREND_MAX = 5
"""Earlier drills that a time is compared with."""


def rows(record: Record, key: str) -> list[Record]:
    """The objects of the list at `key`; a record may be of another release."""
    value = record.get(key)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def ms(value: object) -> str:
    """Milliseconds for a person."""
    if not isinstance(value, (int, float)):
        return "?"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"


def trends(record: Record, earlier: Sequence[Record]) -> dict[str, list[float]]:
    """By name of a time: how long it took in earlier drills of the kind, oldest first."""
    found: dict[str, list[float]] = {}
    for one in earlier:
        if one.get("id", "") < record.get("id", "") and one.get("kind") == record.get("kind"):
            for row in times(one):
                found.setdefault(str(row["name"]), []).append(float(row["ms"]))
    return {name: values[-TREND_MAX:] for name, values in found.items()}


def times(record: Record) -> list[Record]:
    """What took how long, clients' gaps among it."""
    found = [row for row in rows(record, "rto") if isinstance(row.get("ms"), (int, float))]
    clients = record.get("clients")
    for name, client in clients.items() if isinstance(clients, dict) else ():
        row = {"name": f"client of {name}: longest gap", "ms": client.get("worst_ms")}
        found.append({**row, "budget_ms": client.get("budget_ms")})
    return found


def writes(record: Record) -> dict[str, str]:
    """By group: what became of the rows that were written into its database."""
    found = record.get("writes")
    return {
        str(group): f"{one.get('acknowledged')} of {one.get('sent')} writes acknowledged, "
        f"{one.get('lost')} of them lost, {one.get('invented')} rows invented; "
        f"longest pause {ms(one.get('longest_pause_ms'))}"
        for group, one in (found.items() if isinstance(found, dict) else ())
    }


def within(row: Record) -> bool:
    """Whether a time is within its budget; one without a budget is."""
    budget = row.get("budget_ms")
    return not isinstance(budget, (int, float)) or row["ms"] <= budget


def text(record: Record, earlier: Sequence[Record] = ()) -> str:
    """The whole report."""
    return "\n".join(_lines(record, earlier))


def _lines(record: Record, earlier: Sequence[Record]) -> Iterator[str]:
    verdict = str(record.get("verdict")).upper()
    reason = f": {record.get('reason')}" if record.get("reason") else ""
    yield f"{verdict}: drill {record.get('kind')} (level {record.get('level')}){reason}"
    yield f"  id        {record.get('id')}"
    took = f"took {record.get('took_s')} s"
    yield f"  began     {record.get('began')} on {record.get('node')}, {took}"
    yield f"  method    {record.get('method')}"
    yield f"  expected  {record.get('expects')}"
    versions = record.get("versions")
    said = versions.items() if isinstance(versions, dict) else ()
    names = ", ".join(f"{name} {version}" for name, version in said)
    yield f"  versions  {names}; configuration {record.get('configuration_hash')}"
    for item in rows(record, "preconditions"):
        if not item.get("ok"):
            yield f"  NOT       {item.get('code')}: {item.get('text')}"
    for deviation in record.get("deviations") or ():
        yield f"  deviated  {deviation}"
    trend = trends(record, earlier)
    for row in times(record):
        budget = f", budget {ms(row['budget_ms'])}" if row.get("budget_ms") else ""
        mark = "" if within(row) else "  TOO LONG"
        before = ", ".join(ms(value) for value in trend.get(str(row["name"]), ()))
        yield f"  time      {row['name']}: {ms(row['ms'])}{budget}{mark}" + (
            f"; before: {before}" if before else ""
        )
    for group, words in writes(record).items():
        yield f"  writes    {group}: {words}"
    for row in rows(record, "rollback"):
        yield f"  undone    {row.get('text')}"
    for command in record.get("left") or ():
        yield f"  LEFT TO YOU: {command}"


def table(entries: Sequence[Entry]) -> str:
    """One line for each drill, newest last."""
    return "\n".join(
        f"{entry.began:%Y-%m-%d %H:%M} UTC  {entry.verdict:8} {entry.kind:14} {entry.id}"
        for entry in entries
    )
