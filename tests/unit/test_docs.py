# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages that operators read say everything that the agent may say."""

from __future__ import annotations

from pathlib import Path

from fencing.findings import Trouble
from haagent.core.reasons import Reason

DOCS = Path(__file__).parents[2] / "docs"


def test_every_reason_has_its_remedy() -> None:
    """Every named reason stands in the operator's page, with what to do about it."""
    page = (DOCS / "operating.md").read_text()
    rows = {line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")}
    assert {reason.code for reason in Reason} <= rows


def test_every_finding_has_its_remedy() -> None:
    """Every trouble of a fence device stands there as well, and the page knows what blocks."""
    page = (DOCS / "operating.md").read_text()
    cells = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    rows = {row[1].strip(" `"): row[2].strip() for row in cells if row[2].strip() in {"yes", "no"}}
    assert rows == {one.code: "yes" if one.blocks else "no" for one in Trouble}


def test_every_safety_rule_has_its_place() -> None:
    """S1 to S11 each name a file that enforces them and a test that attacks them."""
    page = (DOCS / "safety.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| S")]
    assert [row[1].split()[0] for row in rows] == [f"S{number}" for number in range(1, 12)]
    assert all("`" in row[2] and row[3].strip() for row in rows)
