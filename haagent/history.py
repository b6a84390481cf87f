# SPDX-License-Identifier: GPL-2.0-or-later
"""Each failover and hand-over with the time of its phases, read off the core's own steps.

Also each time that commits went on without proof that the peer cannot be promoted.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from haagent.core.effects import Fence, PowerOn
from haagent.core.events import Event, FenceFinished, PowerOnFinished
from haagent.core.phases import (
    HOLDING,
    Active,
    Alive,
    FenceCause,
    Fenced,
    Fencing,
    Grant,
    Left,
    Silent,
    Starting,
    Suspect,
    TakingOver,
)
from haagent.core.reasons import Reason
from haagent.core.state import Group, State, Step
from haagent.status.commits import at_risk

COMMITS = "commits"
"""Not a takeover: they went on alone by `sync_policy` though the peer could have been promoted."""
HEARD_AGAIN = "peer_heard"
"""Not a gate: the peer spoke while it was being fenced."""
KEPT_MAX = 200
"""Records in memory and, by rewriting at the start, in the file."""


@dataclass(slots=True)
class Story:
    """A takeover in the making: named moments, monotonic ns."""

    group: str
    kind: str = "start"
    reason: str = ""
    term: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    outcome: str | None = None
    behind: int | None = None
    """How much of the data that the lost holder told of is not here, if anybody knows."""

    def mark(self, name: str, at_ns: int) -> None:
        """Note a moment; the first one of its name counts."""
        self.marks.setdefault(name, at_ns)


class History:
    """Watches every step; a finished record is a JSON object, see record()."""

    def __init__(self, node: str, path: Path) -> None:
        """Read what earlier agents left.

        Args:
            node: Our name.
            path: A file of JSON lines; unreadable lines are left out.
        """
        self._node = node
        self._path = path
        self.records: deque[dict[str, object]] = deque(_load(path), maxlen=KEPT_MAX)
        self._silence: dict[str, int] = {}
        """Moments of the peer's present silence, shared by all groups."""
        self._said_no: dict[Reason, None] = {}
        """Gates that said no in this silence, in their order."""
        self._stories: dict[int, Story] = {}
        self._open: list[tuple[Story, dict[str, object]]] = []
        """Finished takeovers whose peer has not come back yet."""
        self._risks: dict[int, tuple[Story, dict[str, object]]] = {}
        """Groups whose commits go on at a risk."""

    def observe(self, before: State, event: Event, step: Step, now_ns: int) -> bool:
        """Take one step in.

        Returns:
            Whether a record was finished or completed: save() is then due.
        """
        if before.pair is step.state.pair and before.groups is step.state.groups:
            return False  # Most steps: a heartbeat came or went.
        changed = self._observe_pair(before, step, now_ns)
        for index, group in enumerate(step.state.groups):
            was = before.groups[index].phase
            if type(was) is not type(group.phase) or isinstance(event, FenceFinished):
                changed |= self._observe_group(index, before, step.state, now_ns)
            if at_risk(group) != (index in self._risks):
                self._observe_risk(index, group, now_ns)
                changed = True
        return self._observe_aftermath(before, event, step, now_ns) or changed

    def note(self, index: int, name: str, at_ns: int) -> None:
        """A moment that only an edge knows: vip_added, announced."""
        if index in self._stories:
            self._stories[index].mark(name, at_ns)

    @property
    def last_id(self) -> int:
        """Of the newest record, 0 when there is none."""
        last = self.records[-1]["id"] if self.records else 0
        assert isinstance(last, int)
        return last

    def since(self, number: int) -> list[dict[str, object]]:
        """The records that came after that one, oldest first."""
        return list(self.records)[len(self.records) - (self.last_id - number) :]

    def _observe_pair(self, before: State, step: Step, now_ns: int) -> bool:
        was, phase = before.pair, step.state.pair
        if isinstance(phase, Suspect) and not isinstance(was, Suspect):
            assert step.state.view is not None
            self._silence = {"last_frame": step.state.view.heard_ns, "suspect": now_ns}
        if isinstance(phase, Silent):
            self._silence.setdefault("gates", now_ns)
            self._said_no |= dict.fromkeys(phase.reasons)
        if any(isinstance(effect, Fence) for effect in step.effects):
            self._silence["fence_ordered"] = now_ns
        if isinstance(phase, Fenced) and not isinstance(was, Fenced):
            self._silence["confirmed_off"] = now_ns
        withheld = False
        if isinstance(phase, Alive | Left) and not isinstance(was, Alive | Left):
            withheld = self._observe_withheld(before, step.state, now_ns)
            self._silence, self._said_no = {}, {}
        return withheld

    def _observe_withheld(self, before: State, state: State, now_ns: int) -> bool:
        """The peer is back: was there a failover that did not happen?"""
        groups = [g for g in state.groups if not isinstance(g.phase, HOLDING)]
        reasons = [reason.code for reason in self._said_no if reason is not Reason.NOTHING_TO_GAIN]
        if isinstance(before.pair, Fencing) and before.pair.cause is not FenceCause.ASKED:
            reasons.append(HEARD_AGAIN)
        if "confirmed_off" in self._silence or not groups or not reasons:
            return False
        for group in groups:
            story = Story(
                group.settings.name,
                "failover",
                ", ".join(reasons),
                group.term,
                {**self._silence, "peer_back": now_ns},
            )
            self.records.append(self._record(story, "withheld"))
        return True

    def _observe_group(self, index: int, before: State, state: State, now_ns: int) -> bool:
        group = state.groups[index]
        match group.phase:
            case TakingOver(grant=grant, term=term):
                story = Story(group.settings.name, term=term)
                if grant is Grant.PEER_OFF:
                    story.kind, story.marks = "failover", dict(self._silence)
                    story.behind = _behind(group)
                elif before.groups[index].held_term or _peer_held(before, group.settings.name):
                    story.kind = "switchover"
                story.mark("granted", now_ns)
                self._stories[index] = story
            case Starting() if index in self._stories:
                self._stories[index].mark("start_ordered", now_ns)
            case Active() if index in self._stories:
                story = self._stories.pop(index)
                story.mark("active", now_ns)
                record = self._record(story, "completed")
                self.records.append(record)
                self._open.append((story, record))
                return True
            case _ if index in self._stories:
                story = self._stories.pop(index)
                story.reason = type(group.phase).__name__.lower()
                self.records.append(self._record(story, "abandoned"))
                return True
            case _:
                pass
        return False

    def _observe_risk(self, index: int, group: Group, now_ns: int) -> None:
        """Commits go on alone unproved, or that is over: then its record says how long it was."""
        if index in self._risks:
            story, record = self._risks.pop(index)
            story.mark("over", now_ns)
            record.update(_times(story))
            return
        marks = {"commits_wait": group.sync.since_ns, "commits_alone": now_ns}
        story = Story(group.settings.name, COMMITS, "sync_policy", group.held_term, marks)
        record = self._record(story, "at_risk")
        self.records.append(record)
        self._risks[index] = story, record

    def _observe_aftermath(self, before: State, event: Event, step: Step, now_ns: int) -> bool:
        """The peer's power and return complete the records of its failover."""
        name = None
        if any(isinstance(effect, PowerOn) for effect in step.effects):
            name = "power_on_ordered"
        elif isinstance(event, PowerOnFinished) and event.ok:
            name = "power_on"
        elif isinstance(step.state.pair, Alive) and not isinstance(before.pair, Alive):
            name = "peer_back"
        if name is None or not self._open:
            return False
        for story, record in self._open:
            story.mark(name, now_ns)
            record.update(_times(story))
        if name == "peer_back":
            self._open.clear()
        return True

    def _record(self, story: Story, outcome: str) -> dict[str, object]:
        return {
            "id": self.last_id + 1,
            "kind": story.kind,
            "group": story.group,
            "node": self._node,
            "term": story.term,
            "outcome": outcome,
            "reason": story.reason,
            **({} if story.behind is None else {"data_behind": story.behind}),
            **_times(story),
        }

    def stamp(self, when: str) -> None:
        """Give the newest records their wall time, which is only for people."""
        for record in reversed(self.records):
            if "when" in record:
                break
            record["when"] = when

    def save(self) -> None:
        """Write all records; called in a thread, since it touches the disk.

        Raises:
            OSError: the history is not worth more than a line in the log.
        """
        text = "".join(json.dumps(record) + "\n" for record in tuple(self.records))
        fresh = self._path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self._path)


def _behind(group: Group) -> int | None:
    """Against what the holder told last; a database whose commits waited has lost none."""
    known = group.peer_position >= 0 and group.position >= 0 and not group.settings.sync
    return max(0, group.peer_position - group.position) if known else None


def _peer_held(before: State, group: str) -> bool:
    report = before.view.group(group) if before.view else None
    return report is not None and report.held_term > 0


def _times(story: Story) -> dict[str, object]:
    """Phases in order, each since the one before, and the moments themselves."""
    ordered = sorted(story.marks.items(), key=lambda mark: mark[1])
    phases = [
        {"name": name, "ms": round((at_ns - before_ns) / 1e6, 3)}
        for (_, before_ns), (name, at_ns) in pairwise(ordered)
    ]
    until_ns = story.marks.get("active", ordered[-1][1])
    return {
        "phases": phases,
        "total_ms": round((until_ns - ordered[0][1]) / 1e6, 3),
        "marks_ns": dict(ordered),
    }


def _load(path: Path) -> Iterable[dict[str, object]]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines[-KEPT_MAX:]:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("id"), int):
            yield record
