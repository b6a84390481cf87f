# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of a drill, as text and as a page: whole, and of one piece."""

from __future__ import annotations

import copy
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

from haagent.drill.drawing import Drawing
from haagent.drill.page import page
from haagent.drill.text import text

RECORD: dict[str, Any] = {
    "id": "20261126T152221Z_partition_beta",
    "kind": "partition",
    "level": 7,
    "node": "beta",
    "peer": "alpha",
    "by": "person",
    "began": "2026-11-26T15:22:21+00:00",
    "took_s": 16.9,
    "method": "silence all heartbeat links",
    "expects": "exactly one shot",
    "versions": {"alpha": "1.0", "beta": "1.0"},
    "configuration_hash": "d82c",
    "preconditions": [{"code": "agents", "ok": True, "text": "both agents answer"}],
    "verdict": "failed",
    "reason": "the takeover took too long",
    "deviations": ["the takeover took too long"],
    "phases": [
        {"name": "before", "from_ms": 0, "to_ms": 2000},
        {"name": "method", "from_ms": 2000, "to_ms": 16000},
    ],
    "states": {"beta": [[0, "web standby"], [5000, "web active"]], "alpha": [[0, "web active"]]},
    "clients": {
        "web": {
            "held": [[10, "alpha"], [5000, "beta"]],
            "gaps": [[4000, 5000]],
            "worst_ms": 1000.0,
            "budget_ms": 60000.0,
        }
    },
    "rto": [{"name": "takeover, from the fault", "ms": 70000.0, "budget_ms": 60000.0}],
    "writes": {
        "db": {
            "sent": 120,
            "acknowledged": 118,
            "lost": 3,
            "invented": 0,
            "longest_pause_ms": 812.0,
        }
    },
    "moments": [{"at_ms": 2000.5, "source": "drill", "text": "all links are silenced"}],
    "rollback": [{"step": "power", "ok": False, "text": "alpha has power: NO: no answer"}],
    "left": ["haagent fence on alpha"],
    "ended_ms": 16000,
}


def earlier(took_ms: float) -> dict[str, Any]:
    """The same drill some days before."""
    record = copy.deepcopy(RECORD)
    record["id"] = "20261101T000000Z_partition_beta"
    record["rto"][0]["ms"] = took_ms
    return record


class Seen(HTMLParser):
    """What a browser would load, and what it would show."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag, and what it would fetch."""
        self.tags.add(tag)
        self.loads += [str(value) for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        """Keep the words."""
        self.words += data


def seen(record: dict[str, Any], *before: dict[str, Any]) -> Seen:
    """The page of a record, read as a browser reads it."""
    reader = Seen()
    reader.feed(page(record, before))
    return reader


def test_text_says_what_counts() -> None:
    """Verdict and reason first; each time with its budget and trend; what is left to a person."""
    lines = text(RECORD, [earlier(1300.0)]).splitlines()
    assert lines[0] == "FAILED: drill partition (level 7): the takeover took too long"
    (took,) = [line for line in lines if "takeover, from the fault" in line]
    assert "70.0 s, budget 60.0 s  TOO LONG; before: 1300 ms" in took
    assert "  LEFT TO YOU: haagent fence on alpha" in lines
    (written,) = [line for line in lines if line.startswith("  writes")]
    assert "db: 118 of 120 writes acknowledged, 3 of them lost" in written


def test_page_needs_nothing_else() -> None:
    """Nothing is fetched and nothing runs; all that the text has is there."""
    found = seen(RECORD, earlier(1300.0))
    assert found.loads == []
    assert "script" not in found.tags
    told = ("the takeover took too long", "haagent fence on alpha", "1300 ms", "nobody for")
    for words in (*told, "Lost", "118", "812 ms"):
        assert words in found.words


def test_nothing_in_a_record_is_trusted() -> None:
    """What a node or a device said stands there as it was said."""
    hostile = "<script>alert(1)</script>"
    record = copy.deepcopy(RECORD)
    record["reason"] = record["moments"][0]["text"] = record["left"][0] = hostile
    record["states"] = {hostile: [[0, hostile]]}
    record["clients"] = {hostile: record["clients"]["web"]}
    found = seen(record)
    assert "script" not in found.tags
    assert found.words.count(hostile) >= 4


def test_drawing_is_to_scale() -> None:
    """Each lane ends where the drill ended, and the gap of a client is where it was."""
    root = ET.fromstring(Drawing(RECORD).svg())  # noqa: S314  # our own
    boxes = [box for box in root if box.tag == "rect"]
    assert {box.get("class") for box in boxes} >= {"phase", "active", "standby", "gap"}
    right = max(float(box.get("x", "0")) + float(box.get("width", "0")) for box in boxes)
    left = min(float(box.get("x", "0")) for box in boxes)
    (gap,) = [box for box in boxes if box.get("class") == "gap"]
    scale = (right - left) / RECORD["ended_ms"]
    assert abs(float(gap.get("x", "0")) - left - 4000 * scale) < 1
    assert abs(float(gap.get("width", "0")) - 1000 * scale) < 1


def test_record_of_a_drill_that_never_began() -> None:
    """Without phases, clients or times there is still a whole report."""
    kept = ("id", "kind", "verdict", "reason", "preconditions")
    record = {key: RECORD[key] for key in kept} | {"verdict": "skipped"}
    assert text(record).startswith("SKIPPED: drill partition")
    assert "svg" not in seen(record).tags
