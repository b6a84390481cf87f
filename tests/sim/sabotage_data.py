# SPDX-License-Identifier: GPL-2.0-or-later
"""Broken care for what was acknowledged (S11)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from haagent.core import gates, synced
from haagent.core.state import Group, State
from haagent.core.turn import Turn

from .patching import patched


@contextmanager
def commits_alone_unproved() -> Iterator[None]:
    """S11 broken: commits go on alone as soon as the peer gets none, whatever it was told."""
    right = synced.advance

    def advance(turn: Turn, index: int) -> None:
        sync = turn.group(index).sync
        turn.change(index, sync=replace(sync, stale=True))
        right(turn, index)

    with patched(synced, "advance", advance):
        yield


@contextmanager
def believes_old_answers() -> Iterator[None]:
    """S11 broken: any word of the standby's counts, also one to an earlier number (S4)."""

    def disowned(state: State, group: Group) -> bool:
        theirs = state.view.group(group.settings.name) if state.view else None
        return theirs is not None and not theirs.complete

    with patched(synced, "_disowned", disowned):
        yield


@contextmanager
def forgets_what_it_lacks() -> Iterator[None]:
    """S11 broken: a standby takes over whether or not it was told that it is complete."""

    def lacks(_state: State, _group: Group) -> bool:
        return False

    with patched(gates, "lacks", lacks):
        yield
