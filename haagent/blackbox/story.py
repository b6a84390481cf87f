# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells an episode: what happened when, which gate said what, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from haagent.blackbox.entries import Noted, Started, Stepped
from haagent.blackbox.episodes import HISTORY, Episode, Groups, Moment, walk
from haagent.blackbox.gate_table import CAUSES, gate_lines
from haagent.blackbox.reading import Segment
from haagent.blackbox.sentences import (
    Cast,
    of_effect,
    of_event,
    of_group,
    of_note,
    of_pair,
)
from haagent.core.events import Persisted
from haagent.core.phases import Fencing, PairPhase, Silent, TakingOver
from haagent.core.reasons import Reason
from haagent.core.settings import MS

MARKS = {"vip_added": "the virtual addresses are here", "announced": "announced to the network"}
"""Moments of the history that only an edge knew."""


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence and its time, monotonic ns."""

    at_ns: int
    text: str
    more: tuple[str, ...] = ()
    """Lines below it."""


def tell(episode: Episode) -> list[str]:
    """The whole story, ready to be printed."""
    zero_ns = _zero(episode)
    lines = sorted(_lines(episode), key=lambda line: line.at_ns)
    texts = [*_head(episode, zero_ns), ""]
    for line in _once(lines):
        texts.append(f"{_offset(line.at_ns - zero_ns):>12}  {line.text}")
        texts += [f"{'':12}    {more}" for more in line.more]
    return [*texts, "", *_end(episode, zero_ns)]


def tell_until(segment: Segment, at_ns: int) -> list[str]:
    """What a segment has to tell of the episode that a moment lies in, up to there."""
    found: Episode | None = None
    for episode in walk([segment]):
        if episode.moments and episode.moments[0].at_ns <= at_ns:
            found = episode
    if found is None:
        return []
    moments = [moment for moment in found.moments if moment.at_ns <= at_ns]
    return tell(replace(found, moments=moments, ended_ns=None))


def _zero(episode: Episode) -> int:
    """From here on times are counted: the last frame before a silence, or the first moment."""
    silence = any(
        isinstance(moment.entry, Stepped) and isinstance(moment.entry.pair, Silent | Fencing)
        for moment in episode.moments
    )
    first_ns = episode.moments[0].at_ns if episode.moments else 0
    return episode.heard_ns if silence and episode.heard_ns is not None else first_ns


def _head(episode: Episode, zero_ns: int) -> Iterator[str]:
    segment, records = episode.segment, episode.records
    for record in records:
        number, kind, group = record.get("id"), record.get("kind"), record.get("group")
        outcome, reason = record.get("outcome"), record.get("reason")
        because = f" ({reason})" if reason else ""
        yield f"#{number}  {kind} of {group} to {segment.text('node')}: {outcome}{because}"
    if not records:
        yield "; ".join(_became(episode)) or f"Nothing was taken over by {segment.text('node')}"
    when = segment.wall(zero_ns).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    frame = (
        f"the last frame of {segment.text('peer')}"
        if zero_ns == episode.heard_ns
        else "the first line"
    )
    yield f"Seen by {segment.text('node')} ({segment.text('cluster')}), {segment.release}."
    yield f"Times count from {frame}, {when} UTC."


def _became(episode: Episode) -> Iterator[str]:
    """What each group was on this node before, and what it was in the end."""
    node = episode.segment.text("node")
    first = next((moment.groups for moment in episode.moments if moment.groups), ())
    last = episode.moments[-1] if episode.moments else None
    ended = () if last is None else last.groups
    if last is not None and isinstance(last.entry, Stepped) and last.entry.groups:
        ended = last.entry.groups
    for was, now in zip(first, ended, strict=False):
        before, after = (type(group.phase).__name__.lower() for group in (was, now))
        if before != after:
            yield f"{now.settings.name} on {node}: {before} before, {after} after"


def _lines(episode: Episode) -> Iterator[Line]:
    cast = _cast(episode)
    if episode.heard_ns is not None and _zero(episode) == episode.heard_ns:
        yield Line(episode.heard_ns, f"the last frame of {cast.peer}")
    for moment in episode.moments:
        if moment.lost:
            yield Line(moment.at_ns, f"{moment.lost} entries are missing here")
        match moment.entry:
            case Started(same_boot=same_boot):
                boot = "again, in the same boot" if same_boot else "for the first time since boot"
                yield Line(moment.at_ns, f"the agent starts {boot}")
            case Noted(name=name, facts=facts) if name == HISTORY:
                yield from _marks(facts)
            case Noted(name=name, facts=facts):
                yield Line(moment.at_ns, of_note(name, facts))
            case Stepped():
                yield from _step(cast, moment, moment.entry)


def _step(cast: Cast, moment: Moment, step: Stepped) -> Iterator[Line]:
    at_ns = moment.at_ns
    if not isinstance(step.event, Persisted) or _waits_for(moment.groups, step.event.attempt):
        yield Line(at_ns, of_event(cast, step.event))
    if step.pair is not None:
        yield from _pair(cast, at_ns, moment.pair, step.pair)
    for was, now in zip(moment.groups, step.groups or (), strict=False):
        if was.phase != now.phase and not _goes_on(was.phase, now.phase):
            yield Line(at_ns, of_group(cast, now.settings.name, now.phase))
    for effect in step.effects:
        yield Line(at_ns, of_effect(cast, effect))


def _waits_for(groups: Groups, attempt: int) -> bool:
    phases = [group.phase for group in groups]
    return any(isinstance(each, TakingOver) and each.attempt == attempt for each in phases)


def _goes_on(was: object, now: object) -> bool:
    """A takeover that notes an answer is no new phase."""
    return isinstance(was, TakingOver) and isinstance(now, TakingOver) and was.term == now.term


def _pair(cast: Cast, at_ns: int, was: PairPhase, now: PairPhase) -> Iterator[Line]:
    match now:
        case Silent(cause=cause, reasons=reasons) if reasons:
            if not isinstance(was, Silent) or was.reasons != reasons:
                text = f"may {cast.peer} be fenced? ({CAUSES[cause]})"
                yield Line(at_ns, text, tuple(gate_lines(cause, reasons, witnessed=cast.witnessed)))
        case Fencing(cause=cause):
            text = f"may {cast.peer} be fenced? ({CAUSES[cause]})"
            yield Line(at_ns, text, tuple(gate_lines(cause, (), witnessed=cast.witnessed)))
        case _:
            if type(was) is not type(now) or was != now:
                yield Line(at_ns, of_pair(cast, was, now))


def _marks(facts: Mapping[str, object]) -> Iterator[Line]:
    marks = facts.get("marks_ns")
    for name, at_ns in marks.items() if isinstance(marks, dict) else ():
        if name in MARKS:
            yield Line(at_ns, f"{facts.get('group')}: {MARKS[name]}")


def _once(lines: list[Line]) -> Iterator[Line]:
    """Without empty sentences, and without evidence that says what the last one said."""
    evidence = ""
    for line in lines:
        if not line.text or line.text == evidence:
            continue
        if line.text.startswith("evidence: "):
            evidence = line.text
        yield line


def _end(episode: Episode, zero_ns: int) -> Iterator[str]:
    for record in episode.records:
        marks = record.get("marks_ns")
        if record.get("outcome") == "completed" and isinstance(marks, dict) and marks:
            first_ns, first = min((at_ns, name) for name, at_ns in marks.items())
            took_ms = (marks.get("active", first_ns) - first_ns) / MS
            yield f"{record.get('group')}: active {took_ms:.0f} ms after {first}."
    for reason, (first_ns, last_ns) in _said_no(episode).items():
        first, last = _offset(first_ns - zero_ns), _offset(last_ns - zero_ns)
        yield f"{reason.code} said no from {first} to {last}: {reason.text}"
    if episode.ended_ns is None:
        yield "It is not over where this ends."
    else:
        yield f"At rest again at {_offset(episode.ended_ns - zero_ns)}."


def _said_no(episode: Episode) -> dict[Reason, tuple[int, int]]:
    """Each gate that said no, from when to when."""
    found: dict[Reason, tuple[int, int]] = {}
    standing: tuple[Reason, ...] = ()
    for moment in episode.moments:
        pair = moment.entry.pair if isinstance(moment.entry, Stepped) else None
        if pair is None and moment is not episode.moments[-1]:
            continue
        for reason in standing:
            found[reason] = (found[reason][0], moment.at_ns)
        standing = pair.reasons if isinstance(pair, Silent) else ()
        for reason in standing:
            found.setdefault(reason, (moment.at_ns, moment.at_ns))
    return found


def _cast(episode: Episode) -> Cast:
    segment = episode.segment
    node, peer = segment.text("node"), segment.text("peer")
    settings = episode.settings
    nodes = (node, peer) if settings.me == 0 else (peer, node)
    groups = tuple(group.name for group in settings.groups)
    links = tuple(link.name for link in settings.links)
    return Cast(node, peer, groups, links, nodes, settings.witnessed)


def _offset(span_ns: int) -> str:
    return f"{span_ns / MS:+.1f} ms" if abs(span_ns) < 10_000 * MS else f"{span_ns / 1e9:+.1f} s"
