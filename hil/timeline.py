# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened, told for a person: moments in order, phases, and the client's ribbon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from hil.record import Entry

RIBBON_CELLS_MAX = 72
BAR_CELLS = 30
RIBBON_CELL_NS_MIN = 30_000_000
"""Three questions of the client: one lost answer makes no hole."""
SOURCES = {
    "bench": "bold yellow",
    "agent": "cyan",
    "power": "magenta",
    "observer": "blue",
    "client": "green",
}
"""Who tells of a moment, and in which colour."""


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """Something that happened at a time."""

    at_ns: int
    source: str = field(compare=False)
    """A key of SOURCES."""
    text: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Check:
    """Something that had to hold."""

    held: bool
    text: str
    detail: str = ""


def show_moments(console: Console, moments: Sequence[Moment], zero_ns: int) -> None:
    """Print a table of moments, timed from the fault."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("ms", justify="right")
    table.add_column("+", justify="right", style="dim")
    table.add_column("seen by")
    table.add_column("")
    ordered = sorted(moments)
    earlier = [None, *ordered]
    for before, moment in zip(earlier, ordered, strict=False):
        step = "" if before is None else f"{(moment.at_ns - before.at_ns) / 1e6:.1f}"
        colour = SOURCES[moment.source]
        table.add_row(
            f"{(moment.at_ns - zero_ns) / 1e6:.1f}",
            step,
            Text(moment.source, style=colour),
            Text(moment.text, style="bold" if moment.source == "bench" else ""),
        )
    console.print(table)


def show_phases(console: Console, phases: Sequence[tuple[str, float]]) -> None:
    """Print named phases as bars; the longest one fills the width."""
    longest_ms = max((ms for _, ms in phases), default=1.0)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for name, ms in phases:
        bar = "█" * max(1, round(BAR_CELLS * ms / longest_ms)) if ms > 0 else ""
        table.add_row(name, f"{ms:.1f} ms", Text(bar, style="cyan"))
    console.print(table)


def ribbon(
    answers: Sequence[Entry], start_ns: int, end_ns: int, colours: dict[str, str]
) -> tuple[Text, float]:
    """One line of who answered the client, cell by cell from start to end, and a cell's ms.

    Args:
        answers: The client's record.
        start_ns: Left end.
        end_ns: Right end.
        colours: Of the nodes; a cell in which nobody answered is red.
    """
    cell_ns = max(RIBBON_CELL_NS_MIN, (end_ns - start_ns) // RIBBON_CELLS_MAX)
    cells: list[str | None] = [None] * ((end_ns - start_ns) // cell_ns)
    for answer in answers:
        cell = (answer["at_ns"] - start_ns) // cell_ns
        if 0 <= cell < len(cells):
            cells[cell] = answer["node"]
    line = Text()
    for node in cells:
        if node is None:
            line.append("·", style="bold red")
        else:
            line.append("█", style=colours[node])
    return line, cell_ns / 1e6


def show_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print what had to hold, with a tick or a cross."""
    for check in checks:
        mark = Text("✔ ", style="bold green") if check.held else Text("✘ ", style="bold red")
        line = Text("  ") + mark + Text(check.text)
        if check.detail:
            line.append(f"  {check.detail}", style="dim")
        console.print(line)


def between(moments: Sequence[tuple[str, int | None]]) -> list[tuple[str, float]]:
    """Phases, in milliseconds, from named moments in order; those never seen are left out.

    A phase has the name of the moment that ends it.
    """
    seen = [(name, at_ns) for name, at_ns in moments if at_ns is not None]
    return [(name, (b - a) / 1e6) for (_, a), (name, b) in pairwise(seen)]
