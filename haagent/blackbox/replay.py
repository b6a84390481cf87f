# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs recorded events through the core again: does it decide the same?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from haagent.blackbox.codec import differences
from haagent.blackbox.entries import Noted, Snapshot, Started, Stepped
from haagent.blackbox.reading import Segment
from haagent.core.state import State, Step
from haagent.core.step import start, step

DIFFERENCES_MAX = 8
"""Fields shown of the first step that differs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first step that the core decides otherwise."""

    segment: Segment
    place: int
    """Of the entry in its segment."""
    at_ns: int
    event: str
    fields: tuple[str, ...]


@dataclass(slots=True)
class Verdict:
    """What came of it."""

    steps: int = 0
    """Decided as recorded."""
    segments: int = 0
    lost: int = 0
    """Entries that were never recorded: full queue, failing disk."""
    torn: list[str] = field(default_factory=list)
    """Segments that end before their time."""
    unknown: set[str] = field(default_factory=set)
    """Fields that this release does not have any more."""
    difference: Difference | None = None


def replay(recording: Iterable[Segment]) -> Verdict:
    """Replay segments one after the other, up to the first difference.

    Raises:
        RecordingError: An entry that this release cannot read.
    """
    verdict = Verdict()
    before: Segment | None = None
    state: State | None = None
    for segment in recording:
        verdict.segments += 1
        verdict.lost += segment.number("lost")
        if segment.raw.torn:
            verdict.torn.append(f"{segment.name}: {segment.raw.torn}")
        run = _Run(segment, state if segment.follows(before) else None)
        verdict.difference = next(run.differences(), None)
        verdict.steps += run.steps
        verdict.unknown |= segment.decoder.unknown
        if verdict.difference is not None:
            return verdict
        before, state = segment, run.state
    return verdict


class _Run:
    """One segment, from the state before it if that is known."""

    def __init__(self, segment: Segment, state: State | None) -> None:
        self.state = state
        self.steps = 0
        self._segment = segment

    def differences(self) -> Iterator[Difference]:
        for place, line in enumerate(self._segment.lines):
            entry = self._segment.entry(line)
            found: tuple[str, ...] = ()
            match entry:
                case Started():
                    at_ns, event, found = entry.now_ns, "start", tuple(self._start(entry))
                case Snapshot():
                    at_ns, event = entry.state.now_ns, "the state"
                    found = tuple(differences(entry.state, self.state or entry.state, "state"))
                    self.state = entry.state
                case Stepped():
                    at_ns, event = entry.now_ns, repr(entry.event)
                    found = tuple(self._step(entry))
                case Noted():
                    continue
            self.steps += isinstance(entry, Stepped) and not found
            if found:
                fields = found[:DIFFERENCES_MAX]
                yield Difference(self._segment, place, at_ns, event, fields)
                return

    def _start(self, entry: Started) -> Iterator[str]:
        first = start(
            entry.settings,
            incarnation=entry.incarnation,
            now_ns=entry.now_ns,
            record=entry.record,
            same_boot=entry.same_boot,
            found=entry.found,
        )
        self.state = first.state
        yield from differences(entry.effects, first.effects, "effects")

    def _step(self, entry: Stepped) -> Iterator[str]:
        before = self.state
        if before is None:
            yield "there is no state before it"
            return
        try:
            result = step(before, entry.event, entry.now_ns)
        except AssertionError as error:
            yield f"the core refuses it: {error!r}"
            return
        yield from _compare(entry, before, result)
        self.state = result.state


def _compare(entry: Stepped, before: State, result: Step) -> Iterator[str]:
    pair = before.pair if entry.pair is None else entry.pair
    groups = before.groups if entry.groups is None else entry.groups
    yield from differences(entry.effects, result.effects, "effects")
    yield from differences(pair, result.state.pair, "pair")
    yield from differences(groups, result.state.groups, "groups")
