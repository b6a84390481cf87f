# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/monitoring.md says what there is, and the agent has what it says."""

from __future__ import annotations

from pathlib import Path

from core.harness import standby
from status_bench import DEAD, settled

from haagent.core.wire import Refusal
from haagent.metrics.families import families
from haagent.resources import Condition, Reading
from haagent.witness import WitnessState
from metrics.figures_bench import figures

PAGE = Path(__file__).parents[3] / "docs" / "monitoring.md"
BEGIN, END = "### Every metric\n\n", "\n## "
SUFFIX = {"counter": "_total"}


def table() -> str:
    """Every metric with its labels and meaning, of a node that has something to say in each."""
    record = {
        "id": 1,
        "kind": "failover",
        "group": "web",
        "outcome": "completed",
        "phases": [],
        "total_ms": 1.0,
        "marks_ns": {"confirmed_off": 1},
        "when": "2026-01-02T03:04:05+00:00",
    }
    bench = settled(standby())
    readings = {"db": Reading(Condition.STOPPED, "")}
    witness = WitnessState("quorum", "etcd", "yes", "", ignored=False, chooses=True)
    told = figures(bench, [record], device=DEAD, up=False, readings=[readings], witnesses=[witness])
    told.status["groups"][0] |= {"blocked": {"code": Refusal.FORGED, "text": ""}, "position": 1}
    lines = ["| metric | labels | meaning |", "|---|---|---|"]
    for family in families(told):
        if not family.name.startswith("haagent_"):
            continue
        name = family.name + SUFFIX.get(family.type, "")
        assert family.samples, f"{name} has no sample here: its labels are not known"
        labels = ", ".join(f"`{label}`" for label in family.samples[0].labels if label != "le")
        text = family.documentation + (" Histogram." if family.type == "histogram" else "")
        lines.append(f"| `{name}` | {labels} | {text} |")
    return "\n".join(lines) + "\n"


def test_every_metric_is_on_the_page(*, update: bool) -> None:
    """The page's table is what the agent serves (rewrite it: --update)."""
    page = PAGE.read_text()
    start = page.index(BEGIN) + len(BEGIN)
    end = page.find(END, start)
    rest = page[end:] if end >= 0 else ""
    if update:
        PAGE.write_text(page[:start] + table() + rest)
        return
    assert page[start : len(page) - len(rest)] == table()
