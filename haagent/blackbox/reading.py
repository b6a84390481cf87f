# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads recordings: a ring's directory, one of its segments, or a file of several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from haagent.blackbox import RecordingError
from haagent.blackbox.codec import Decoder
from haagent.blackbox.entries import Entry
from haagent.blackbox.ring import QUIET, segments_in
from haagent.blackbox.segment import RawSegment, read_segments


@dataclass(frozen=True)
class Segment:
    """One segment, its entries still as JSON: most of them nobody wants to see."""

    name: str
    """Where it was found, for messages."""
    raw: RawSegment

    @property
    def lines(self) -> list[Any]:
        """The entries: lists that begin with their kind."""
        return self.raw.lines

    @cached_property
    def decoder(self) -> Decoder:
        """Makes entries of lines."""
        shapes = self.raw.header.get("shapes")
        if not isinstance(shapes, dict) or not all(isinstance(v, list) for v in shapes.values()):
            raise RecordingError(f"{self.name}: the header has no shapes")
        return Decoder(Entry, shapes)

    def entry(self, line: Any) -> Entry:
        """The entry of a line.

        Raises:
            RecordingError: Another release recorded it, and this one cannot read it.
        """
        try:
            found: Entry = self.decoder.decode(line)
        except RecordingError as error:
            raise RecordingError(f"{self.name}, recorded by {self.release}: {error}") from None
        return found

    def text(self, key: str) -> str:
        """A word of the header, "" if it is missing."""
        value = self.raw.header.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        """A number of the header, 0 if it is missing."""
        value = self.raw.header.get(key)
        return value if isinstance(value, int) else 0

    @property
    def release(self) -> str:
        """Of haagent that recorded it."""
        return f"haagent {self.text('haagent') or '?'}"

    def follows(self, other: Segment | None) -> bool:
        """Whether it goes on exactly where the other one ended."""
        return (
            other is not None
            and not other.raw.torn
            and not self.number("lost")
            and not self.starts
            and self.text("boot") == other.text("boot")
            and self.number("number") == other.number("number") + 1
        )

    @property
    def starts(self) -> bool:
        """Whether an agent started with it."""
        return bool(self.lines) and kind_of(self.lines[0]) == "Started"

    def wall(self, at_ns: int) -> datetime:
        """What clocks on the wall said at a moment of its boot; for people only."""
        wall_ns = self.number("wall_ns") + at_ns - self.number("monotonic_ns")
        return datetime.fromtimestamp(wall_ns / 1e9, UTC)


def kind_of(line: Any) -> str:
    """The kind of an entry, event or effect in a line, "" for what is none."""
    return line[0] if isinstance(line, list) and line and isinstance(line[0], str) else ""


def segments(path: Path) -> Iterator[Segment]:
    """Every segment below a path, oldest first.

    Args:
        path: A ring's directory, or a file of one or several segments.

    Raises:
        RecordingError: It cannot be read, or there is no segment.
    """
    if not path.is_dir():
        yield from _of_file(path)
        return
    files = segments_in(path)
    if not files:
        raise RecordingError(f"{path}: no segments in there")
    for file in files:
        yield from _of_ring(file)


def told_segments(path: Path) -> Iterator[Segment]:
    """As segments(), without those of a ring in which nothing happened, newest file first."""
    if not path.is_dir():
        yield from reversed(list(_of_file(path)))
        return
    for file in reversed(segments_in(path)):
        if not file.name.endswith(QUIET):
            yield from _of_ring(file)


def _of_ring(file: Path) -> Iterator[Segment]:
    """Of one file of a ring, which may be torn by a power cut or be gone by now."""
    try:
        yield from _of_file(file)
    except RecordingError:
        return


def _of_file(path: Path) -> Iterator[Segment]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from None
    found = 0
    try:
        for raw in read_segments(data):
            found += 1
            yield Segment(f"{path.name}", raw)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from None
    if not found:
        raise RecordingError(f"{path}: not one segment is whole")
