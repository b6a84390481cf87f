# SPDX-License-Identifier: GPL-2.0-or-later
"""A record as one HTML page that needs nothing else: for a ticket, a wall, an auditor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from haagent.drill.drawing import Drawing
from haagent.drill.text import ms, rows, times, trends, within

Record = Mapping[str, Any]

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6570; --line: #d8dde3; --paper: #fff;
  --good: #1a7f37; --bad: #c62828; --warn: #b26a00; --idle: #3569b5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a3acb6; --line: #3a4149;
  --paper: #16191d; --good: #4ac26b; --bad: #ff6b6b; --warn: #e3a33b; --idle: #6ea8fe; } }
body { margin: 0 auto; max-width: 1140px; padding: 24px 20px 60px; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 32px 0 8px; }
.verdict { display: inline-block; padding: 2px 12px; border-radius: 14px; color: #fff;
  font-weight: 600; text-transform: uppercase; letter-spacing: .04em; }
.passed { background: #1a7f37; } .failed { background: #c62828; }
.aborted, .skipped { background: #8a5a00; }
p.reason { margin: 10px 0; font-size: 16px; } .soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: 4px 14px 4px 0;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); } .number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
tr.late td, li.bad, td.no { color: var(--bad); font-weight: 600; } td.ok { color: var(--good); }
code, pre { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { padding: 10px 14px; border: 1px solid var(--bad); border-radius: 6px; }
.chart { overflow-x: auto; } svg { width: 100%; min-width: 760px; height: auto; display: block; }
svg text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink); }
svg .tick { fill: var(--soft); text-anchor: middle; font-size: 12px; }
svg .lane { text-anchor: end; } svg .in { fill: #fff; font-size: 12px; pointer-events: none; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .phase { fill: #6b7684; } svg .active { fill: #1a7f37; } svg .standby { fill: #3569b5; }
svg .moving { fill: #7a5cc4; } svg .doubt { fill: #b26a00; } svg .bad { fill: #c62828; }
svg .away { fill: #4b525a; } svg .node0 { fill: #14746f; } svg .node1 { fill: #7d4e9f; }
svg .gap { fill: #c62828; } .bar { background: var(--line); height: 10px; border-radius: 5px;
  min-width: 220px; position: relative; } .bar i { position: absolute; left: 0; top: 0; bottom: 0;
  border-radius: 5px; background: var(--idle); } tr.late .bar i { background: var(--bad); }
.bar b { position: absolute; top: -3px; bottom: -3px; width: 2px; background: var(--soft); }
"""


def page(record: Record, earlier: Sequence[Record] = ()) -> str:
    """The whole page.

    Args:
        record: What is shown; nothing of it is trusted.
        earlier: Drills of the same kind, for the trend.
    """
    title = f"Drill {record.get('kind')} on {record.get('node')}, {record.get('began')}"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        *_head(record),
        *_drawn(record),
        *_times(record, earlier),
        *_writes(record),
        *_deviations(record),
        *_checklist(record),
        *_moments(record),
        *_undone(record),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _head(record: Record) -> Iterator[str]:
    verdict = str(record.get("verdict"))
    yield f"<h1>Drill {_of(record, 'kind')}</h1>"
    yield f'<p><span class="verdict {escape(verdict)}">{escape(verdict)}</span></p>'
    if record.get("reason"):
        yield f'<p class="reason">{_of(record, "reason")}</p>'
    versions = record.get("versions")
    said = versions.items() if isinstance(versions, dict) else ()
    facts = {
        "Began": f"{record.get('began')}, took {record.get('took_s')} s",
        "Run on": f"{record.get('node')}; the other node is {record.get('peer')}",
        "Started by": record.get("by"),
        "Method": record.get("method"),
        "Expected": record.get("expects"),
        "Versions": ", ".join(f"{name} {version}" for name, version in said),
        "Configuration": record.get("configuration_hash"),
        "Level, id": f"{record.get('level')}, {record.get('id')}",
    }
    yield "<table>"
    for name, fact in facts.items():
        yield f"<tr><th>{name}</th><td>{escape(str(fact))}</td></tr>"
    yield "</table>"


def _drawn(record: Record) -> Iterator[str]:
    if record.get("phases"):
        yield "<h2>Timeline</h2>"
        yield f'<div class="chart">{Drawing(record).svg()}</div>'


