# SPDX-License-Identifier: GPL-2.0-or-later
"""S2 e: the peer's end is proved by its promise, its silence, and witnesses that kept faith."""

from __future__ import annotations

import asyncio
import time

import pytest
from witness.loop import looped

from haagent import outwaiting
from haagent.core.settings import S
from haagent.feeding import outwait_ns
from haagent.outwaiting import Outwaiting, proved
from haagent.witness.panel import Kept, Panel

UNFED_S = 30
NEED_NS = outwait_ns(UNFED_S)
LONG_AGO_NS = time.monotonic_ns() - 10 * NEED_NS


@pytest.mark.parametrize(
    ("kept", "heard_ns", "is_proof"),
    [
        (Kept(5 * S, 5 * S + NEED_NS), 4 * S, True),
        (Kept(5 * S, 5 * S + NEED_NS - 1), 4 * S, False),
        (Kept(5 * S, 5 * S + NEED_NS), 6 * S, False),
        (Kept(5 * S, 6 * S + NEED_NS), 6 * S, True),
    ],
)
def test_time_counts_from_the_later_of_both_losses(
    kept: Kept, heard_ns: int, *, is_proof: bool
) -> None:
    """Neither the silence alone nor the consent alone is long enough."""
    assert proved(kept, heard_ns, NEED_NS) is is_proof


def panel(kept: Kept | None) -> Panel:
    """Witnesses that have said so."""
    made = Panel((), second=True)
    made.kept = kept
    return made


def waiting(of: Panel, *, allowed: bool = True, unfed_s: int = UNFED_S) -> Outwaiting:
    """For a peer that was heard long ago, and promised that."""
    made = Outwaiting(of, lambda: LONG_AGO_NS, allowed=allowed)
    made.peer_unfed_s = unfed_s
    return made


DONE = Kept(LONG_AGO_NS, LONG_AGO_NS + NEED_NS)


@looped
async def test_proved_by_the_question_that_completes_it() -> None:
    """The moment of the proof is that of the last question, not of its answer."""
    assert await waiting(panel(DONE)).gone() == DONE.asked_ns


@looped
async def test_each_claim_is_looked_at() -> None:
    """It waits for the core's next questions, and a break of the consent begins it anew."""
    witnesses = panel(Kept(LONG_AGO_NS, LONG_AGO_NS + 1))
    task = asyncio.create_task(waiting(witnesses).gone())
    for kept in (Kept(DONE.asked_ns - 1, DONE.asked_ns), DONE):
        await asyncio.sleep(0.01)
        assert not task.done()
        witnesses.kept = kept
        witnesses.claimed.set()
    assert await task == DONE.asked_ns


@looped
async def test_consent_that_is_taken_back_proves_nothing() -> None:
    """Then the fence has failed, at once."""
    witnesses = panel(Kept(LONG_AGO_NS, LONG_AGO_NS + 1))
    task = asyncio.create_task(waiting(witnesses).gone())
    await asyncio.sleep(0.01)
    witnesses.kept = None
    witnesses.claimed.set()
    assert await task is None


@looped
async def test_nothing_is_waited_for_in_vain() -> None:
    """No promise of the peer, no watchdog of our own, or no consent: nothing can be proved."""
    assert await waiting(panel(DONE), unfed_s=0).gone() is None
    assert await waiting(panel(DONE), allowed=False).gone() is None
    assert await waiting(panel(None)).gone() is None


@looped
async def test_the_wait_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Witnesses that say no more: the fence ends unproved, some time after it could have been."""
    monkeypatch.setattr(outwaiting, "outwait_ns", lambda _: S // 50)
    monkeypatch.setattr(outwaiting, "SPARE_S", 0.01)
    assert await waiting(panel(Kept(LONG_AGO_NS, LONG_AGO_NS))).gone() is None
