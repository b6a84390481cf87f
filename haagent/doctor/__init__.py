# SPDX-License-Identifier: GPL-2.0-or-later
"""What a working pair needs, each as a line: found, and if it is not well also what to do.

Every module here looks at one thing and yields lines. What cannot be told from here is said so:
it is never a tick. Nothing is changed, apart from what is written to the state directory and taken
away again, and from a few frames that ask a question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from haagent.config import Configuration


class Verdict(StrEnum):
    """What a line says."""

    OK = "ok"
    UNKNOWN = "unknown"
    """It cannot be told from here, now; counts neither way."""
    WARNING = "warning"
    """Works, but something needs a person."""
    BAD = "BAD"
    """A takeover would not work, or the agent would not start."""


@dataclass(frozen=True, slots=True)
class Line:
    """One precondition of a working pair."""

    verdict: Verdict
    what: str
    """What was looked at, in a word or two."""
    text: str
    """What was found."""
    remedy: str = ""
    """What to do about it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined."""

    configuration: Configuration
    status: Mapping[str, Any]
    """Of the agent that runs here; empty if none does."""
    agent_pid: int | None
    listen_s: float
    """How long to listen to the wires."""

    @property
    def peer(self) -> str:
        """Name of the other node."""
        return self.configuration.node_names[self.configuration.pair.peer]


def ok(what: str, text: str) -> Line:
    """It is as it should be."""
    return Line(Verdict.OK, what, text)


def unknown(what: str, text: str, remedy: str = "") -> Line:
    """It cannot be told."""
    return Line(Verdict.UNKNOWN, what, text, remedy)


def warning(what: str, text: str, remedy: str) -> Line:
    """It works so, but should not be so."""
    return Line(Verdict.WARNING, what, text, remedy)


def bad(what: str, text: str, remedy: str) -> Line:
    """It does not work so."""
    return Line(Verdict.BAD, what, text, remedy)
