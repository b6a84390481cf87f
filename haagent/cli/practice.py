# SPDX-License-Identifier: GPL-2.0-or-later
"""What the status says of drills, for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from haagent.cli.verdict import Status, part, rows
from haagent.drill.kinds import LEVELS


def lines(status: Status, now: datetime) -> Iterator[tuple[str, bool]]:
    """Each line, and whether a person should look; none of an agent that knows no drills."""
    drills = part(status, "drills")
    if not drills:
        return
    if drills.get("under_way"):
        yield f"A drill is under way: {drills['under_way']}", True
    for fault in rows(drills, "faults"):
        links = fault.get("links")
        what = f" of {len(links)} links" if isinstance(links, list) else ""
        yield f"This node carries a fault for a drill: {fault.get('fault')}{what}", True
    proven = part(drills, "proven")
    said = [f"{kind} {_ago(part(proven, kind).get('when'), now)}" for kind in LEVELS]
    yield f"Last passed in drills: {', '.join(said)}", False


def _ago(when: object, now: datetime) -> str:
    try:
        began = datetime.fromisoformat(str(when))
    except ValueError:
        return "never"
    days = (now - began.astimezone(UTC)).days
    return "today" if days < 1 else f"{days} d ago"
