# SPDX-License-Identifier: GPL-2.0-or-later
"""What a status is made of, and the sentences that several of its parts need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fencing.readiness import Readiness
from haagent.config import Configuration
from haagent.core.phases import Active, Alive, Left
from haagent.core.reasons import Reason
from haagent.core.state import Group, State
from haagent.core.wire import Role
from haagent.links.linkset import LinkState as PathState
from haagent.links.loss import Tally
from haagent.resources import Reading
from haagent.witness import WitnessState

Reasons = list[dict[str, str]]
"""Codes and texts."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything a status is made of."""

    configuration: Configuration
    state: State
    paths: Sequence[PathState]
    devices: Sequence[Readiness]
    counters: Mapping[str, int]
    now_ns: int
    readings: Sequence[Mapping[str, Reading]] = ()
    """By group: the last look at each of its resources."""
    returned: Mapping[str, str] = field(default_factory=dict)
    """By group: what became of it while this node was down."""
    unguarded: str = ""
    """Why no watchdog guards this machine."""
    outwait_s: float = 0.0
    """How long a fence waits for the peer's own watchdog where no device does; 0: it has none."""
    tallies: Sequence[Tally] = ()
    """By link: frames that came and that did not."""
    unrecorded: str = ""
    """Why the black box records nothing."""
    refused: str = ""
    """Why the configuration file was refused at the last reload."""
    witnesses: Sequence[WitnessState] = ()
    undelivered: Mapping[str, str] = field(default_factory=dict)
    """By [[alert]]: why it does not get through."""
    drills: Mapping[str, Any] = field(default_factory=dict)
    """What is under way, what this node carries for it, and what was proven when."""
    unpractised: Sequence[dict[str, str]] = ()
    """What should have been proven by a drill, as alarms."""


def coded(reason: Reason) -> dict[str, str]:
    """A reason as data."""
    return {"code": reason.code, "text": reason.text}


def peer_text(state: State) -> str:
    """Why nothing can be expected of the peer, which is not Alive."""
    if isinstance(state.pair, Left):
        return "the peer's agent was stopped in good order"
    return f"the peer is not there ({type(state.pair).__name__.lower()})"


def active_somewhere(state: State, group: Group) -> bool:
    """Whether this node has the group, or the peer says that it has."""
    if isinstance(group.phase, Active):
        return True
    view = state.view
    there = isinstance(state.pair, Alive) and view is not None
    return there and view is not None and view.role(group.settings.name) is Role.ACTIVE


def readings(sources: Sources, group: Group) -> Mapping[str, Reading]:
    """The last look at each resource of the group, by name."""
    index = sources.state.groups.index(group)
    return sources.readings[index] if index < len(sources.readings) else {}
