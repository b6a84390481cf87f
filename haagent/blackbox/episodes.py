# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the episodes of a recording: from the first sign until all is at rest again.

A pair is at rest while its peer is heard (or left, or was never there) and each group is held, not
held or kept from this node. Only what was recorded is used, not the core: an episode is told as it
was, also by a release that would decide otherwise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from haagent.blackbox.entries import Noted, Snapshot, Started, Stepped
from haagent.blackbox.reading import Segment, kind_of, told_segments
from haagent.core.events import GroupLost
from haagent.core.phases import (
    Active,
    Alive,
    Blocked,
    Fencing,
    Left,
    PairPhase,
    Silent,
    Standby,
    Suspect,
    Unheard,
)
from haagent.core.reasons import Reason
from haagent.core.settings import PairSettings, S
from haagent.core.state import Group

BEFORE_NS = 1 * S
"""What happened so shortly before the first sign belongs to it."""
AFTER_NS = S // 2
"""What begins so shortly after all came to rest is still the same."""
QUIET_EVENTS = {"PeerHeard", "DeadlinePassed", "PositionRead", "SyncRead"}
QUIET_EFFECTS = {"Beat", "Persist"}
HISTORY = "history"
"""Name of the notes that say which number a takeover has."""

Groups = tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, and how things stood before it."""

    at_ns: int
    entry: Started | Stepped | Noted
    pair: PairPhase
    groups: Groups
    lost: int = 0
    """Entries that are missing before it."""


@dataclass(slots=True)
class Episode:
    """What belongs together."""

    segment: Segment
    """In which it began."""
    moments: list[Moment]
    settings: PairSettings
    heard_ns: int | None
    """The peer's last frame before its silence, or before all this."""
    ended_ns: int | None = None
    """When all was at rest; None: the recording ends before."""

    @property
    def records(self) -> list[dict[str, Any]]:
        """What the history says of it."""
        notes = [moment.entry for moment in self.moments if isinstance(moment.entry, Noted)]
        return [dict(note.facts) for note in notes if note.name == HISTORY]

    @property
    def matters(self) -> bool:
        """More than an agent's start, a short silence, or one of a peer that held nothing."""
        if any(record.get("kind") != "start" for record in self.records):
            return True
        steps = [moment for moment in self.moments if isinstance(moment.entry, Stepped)]
        if any(isinstance(moment.entry, Started) for moment in self.moments):
            return any(isinstance(moment.pair, Fencing) for moment in steps)
        return any(_matters(moment) for moment in steps)


def _matters(moment: Moment) -> bool:
    entry = moment.entry
    assert isinstance(entry, Stepped)
    match entry.pair:
        case Silent(reasons=reasons) if set(reasons) - {Reason.NOTHING_TO_GAIN}:
            return True
        case Fencing():
            return True
        case _:
            asked = hasattr(entry.event, "request") or isinstance(entry.event, GroupLost)
            return asked or _phases(entry.groups or moment.groups) != _phases(moment.groups)


def _phases(groups: Groups) -> list[type]:
    return [type(group.phase) for group in groups]


def newest(path: Path, number: int | None = None) -> Episode | None:
    """The episode with that number in the history; without a number the last one that matters.

    Raises:
        RecordingError: Nothing can be read there.
    """
    minor: Episode | None = None
    for episode in episodes(path):
        if number is not None:
            if any(record.get("id") == number for record in episode.records):
                return episode
        elif episode.matters:
            return episode
        else:
            minor = minor or episode
    return minor


def episodes(path: Path) -> Iterator[Episode]:
    """Newest first; no more is read than is asked for."""
    batch: list[Segment] = []
    for segment in told_segments(path):
        batch.insert(0, segment)
        if _begins_at_rest(segment):
            yield from reversed(list(walk(batch)))
            batch = []
    yield from reversed(list(walk(batch)))


def _begins_at_rest(segment: Segment) -> bool:
    first = segment.entry(segment.lines[0]) if segment.lines else None
    match first:
        case Snapshot(state=state):
            return _at_rest(state.pair, state.groups)
        case _:
            return isinstance(first, Started)


def _at_rest(pair: PairPhase, groups: Groups) -> bool:
    waits = isinstance(pair, Unheard) and pair.fenced_ns is not None
    calm = isinstance(pair, Alive | Left | Unheard) and not waits
    return calm and all(isinstance(group.phase, Standby | Active | Blocked) for group in groups)


def walk(segments: Iterable[Segment]) -> Iterator[Episode]:
    """Episodes of segments that follow each other, oldest first; quiet ones may be left out."""
    walker = _Walker()
    for segment in segments:
        yield from walker.walk(segment)
    if walker.episode is not None:
        yield walker.episode