def _times(record: Record, earlier: Sequence[Record]) -> Iterator[str]:
    """Each time with a bar against its budget, and a mark for each earlier drill."""
    found, trend = times(record), trends(record, earlier)
    if not found:
        return
    yield "<h2>Times against their budgets</h2><table>"
    heads = "".join(f'<th class="number">{name}</th>' for name in ("Took", "Budget"))
    yield f"<tr><th></th>{heads}<th></th><th>Before</th></tr>"
    for row in found:
        before = trend.get(str(row["name"]), [])
        scale = max([row.get("budget_ms") or 0, row["ms"], *before, 1])
        marks = "".join(f'<b style="left:{100 * one / scale:.1f}%"></b>' for one in before)
        bar = f'<div class="bar"><i style="width:{100 * row["ms"] / scale:.1f}%"></i>{marks}</div>'
        budget = ms(row["budget_ms"]) if row.get("budget_ms") else ""
        late = "" if within(row) else ' class="late"'
        yield (
            f"<tr{late}><td>{escape(str(row['name']))}</td>"
            f'<td class="number">{ms(row["ms"])}</td><td class="number">{budget}</td>'
            f"<td>{bar}</td><td>{', '.join(map(ms, before))}</td></tr>"
        )
    yield "</table>"
    yield '<p class="soft">The bar is of the budget; marks are earlier drills of this kind.</p>'


def _writes(record: Record) -> Iterator[str]:
    found = record.get("writes")
    if not isinstance(found, dict) or not found:
        return
    columns = {"Sent": "sent", "Acknowledged": "acknowledged", "Lost": "lost"}
    columns |= {"Invented": "invented"}
    yield "<h2>Writes</h2><table><tr><th></th>"
    heads = (*columns, "Longest pause")
    yield "".join(f'<th class="number">{name}</th>' for name in heads) + "</tr>"
    for group, one in found.items():
        late = ' class="late"' if one.get("lost") or one.get("invented") else ""
        cells = [escape(str(one.get(key))) for key in columns.values()]
        cells.append(ms(one.get("longest_pause_ms")))
        figures = "".join(f'<td class="number">{cell}</td>' for cell in cells)
        yield f"<tr{late}><td>{escape(str(group))}</td>{figures}</tr>"
    yield "</table>"
    yield '<p class="soft">Lost: acknowledged, and not there in the end.</p>'


def _deviations(record: Record) -> Iterator[str]:
    found = [str(one) for one in record.get("deviations") or () if one]
    if found:
        yield "<h2>What deviated</h2><ul>"
        yield from (f'<li class="bad">{escape(one)}</li>' for one in found)
        yield "</ul>"


def _checklist(record: Record) -> Iterator[str]:
    yield "<h2>Checklist before</h2><table>"
    for item in rows(record, "preconditions"):
        mark = '<td class="ok">ok</td>' if item.get("ok") else '<td class="no">NO</td>'
        yield f"<tr>{mark}<td>{_of(item, 'code')}</td><td>{_of(item, 'text')}</td></tr>"
    yield "</table>"


def _moments(record: Record) -> Iterator[str]:
    found = rows(record, "moments")
    if not found:
        return
    yield "<h2>What happened</h2><table>"
    for moment in found:
        at_s = float(moment.get("at_ms") or 0) / 1000
        yield (
            f'<tr><td class="number">{at_s:.3f} s</td><td>{_of(moment, "source")}</td>'
            f"<td>{_of(moment, 'text')}</td></tr>"
        )
    yield "</table>"


def _undone(record: Record) -> Iterator[str]:
    found, left = rows(record, "rollback"), record.get("left") or ()
    if found:
        yield "<h2>Undone</h2><table>"
        for step in found:
            mark = '<td class="ok">ok</td>' if step.get("ok") else '<td class="no">NO</td>'
            yield f"<tr>{mark}<td>{_of(step, 'text')}</td></tr>"
        yield "</table>"
    if left:
        yield "<h2>Left to you</h2><pre>"
        yield "\n".join(escape(str(command)) for command in left)
        yield "</pre>"


def _of(row: Record, key: str) -> str:
    return escape(str(row.get(key)))
