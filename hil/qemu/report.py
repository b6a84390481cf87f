# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of a run: report.json for programs, and one page that needs nothing beside it."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from hil.processes import ROOT, run
from hil.qemu.story import Span, Story, Verdict

COLOURS = {
    "alpha": "#2e8b57",
    "beta": "#3b6fb6",
    "runs": "#b8c4ce",
    "frozen": "#8fd3e8",
    "off": "#333333",
    "heard": "#c9a227",
}
OTHER_COLOUR = "#d1495b"
"""Of an order, and of a holder that is none of the two."""
REPORT = ROOT / "build" / "hil"
"""Where it is."""
WIDTH, LANE, LEFT = 900, 20, 130
"""Of a drawing, in pixels: as a whole, one lane's height, and the names' part."""
MOMENT_PX = 3
"""Width of what has no length."""
_STYLE = """\
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1000px; color: #222 }
h2 { font-size: 1.05em; margin: 1.6em 0 .2em }
.failed { color: #b00020 } .passed { color: #2e7d32 } .skipped { color: #777 }
table { border-collapse: collapse } td, th { padding: .1em 1em .1em 0; text-align: left }
td.n { text-align: right; font-variant-numeric: tabular-nums }
pre { overflow: auto; background: #f6f6f6 }
svg text { font: 11px system-ui, sans-serif } .key span { padding: 0 .6em; margin-right: .4em }
"""


def write(stories: Sequence[Story], directory: Path = REPORT) -> Path:
    """Write both files and return the page."""
    directory.mkdir(parents=True, exist_ok=True)
    known = _conditions()
    told = {"conditions": known, "stories": [asdict(story) for story in stories]}
    (directory / "report.json").write_text(json.dumps(told, indent=1) + "\n")
    page = directory / "index.html"
    page.write_text(_page(stories, known))
    return page


def _conditions() -> dict[str, str]:
    """Of this run: what ran, where and when."""
    head = run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], check=False).stdout.strip()
    load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return {
        "commit": head or "of no git clone",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "processors": f"{os.cpu_count()}, load {load}",
    }


def _page(stories: Sequence[Story], conditions: dict[str, str]) -> str:
    counts = Counter(story.verdict for story in stories)
    key = "".join(f'<span style="background:{c}">&nbsp;</span>{n} ' for n, c in COLOURS.items())
    verdict = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    words = "; ".join(f"{name} {value}" for name, value in conditions.items())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>haagent: the bench</title>"
        f"<style>{_STYLE}</style><h1>haagent: the bench</h1><p>{verdict}.</p>"
        f"<p>{escape(words)}.</p><p class=key>{key}</p>"
        + _overview(stories)
        + "".join(map(_story, stories))
        + "</html>\n"
    )


def _overview(stories: Sequence[Story]) -> str:
    rows = "".join(
        f"<tr><td>{_verdict(story)}<td><a href='#{story.name}'>{_title(story.name)}</a>"
        f"<td class=n>{story.outage_ms:.0f}<td class=n>{story.seconds:.0f}"
        for story in stories
    )
    return f"<table><tr><th><th>scenario<th>outage, ms<th>took, s{rows}</table>"


def _story(story: Story) -> str:
    parts = [
        f"<h2 id='{story.name}'>{_verdict(story)} {_title(story.name)}</h2>",
        f"<p>{escape(story.claim)}</p>",
        _drawing(story.lanes),
    ]
    if story.phases:
        cells = "".join(
            f"<tr><td>{escape(name)}<td class=n>{ms:.0f} ms" for name, ms in story.phases
        )
        parts.append(f"<table>{cells}</table>")
    if story.reason:
        parts.append(f"<pre class={story.verdict}>{escape(story.reason)}</pre>")
    for name, text in story.attachments.items():
        parts.append(
            f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
        )
    return "".join(parts)


def _drawing(lanes: dict[str, list[Span]]) -> str:
    """All lanes over one axis of time, from the first power on to the last thing seen."""
    end_ms = max((span.end_ms for lane in lanes.values() for span in lane), default=0.0)
    if end_ms <= 0:
        return ""
    scale = (WIDTH - LEFT) / end_ms
    height = LANE * (len(lanes) + 1)
    shapes = []
    for row, (name, lane) in enumerate(lanes.items()):
        top = row * LANE
        shapes.append(f'<text x="0" y="{top + 14}">{escape(name)}</text>')
        for span in lane:
            x = LEFT + span.start_ms * scale
            width = max(MOMENT_PX, (span.end_ms - span.start_ms) * scale)
            tip = f"{span.what}: {span.start_ms / 1e3:.3f} to {span.end_ms / 1e3:.3f} s"
            colour = COLOURS.get(span.what, OTHER_COLOUR)
            place = f'x="{x:.1f}" y="{top + 3}" width="{width:.1f}" height="{LANE - 6}"'
            shapes.append(f'<rect {place} fill="{colour}"><title>{escape(tip)}</title></rect>')
    axis = f'<text x="{LEFT}" y="{height - 4}">0 s</text>'
    axis += f'<text x="{WIDTH}" y="{height - 4}" text-anchor="end">{end_ms / 1e3:.1f} s</text>'
    return f'<svg width="{WIDTH}" height="{height}">{"".join(shapes)}{axis}</svg>'


def _verdict(story: Story) -> str:
    sign = {Verdict.PASSED: "✔", Verdict.FAILED: "✘", Verdict.SKIPPED: "–"}  # noqa: RUF001
    return f"<b class={story.verdict}>{sign[story.verdict]}</b>"


def _title(name: str) -> str:
    return escape(name.removeprefix("test_").replace("_", " "))
