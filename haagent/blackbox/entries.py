# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recording is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from haagent.core.effects import Effect, Record
from haagent.core.events import Event
from haagent.core.phases import PairPhase
from haagent.core.settings import PairSettings
from haagent.core.state import Group, State


@dataclass(frozen=True, slots=True)
class Started:
    """The core began: what start() was given, and what it wanted done."""

    now_ns: int
    settings: PairSettings
    incarnation: int
    record: Record
    same_boot: bool
    found: frozenset[int]
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state between two steps: what follows can be run without what went before."""

    state: State


@dataclass(frozen=True, slots=True)
class Stepped:
    """One step of the core."""

    now_ns: int
    event: Event
    effects: tuple[Effect, ...]
    pair: PairPhase | None
    """The phase that it led to, None if it changed nothing of it."""
    groups: tuple[Group, ...] | None
    """All groups, None if it changed none."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What an edge said, e.g. that a resource was started. Nothing is decided by it."""

    at_ns: int
    name: str
    facts: Mapping[str, object]


Entry = Started | Snapshot | Stepped | Noted
