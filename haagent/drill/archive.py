# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of drills, a file each; what is asked all day stands in the file's name.

STAMP_KIND_NODE.VERDICT.json, in `drills` of the state directory: the moment it began (UTC), and
the node on which it was run. The part before the first point is its id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from haagent.drill.kinds import Kind
from haagent.errors import EdgeError

KEPT_MAX = 200
"""Records; of those that go, none is the last proof of its kind."""
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(
    r"(?P<stamp>\d{8}T\d{6}Z)_(?P<kind>[a-z-]+)_(?P<node>[\w.-]+?)\.(?P<verdict>[a-z]+)\.json"
)


class Verdict(StrEnum):
    """How a drill ended."""

    PASSED = "passed"
    FAILED = "failed"
    ABORTED = "aborted"
    """Stopped before its end: by a person, by what it saw, or because it could not begin."""
    SKIPPED = "skipped"
    """The timer did not begin it, with a reason."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the name of a record says."""

    id: str
    began: datetime
    kind: Kind
    node: str
    verdict: Verdict

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.id}.{self.verdict}.json"


def new_id(began: datetime, kind: Kind, node: str) -> str:
    """The id of a drill."""
    return f"{began.astimezone(UTC).strftime(_STAMP)}_{kind}_{node}"


def entry_of(name: str) -> Entry | None:
    """What a file's name says; None if it is not of a record."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        began = datetime.strptime(found["stamp"], _STAMP).replace(tzinfo=UTC)
        kind, verdict = Kind(found["kind"]), Verdict(found["verdict"])
    except ValueError:
        return None  # Of another release.
    return Entry(name.partition(f".{verdict}.json")[0], began, kind, found["node"], verdict)


class Archive:
    """The records on this node."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "drills"

    def entries(self) -> list[Entry]:
        """All of them, oldest first; nothing of them is read."""
        try:
            names = sorted(path.name for path in self._folder.iterdir())
        except OSError:
            return []
        return [entry for name in names if (entry := entry_of(name)) is not None]

    def load(self, identity: str) -> dict[str, Any]:
        """One record.

        Raises:
            EdgeError: There is none of that id, or it cannot be read.
        """
        for entry in self.entries():
            if entry.id == identity:
                try:
                    record = json.loads((self._folder / entry.name).read_text())
                except (OSError, ValueError) as error:
                    raise EdgeError(f"{entry.name}: {error}") from None
                if isinstance(record, dict):
                    return record
        raise EdgeError(f"no record of a drill {identity} here")

    def store(self, record: Mapping[str, object]) -> Entry:
        """Keep a record, whole or not at all; the oldest give way.

        Raises:
            EdgeError: It is none, or the disk does not take it.
        """
        entry = entry_of(f"{record.get('id')}.{record.get('verdict')}.json")
        if entry is None:
            raise EdgeError("that is no record of a drill")
        path = self._folder / entry.name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(record))
            fresh.replace(path)
            self._prune()
        except OSError as error:
            raise EdgeError(f"{path}: {error.strerror}") from None
        return entry

    def _prune(self) -> None:
        entries = self.entries()
        kept = {entry.id for entry in last_proofs(entries).values()}
        going = [entry for entry in entries if entry.id not in kept]
        for entry in going[: max(0, len(entries) - KEPT_MAX)]:
            (self._folder / entry.name).unlink(missing_ok=True)


def last_proofs(entries: list[Entry]) -> dict[Kind, Entry]:
    """The newest drill of each kind that was passed."""
    return {entry.kind: entry for entry in entries if entry.verdict is Verdict.PASSED}
