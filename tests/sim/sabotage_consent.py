# SPDX-License-Identifier: GPL-2.0-or-later
"""Broken consent (S2 e): of the witnesses to a takeover, and of who feeds a watchdog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from haagent import feeding
from haagent.core import gates, pair
from haagent.core.events import (
    Consent,
)
from haagent.core.phases import Fencing
from haagent.core.reasons import Reason
from haagent.core.settings import S
from haagent.core.turn import Turn
from haagent.core.wire import Frame
from haagent.feeding import FeedingRight

from . import witness
from .patching import patched


@contextmanager
def asks_no_witness() -> Iterator[None]:
    """S2 e broken: shoots whatever the witnesses say."""

    def witness_reasons(_settings: Any, _consent: Any) -> list[Reason]:
        return []

    with patched(gates, "_witness_reasons", witness_reasons):
        yield


@contextmanager
def shoots_on_after_a_refusal() -> Iterator[None]:
    """S2 e broken: a fence once begun is nobody's business any more."""

    def fencing(_turn: Turn, _phase: Fencing) -> None:
        pass

    with patched(pair, "_fencing", fencing):
        yield


@contextmanager
def lock_for_everybody() -> Iterator[None]:
    """S9 broken: the witnesses choose both nodes."""
    right = witness.Witness.claim

    def claim(this: witness.Witness, agent: Any) -> Consent:
        reached = this.reached_by(agent) and this.plan.chooses and not this.plan.ignored
        return Consent.WON if reached else right(this, agent)

    with patched(witness.Witness, "claim", claim):
        yield


@contextmanager
def feeds_on() -> Iterator[None]:
    """S2 e broken: the watchdog is fed with or without a right to."""

    def lasts(_right: FeedingRight, _now_ns: int) -> bool:
        return True

    with patched(FeedingRight, "lasts", lasts):
        yield


@contextmanager
def takes_hearing_for_being_heard() -> Iterator[None]:
    """S2 e broken: a frame of the peer gives the right to feed, whatever it says that it heard."""

    def heard(right: FeedingRight, _frame: Frame) -> None:
        if right._sent:
            right.agreed(right._sent[-1][1])

    with patched(FeedingRight, "heard", heard):
        yield


@contextmanager
def waits_too_short() -> Iterator[None]:
    """S2 e broken: the peer's watchdog is given its bare timeout."""
    with patched(feeding, "outwait_ns", lambda _unfed_s: 2 * S):
        yield
