# SPDX-License-Identifier: GPL-2.0-or-later
"""What `haagent watch` makes of one status after another: events, and each link's recent loss.

The agent keeps no list of events for it: what changed between two answers is told here, so a
screen that was opened late, or that outlived its agent, misses only what came and went meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from haagent.cli.verdict import Status, part, rows

EVENTS_MAX = 200
LOSS_WINDOW_S = 10.0
"""A hundred frames of the default interval: one per cent is seen, and soon forgotten."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of the list of events."""

    at: datetime
    text: str
    bad: bool = False


@dataclass(slots=True)
class Feed:
    """Everything that is shown; nothing in it asks anybody."""

    status: Status | None = None
    """The last one that was answered."""
    answered_s: float = 0.0
    """When, monotonic."""
    trouble: str = ""
    """Why the last question was not answered; "" if it was."""
    events: deque[Happened] = field(default_factory=lambda: deque(maxlen=EVENTS_MAX))
    """Oldest first."""
    _tallies: deque[tuple[float, dict[str, tuple[int, int]]]] = field(default_factory=deque)
    """Monotonic seconds, and of each link the frames that came and that did not."""

    def take(self, status: Status, now_s: float, clock: datetime) -> None:
        """The agent has answered."""
        if self.trouble:
            self._tell(clock, "the agent answers again")
        elif self.status is None:
            self._tell(clock, f"watching {status.get('node')}")
        if self.status is not None:
            for text, bad in _changes(self.status, status):
                self._tell(clock, text, bad=bad)
        self.status, self.answered_s, self.trouble = status, now_s, ""
        self._count(status, now_s)

    def miss(self, trouble: str, clock: datetime) -> None:
        """It has not."""
        if not self.trouble:
            self._tell(clock, trouble, bad=True)
        self.trouble = trouble

    def remember(self, records: list[Mapping[str, Any]]) -> None:
        """What the agent's history tells, oldest first; once, before anything else happened."""
        for record in records:
            try:
                at = datetime.fromisoformat(str(record.get("when"))).astimezone()
            except ValueError:
                continue
            words = f"{record.get('kind')} of {record.get('group')} to {record.get('node')}"
            outcome = str(record.get("outcome"))
            self.events.append(Happened(at, f"{words}: {outcome}", bad=outcome != "completed"))

    def loss(self, link: str) -> float | None:
        """Part of the peer's frames that were lost on it lately; None while nobody can tell."""
        if not self._tallies:
            return None
        (_, first), (_, last) = self._tallies[0], self._tallies[-1]
        if link not in first or link not in last:
            return None
        received, lost = (b - a for a, b in zip(first[link], last[link], strict=True))
        if received + lost > 0:
            return lost / (received + lost)
        # Losses are counted by the frame that comes after them. The peer sends as many on every
        # link: if others brought some, all of this one's were lost.
        others = (name for name in first.keys() & last.keys() if last[name][0] > first[name][0])
        return 1.0 if any(others) else None

    def _count(self, status: Status, now_s: float) -> None:
        tallies = {
            str(link.get("name")): (link["received"], link["lost"])
            for link in rows(status, "links")
            if isinstance(link.get("received"), int) and isinstance(link.get("lost"), int)
        }
        before = self._tallies[-1][1] if self._tallies else {}
        if any(sum(tallies.get(name, (0, 0))) < sum(before[name]) for name in before):
            self._tallies.clear()  # Another agent counts from the beginning.
        self._tallies.append((now_s, tallies))
        while now_s - self._tallies[0][0] > LOSS_WINDOW_S:
            self._tallies.popleft()

    def _tell(self, clock: datetime, text: str, *, bad: bool = False) -> None:
        self.events.append(Happened(clock, text, bad))


def _changes(old: Status, new: Status) -> Iterator[tuple[str, bool]]:
    """What to tell of the way from one status to the next, and whether it is bad news."""
    before = {group.get("name"): group for group in rows(old, "groups")}
    for group in rows(new, "groups"):
        known = before.get(group.get("name"), {})
        for key, node in (("role", new.get("node")), ("peer_role", new.get("peer"))):
            role, was = group.get(key), known.get(key)
            if role is not None and role != was:
                yield f"{group.get('name')}: {role} on {node} (was {was or 'unknown'})", False
    phase = part(new, "peer_state").get("phase")
    if phase != part(old, "peer_state").get("phase"):
        yield f"{new.get('peer')} is {phase}", phase != "alive"
    alarms = [{a.get("code"): a.get("text") for a in rows(one, "alarms")} for one in (old, new)]
    for code in alarms[1].keys() - alarms[0].keys():
        yield f"ALARM {alarms[1][code]}", True
    for code in alarms[0].keys() - alarms[1].keys():
        yield f"over: {alarms[0][code]}", False
