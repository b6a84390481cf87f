# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of the takeover that a drill caused, from the agent's own history."""

from __future__ import annotations

from typing import Any

from haagent.drill.scene import Scene
from haagent.errors import EdgeError

EVIDENCE_S = 2.0
"""From the end of the peer's patience to the order, on a loaded machine; it takes 0.1 s."""


async def failover_times(scene: Scene, since_ns: int) -> list[dict[str, Any]]:
    """How long each phase of each group's takeover took, against its budget.

    Args:
        scene: Of the drill.
        since_ns: When the fault was made, by the clock that the agent of this node has too.
    """
    try:
        records = await scene.pair.ask({"verb": "history", "limit": 20})
    except EdgeError as error:
        scene.watch.deviations.append(f"the history was not to be had: {error}")
        return []
    found = []
    for record in records if isinstance(records, list) else ():
        marks = record.get("marks_ns", {})
        if record.get("kind") == "failover" and marks.get("active", 0) > since_ns:
            found += _times(scene, str(record.get("group")), marks)
    return found


def _times(scene: Scene, group: str, marks: dict[str, int]) -> list[dict[str, Any]]:
    phases = (
        ("silence to fence order", "last_frame", "fence_ordered", scene.patience_s + EVIDENCE_S),
        ("fence order to proved off", "fence_ordered", "confirmed_off", scene.fence_s),
        ("proved off to active", "confirmed_off", "active", scene.settings.takeover_budget_s),
    )
    return [
        {
            "name": f"{group}: {name}",
            "ms": round((marks[end] - marks[begin]) / 1e6, 1),
            "budget_ms": budget_s * 1000,
        }
        for name, begin, end, budget_s in phases
        if begin in marks and end in marks
    ]
