# SPDX-License-Identifier: GPL-2.0-or-later
"""What was measured of all contenders, as tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from hil.compare.contender import Contender
from hil.compare.measure import Cost, Run

_DEATHS = {
    "crash": "A kernel that panics",
    "freeze": "A server that stands still, and is thawed after the takeover",
}
_NONE = "none"


def tables(contenders: Sequence[Contender], runs: Sequence[Run], costs: Sequence[Cost]) -> str:
    """All of it; a contender or a death that was not measured is left out."""
    parts = []
    for death, title in _DEATHS.items():
        rows = [
            _death_row(one.title, death, [r for r in runs if _is(r, one, death)])
            for one in contenders
            if any(_is(run, one, death) for run in runs)
        ]
        if rows:
            parts.append(f"{title}:\n\n" + _table(_DEATH_HEAD + _MORE_HEAD[death], rows))
    rows = [
        _cost_row(one.title, [cost for cost in costs if cost.contender == one.name])
        for one in contenders
        if any(cost.contender == one.name for cost in costs)
    ]
    if rows:
        parts.append("What it costs while nothing happens:\n\n" + _table(_COST_HEAD, rows))
    return "\n".join(parts)


_DEATH_HEAD = (
    "",
    "runs",
    "client's outage, median (worst)",
    "silence to order",
    "order to power gone",
    "to address elsewhere",
    "to first answer",
)
_MORE_HEAD = {
    "crash": ("two active at once",),
    "freeze": (
        "still there to be thawed",
        "two active at once",
        "for how long",
        "requests taken by the old one meanwhile",
    ),
}
_COST_HEAD = ("", "windows", "processor of a node, median (worst)", "memory (PSS)", "processes")


def _is(run: Run, contender: Contender, death: str) -> bool:
    return (run.contender, run.death) == (contender.name, death)


def _death_row(title: str, death: str, runs: Sequence[Run]) -> list[str]:
    """A contender's row: medians of the runs that ended in a takeover."""
    good = [run for run in runs if not run.invalid and not run.failed]
    failed = sum(bool(run.failed) for run in runs)
    invalid = sum(bool(run.invalid) for run in runs)
    count = str(len(good))
    count += f", {failed} without a takeover" if failed else ""
    count += f", {invalid} invalid" if invalid else ""
    row = [title, count, _middle(good, lambda r: r.outage_ms, worst=True)]
    row += [_middle(good, phase) for phase in _PHASES]
    dual = f"{sum(run.dual for run in good)} of {len(good)}"
    if death == "crash":
        return [*row, dual]
    lived = f"{sum(run.lived for run in good)} of {len(good)}"
    contested = _middle(good, lambda r: r.contested_ms or None)
    taken = _NONE
    if any(run.served_by_both for run in good):
        taken = f"{statistics.median(run.served_by_both for run in good):g}"
    return [*row, lived, dual, contested, taken]


_PHASES: tuple[Callable[[Run], float | None], ...] = (
    lambda run: run.detection_ms,
    lambda run: run.power_ms,
    lambda run: run.takeover_ms,
    lambda run: run.service_ms,
)


def _middle(
    runs: Iterable[Run], pick: Callable[[Run], float | None], *, worst: bool = False
) -> str:
    values = [value for run in runs if (value := pick(run)) is not None]
    if not values:
        return _NONE
    text = _time(statistics.median(values))
    return f"{text} ({_time(max(values))})" if worst else text


def _time(ms: float) -> str:
    """In seconds where it is seconds."""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.2f} s"


def _cost_row(title: str, costs: Sequence[Cost]) -> list[str]:
    """The costlier one of the two nodes."""
    by_node: dict[str, list[Cost]] = {}
    for cost in costs:
        by_node.setdefault(cost.node, []).append(cost)
    cpu = max(([cost.cpu_percent for cost in of] for of in by_node.values()), key=statistics.median)
    memory = max(statistics.median(cost.pss_mib for cost in of) for of in by_node.values())
    count = max(cost.processes for cost in costs)
    processor = f"{statistics.median(cpu):.2f} % ({max(cpu):.2f} %)"
    return [title, str(len(cpu)), processor, f"{memory:.0f} MiB", str(count)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
