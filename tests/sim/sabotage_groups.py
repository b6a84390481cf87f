# SPDX-License-Identifier: GPL-2.0-or-later
"""Broken groups: their stops, moves and resources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from haagent.core import gates, groups, moves
from haagent.core import step as core
from haagent.core.events import (
    Event,
    GroupStopFailed,
    GroupStopped,
)
from haagent.core.state import Group, State, Step
from haagent.core.turn import Turn
from haagent.resources.health import Health, Nothing

from . import service
from .patching import patched


@contextmanager
def believes_failed_stops() -> Iterator[None]:
    """S7 broken: a group whose stop failed counts as stopped."""
    right = core.step

    def step(state: State, event: Event, now_ns: int) -> Step:
        if isinstance(event, GroupStopFailed):
            event = GroupStopped(event.group, event.attempt)
        return right(state, event, now_ns)

    with patched(core, "step", step):
        yield


@contextmanager
def takes_up_what_may_run() -> Iterator[None]:
    """ADR 0003 broken: monitors are believed when they say that a group runs here already."""

    def found(this: service.Service) -> bool:
        return this._may_run(0) > 0

    with patched(service.Service, "found", found):
        yield


@contextmanager
def moves_without_end() -> Iterator[None]:
    """A group is moved however often it has been moved already."""

    def restless(_group: Group, _now_ns: int) -> bool:
        return False

    with patched(moves, "restless", restless):
        yield


@contextmanager
def trusts_the_unknown() -> Iterator[None]:
    """Holds data to what the peer said last, and to nothing if that was "unknown"."""

    def too_old(state: State, group: Group) -> bool:
        limit, theirs = group.settings.max_lag, state.view and state.view.group(group.settings.name)
        if limit is None or not theirs or theirs.position < 0:
            return False
        return theirs.position - group.position > limit

    with patched(gates, "too_old", too_old):
        yield


@contextmanager
def forgets_the_frozen() -> Iterator[None]:
    """Decides as if no group were frozen."""
    right = core.step

    def step(state: State, event: Event, now_ns: int) -> Step:
        thawed = replace(state.orders, frozen=frozenset())
        done = right(replace(state, orders=thawed), event, now_ns)
        if done.state.orders == thawed:
            done = replace(done, state=replace(done.state, orders=state.orders))
        return done

    with patched(core, "step", step):
        yield


@contextmanager
def bears_losses() -> Iterator[None]:
    """A group that was lost here stays here, as it is."""

    def lost(_turn: Turn, _index: int, _detail: str) -> None:
        pass

    with patched(groups, "lost", lost):
        yield


@contextmanager
def mends_nothing() -> Iterator[None]:
    """What the monitors say leads to nothing."""

    def judge(health: Health, *_: Any) -> tuple[Health, Nothing]:
        return health, Nothing()

    with patched(service, "judge", judge):
        yield


@contextmanager
def starts_nothing() -> Iterator[None]:
    """Nobody goes first at a joint start: no service, for ever."""

    def goes_first(_state: State, _group: Group, _theirs: Any) -> bool:
        return False

    with patched(groups, "goes_first", goes_first):
        yield
