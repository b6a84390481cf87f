# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of drills is the same on both nodes, whichever of them has missed something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from haagent.drill.archive import Archive
from haagent.drill.desk import Desk
from haagent.drill.due import Practice
from haagent.drill.faults import Faults

MISSED = {"alpha": "20260101T120000Z_partition_alpha", "beta": "20260201T120000Z_check_beta"}
"""By node: a record that its peer, which was down, does not have."""


def desk(folder: Path, me: str, peer: str) -> Desk:
    """A node's, with one record."""

    async def write(job: Callable[[], None]) -> None:
        job()

    async def nobody() -> list[Any]:
        return []

    archive = Archive(folder / me)
    archive.store({"id": MISSED[me], "verdict": "passed", "told": me})
    faults = Faults(lambda _: None, folder)
    return Desk(me, peer, (), faults, archive, Practice(), dict, nobody, write)


def test_records_are_shared_both_ways(tmp_path: Path) -> None:
    """One order on one node, and each has what the other had, to the last word."""
    alpha, beta = desk(tmp_path, "alpha", "beta"), desk(tmp_path, "beta", "alpha")

    async def ask(question: Mapping[str, object], timeout_s: float) -> dict[str, Any]:
        assert timeout_s > 0
        return await beta.answer_peer(question)

    async def main() -> None:
        await alpha.answer({"verb": "drill", "what": "share"}, ask)

    asyncio.run(main())
    for one in (alpha, beta):
        assert {entry.id for entry in one.archive.entries()} == set(MISSED.values())
        assert set(one.standing()["proven"]) == {"partition", "check"}
        for node, identity in MISSED.items():
            assert one.archive.load(identity)["told"] == node
