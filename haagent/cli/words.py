# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of a status as words, coloured cells and tables, for all that shows them to a person."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

GOOD, WARN, BAD, DIM = "green", "yellow", "bold red", "dim"
STYLES = {
    "fine": GOOD,
    "degraded": WARN,
    "critical": BAD,
    "up": GOOD,
    "down": BAD,
    "alive": GOOD,
    "active": "bold green",
    "suspect": WARN,
    "silent": BAD,
    "fencing": BAD,
    "fenced": WARN,
    "unheard": WARN,
    "left": WARN,
    "ready": GOOD,
    "not ready": BAD,
    "standby": GOOD,
    "failed": BAD,
    "refuses": BAD,
    "unreachable": BAD,
    "completed": GOOD,
    "blocked": BAD,
    "abandoned": WARN,
    "withheld": WARN,
    "at_risk": BAD,
}


def table_of(*columns: str) -> Table:
    """Columns side by side, without lines."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(clean(column))
    return table


def state(word: str) -> Text:
    """A word of a status in its colour."""
    return text(word, STYLES.get(word, ""))


def text(value: object, style: str = "") -> Text:
    """Never markup, never a control character: some of it comes from the peer."""
    return Text(clean(value), style)


def clean(value: object) -> str:
    """Without control characters."""
    return "".join(char if char.isprintable() else "?" for char in str(value))


def ago(value_ms: object) -> str:
    """Such as "42 ms ago"; "never" for None."""
    return "never" if value_ms is None else f"{milliseconds(value_ms)} ago"


def milliseconds(value_ms: object) -> str:
    """Such as "42 ms", and longer ones as a span."""
    if not isinstance(value_ms, (int, float)) or not math.isfinite(value_ms):
        return "?"
    return f"{value_ms:.0f} ms" if value_ms < 10_000 else span(value_ms / 1000)


def span(value_s: object) -> str:
    """Two largest units of a time, e.g. "3 d 4 h"; for people, so without a fraction."""
    if not isinstance(value_s, (int, float)) or not math.isfinite(value_s):
        return "?"
    seconds = int(value_s)
    for name, size, lower_name, lower in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if seconds >= size:
            return f"{seconds // size} {name} {seconds % size // lower} {lower_name}"
    return f"{seconds} s"
