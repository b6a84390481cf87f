# SPDX-License-Identifier: GPL-2.0-or-later
"""How a command ended: lines for a person, or one JSON object for a program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fencing.client import DeviceStep
from fencing.config.problems import printable
from fencing.console.course import Course
from fencing.console.exits import MEANINGS, Exit
from fencing.console.order import Order


@dataclass(frozen=True, slots=True)
class Result:
    """What a command ended with. Every field but `text` is a key of the JSON, in any case."""

    command: str
    exit: Exit
    message: str
    """In one line; "" if the other lines say it all."""
    nodes: tuple[str, ...] = ()
    dry_run: bool = False
    ordered: bool = False
    """Whether anything may have been ordered."""
    proof: Mapping[str, Any] | None = None
    """The proof that the node is off, and what the daemon said to it; None without a proof."""
    roles: Mapping[str, str] | None = None
    """The node's role in each group before it was shot, by the daemon; None if it was not asked."""
    plan: tuple[Mapping[str, Any], ...] = ()
    levels: tuple[Mapping[str, Any], ...] = ()
    """What each level reads."""
    devices: tuple[Mapping[str, Any], ...] = ()
    """What each device's check said."""
    attempts: tuple[Mapping[str, Any], ...] = ()
    """Each device's part in an *off*."""
    steps: tuple[Mapping[str, Any], ...] = ()
    text: tuple[str, ...] = field(default=())
    """Lines for a person, before the message."""

    def rendered(self, order: Order) -> str:
        """What goes to stdout."""
        if order.as_json:
            return self._json()
        return "\n".join(printable(line) for line in (*self.text, self.message) if line)

    def _json(self) -> str:
        names = [name for name in self.__slots__ if name != "text"]
        found = {name: getattr(self, name) for name in names}
        found["exit"] = int(self.exit)
        found["meaning"] = MEANINGS[self.exit]
        return json.dumps(found)


def attempt(step: DeviceStep, course: Course) -> dict[str, Any]:
    """One device's part in an *off*; moments are seconds since the start."""

    def seconds(at_ns: int | None) -> float | None:
        return None if at_ns is None else course.seconds(at_ns)

    return {
        "device": step.device,
        "level": step.level,
        "outcome": step.outcome.value,
        "detail": step.detail,
        "started_s": seconds(step.started_ns),
        "ordered_s": seconds(step.ordered_ns),
        "first_off_s": seconds(step.first_off_ns),
        "read_off_s": seconds(step.read_off_ns),
        "finished_s": seconds(step.finished_ns),
        "evidence": step.evidence,
    }