@dataclass(slots=True)
class _Walker:
    """Goes along the entries and knows how things stand."""

    pair: PairPhase = field(default_factory=lambda: Unheard(0))
    groups: Groups = ()
    settings: PairSettings | None = None
    heard_ns: int | None = None
    episode: Episode | None = None
    recent: deque[Moment] = field(default_factory=deque)
    """While all is at rest."""
    lost: int = 0

    def walk(self, segment: Segment) -> Iterator[Episode]:
        self.lost = segment.number("lost")
        place_heard = segment.decoder.place("PeerHeard", "heard_ns")
        for line in segment.lines:
            if (frame := _frame(line)) is not None:
                self.heard_ns = frame[place_heard]
            if not _worth_reading(line):
                continue
            entry = segment.entry(line)
            if isinstance(entry, Snapshot):
                yield from self._restart(segment, entry)
                continue
            at_ns = entry.at_ns if isinstance(entry, Noted) else entry.now_ns
            yield from self._close(at_ns, at_once=isinstance(entry, Started))
            if isinstance(entry, Started):
                self.pair, self.groups, self.heard_ns = Unheard(0), (), None
            moment = Moment(at_ns, entry, self.pair, self.groups, self.lost)
            if isinstance(entry, Stepped) and not self._changes(entry):
                continue
            self.lost = 0
            self._take(segment, moment)

    def _changes(self, entry: Stepped) -> bool:
        """Whether the step says anything; most changes of groups are of their data's position."""
        told = type(entry.event).__name__ not in QUIET_EVENTS or any(
            type(effect).__name__ not in QUIET_EFFECTS for effect in entry.effects
        )
        pair, groups = entry.pair or self.pair, entry.groups or self.groups
        phases = [group.phase for group in groups] != [group.phase for group in self.groups]
        if not told and not phases and pair == self.pair:
            self.groups = groups
            return False
        return True

    def _restart(self, segment: Segment, entry: Snapshot) -> Iterator[Episode]:
        """A segment's beginning; after quiet ones that were left out all is at rest, or goes on."""
        state = entry.state
        self.pair, self.groups, self.settings = state.pair, state.groups, state.settings
        if state.view is not None and self.heard_ns is None:
            self.heard_ns = state.view.heard_ns
        if _at_rest(self.pair, self.groups):
            yield from self._close(state.now_ns, at_once=True)
        elif self.episode is None:
            self._begin(segment)

    def _begin(self, segment: Segment) -> None:
        assert self.settings is not None, "a segment without a state"
        self.episode = Episode(segment, list(self.recent), self.settings, self.heard_ns)
        self.recent.clear()

    def _take(self, segment: Segment, moment: Moment) -> None:
        entry = moment.entry
        while self.recent and self.recent[0].at_ns < moment.at_ns - BEFORE_NS:
            self.recent.popleft()
        self.recent.append(moment)
        if isinstance(entry, Stepped):
            self.pair, self.groups = entry.pair or self.pair, entry.groups or self.groups
        rests = _at_rest(self.pair, self.groups)
        if self.episode is None:
            if not rests:
                self._begin(segment)
            return
        self.recent.clear()
        self.episode.moments.append(moment)
        if isinstance(entry, Stepped) and isinstance(entry.pair, Suspect):
            self.episode.heard_ns = self.heard_ns
        if not rests:
            self.episode.ended_ns = None
        elif self.episode.ended_ns is None:
            self.episode.ended_ns = moment.at_ns

    def _close(self, at_ns: int, *, at_once: bool) -> Iterator[Episode]:
        """Give out the episode that is over."""
        episode = self.episode
        if episode is None:
            return
        over = episode.ended_ns is not None and at_ns > episode.ended_ns + AFTER_NS
        if over or at_once:
            self.episode = None
            yield episode


def _worth_reading(line: Any) -> bool:
    """Whether it is more than a heartbeat; one of another form is read, and refused there."""
    if kind_of(line) != "Stepped" or len(line) != len(fields(Stepped)) + 1:
        return True
    _, _, event, effects, pair, groups = line
    if kind_of(event) not in QUIET_EVENTS or pair is not None or groups is not None:
        return True
    return any(kind_of(effect) not in QUIET_EFFECTS for effect in effects)


def _frame(line: Any) -> list[Any] | None:
    """The PeerHeard of a step that is one."""
    if kind_of(line) == "Stepped" and len(line) > 2 and kind_of(line[2]) == "PeerHeard":
        event: list[Any] = line[2]
        return event
    return None
