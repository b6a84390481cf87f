# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of drills on the disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from haagent.drill.archive import KEPT_MAX, Archive, Verdict, entry_of, last_proofs, new_id
from haagent.drill.kinds import Kind
from haagent.errors import EdgeError

BEGAN = datetime(2026, 11, 26, 14, 30, tzinfo=UTC)


def record(number: int, kind: Kind = Kind.CHECK, verdict: str = "passed") -> dict[str, object]:
    """A record that began so many hours later."""
    began = BEGAN + timedelta(hours=number)
    return {"id": new_id(began, kind, "alpha.example_1"), "verdict": verdict, "number": number}


def test_what_is_stored_is_found(tmp_path: Path) -> None:
    """A record is found by its id; its name says when, what, where and how it ended."""
    archive = Archive(tmp_path)
    entry = archive.store(record(0, Kind.FENCE_ACTIVE, "failed"))
    assert archive.entries() == [entry]
    assert (entry.began, entry.kind, entry.node, entry.verdict) == (
        BEGAN,
        Kind.FENCE_ACTIVE,
        "alpha.example_1",
        Verdict.FAILED,
    )
    assert archive.load(entry.id)["number"] == 0
    assert entry_of(entry.name) == entry


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    """Nothing is written under a name that the peer chose freely, and nothing unknown is loaded."""
    archive = Archive(tmp_path)
    for identity in ("../../etc/passwd", "", "20261126T143000Z_check_", "20261126T143000Z_x_a"):
        with pytest.raises(EdgeError):
            archive.store({"id": identity, "verdict": "passed"})
    with pytest.raises(EdgeError):
        archive.store({**record(1), "verdict": "splendid"})
    assert list(tmp_path.rglob("*")) == []
    with pytest.raises(EdgeError, match="no record"):
        archive.load("../record")


def test_old_records_give_way_but_no_last_proof(tmp_path: Path) -> None:
    """Of the oldest, those go that are not the last proof of their kind."""
    archive = Archive(tmp_path)
    proof = archive.store(record(0, Kind.FENCE_ACTIVE))
    for number in range(1, KEPT_MAX + 10):
        archive.store(record(number))
    entries = archive.entries()
    assert len(entries) == KEPT_MAX
    assert last_proofs(entries)[Kind.FENCE_ACTIVE] == proof


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    """What lies beside the records, or is damaged, is not taken for one."""
    archive = Archive(tmp_path)
    entry = archive.store(record(0))
    (tmp_path / "drills" / "notes.txt").write_text("mine")
    (tmp_path / "drills" / entry.name).write_text('{"id"')
    assert archive.entries() == [entry]
    with pytest.raises(EdgeError):
        archive.load(entry.id)
