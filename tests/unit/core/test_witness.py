# SPDX-License-Identifier: GPL-2.0-or-later
"""S2 e: where there are witnesses, nobody is shot without their consent, and who won it shoots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.harness import Bench, active, says, standby
from fencing import FenceOutcome
from haagent.core.effects import AbandonFence, Fence, GatherEvidence
from haagent.core.events import Consent, EvidenceGathered, MaintenanceAsked
from haagent.core.phases import FenceCause, Fenced, Fencing, Silent
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S
from haagent.core.wire import GroupReport, Role

GOES = [Consent.WON, Consent.AGREED]
STOPS = [
    (Consent.REFUSED, Reason.WITNESS_REFUSES),
    (Consent.UNREACHABLE, Reason.WITNESS_UNREACHABLE),
    (Consent.UNASKED, Reason.EVIDENCE_PENDING),
]
SPLIT = (says(Role.ACTIVE, term=4), says(Role.STANDBY, name="mail", term=2))
"""The peer holds one group, and could gain the other."""


def silent(
    consent: Consent,
    *,
    reports: tuple[GroupReport, ...] = (),
    groups: tuple[str, ...] = ("web",),
) -> Bench:
    """Node 1, a standby with witnesses, whose peer fell silent; and what they said."""
    bench = standby(*reports, witnessed=True, groups=groups)
    bench.pass_time(450 * MS)
    bench.answer_evidence(consent=consent)
    return bench


@pytest.mark.parametrize("consent", GOES)
def test_consent_lets_the_fence_go(consent: Consent) -> None:
    """S2 e: with the witnesses' consent the fence goes at dead_after, not later."""
    bench = silent(consent)
    bench.pass_time(600 * MS)
    bench.in_pair(Fencing)


@pytest.mark.parametrize(("consent", "reason"), STOPS)
def test_no_consent_is_named(consent: Consent, reason: Reason) -> None:
    """S2 e: refused, unreachable, or never asked: no fence, however long the silence, by name."""
    bench = silent(consent)
    bench.watch(20 * S, consent=consent)
    assert bench.in_pair(Silent).reasons == (reason,)
    assert bench.count(Fence) == 0
    bench.watch(2 * S, consent=Consent.WON)
    bench.in_pair(Fencing)


def test_without_witnesses_nobody_is_asked() -> None:
    """A pair without witnesses asks none, and their silence keeps it from nothing."""
    bench = standby()
    bench.pass_time(450 * MS)
    assert bench.asked(GatherEvidence).terms == ()
    bench.answer_evidence(consent=Consent.REFUSED)
    bench.pass_time(600 * MS)
    bench.in_pair(Fencing)
    bench.watch(5 * S, consent=Consent.REFUSED)
    bench.in_pair(Fencing)


def test_witnesses_are_asked_by_the_highest_known_terms() -> None:
    """The lock is a compare-and-swap on these: the peer's frames count, also its open asking."""
    asks = says(Role.WANTING, name="mail", term=2, attempt=1, attempt_term=7)
    bench = standby(says(Role.ACTIVE, term=4), asks, witnessed=True, groups=("web", "mail"))
    bench.pass_time(450 * MS)
    assert bench.asked(GatherEvidence).terms == (4, 7)


def test_who_gains_nothing_asks_no_witness() -> None:
    """S9: a holder of everything must not win the lock from the standby that needs it."""
    bench = active(witnessed=True)
    bench.pass_time(450 * MS)
    assert bench.asked(GatherEvidence).terms == ()


def test_who_shoots_nobody_asks_no_witness() -> None:
    """S2 e: a consent that is kept for nothing could cost the peer, who serves, its life."""
    unfit: tuple[dict[str, Any], ...] = ({"connected": False}, {"serving": True})
    for facts in unfit:
        bench = standby(witnessed=True)
        bench.pass_time(450 * MS)
        bench.answer_evidence(consent=Consent.WON, **facts)
        bench.watch(3 * S, **facts)
        assert bench.asked(GatherEvidence).terms == (), facts
        assert Reason.EVIDENCE_PENDING not in bench.in_pair(Silent).reasons
        bench.watch(3 * S, consent=Consent.WON)
        bench.in_pair(Fencing)


def test_maintenance_asks_no_witness() -> None:
    """S2 e: nobody is shot in maintenance, so nobody shall be left alone by the witnesses."""
    bench = standby(witnessed=True)
    bench.feed(MaintenanceAsked(1, on=True))
    bench.watch(3 * S)
    assert bench.asked(GatherEvidence).terms == ()


def test_the_fence_keeps_what_it_was_given() -> None:
    """S2 e: once shots are under way the consent is asked for on, whatever else is seen."""
    bench = silent(Consent.WON)
    bench.pass_time(600 * MS)
    bench.watch(3 * S, consent=Consent.WON, connected=False)
    bench.in_pair(Fencing)
    assert bench.asked(GatherEvidence).terms == (1,)


def test_lone_start_that_sees_the_address_answer_asks_no_witness() -> None:
    """S2 e, S5: somebody serves; it is not to be left alone for a node that starts nothing."""
    bench = standby(witnessed=True)
    alone = Silent(bench.now_ns, FenceCause.ALONE)
    bench.state = replace(bench.state, view=None, pair=alone)
    bench.watch(3 * S, vip_answered=True, consent=Consent.UNASKED)
    assert bench.asked(GatherEvidence).terms == ()


def test_winner_shoots_at_once() -> None:
    """S9: where both would gain, the node that won does not wait, be it the second one."""
    bench = silent(Consent.WON, groups=("web", "mail"), reports=SPLIT)
    bench.pass_time(600 * MS)
    bench.in_pair(Fencing)


def test_consent_that_the_peer_may_have_too_waits() -> None:
    """S9: a consent that both may have separates nobody: the second node waits fence_delay."""
    bench = silent(Consent.AGREED, groups=("web", "mail"), reports=SPLIT)
    bench.watch(2 * S, consent=Consent.AGREED)
    assert bench.in_pair(Silent).reasons == (Reason.FENCE_DELAY,)
    bench.watch(3 * S, consent=Consent.AGREED)
    bench.in_pair(Fencing)


def test_refusal_in_the_middle_ends_the_fence() -> None:
    """S2 e: a lock lost to the peer while the fence runs: no further order leaves this machine."""
    bench = silent(Consent.WON)
    bench.pass_time(600 * MS)
    attempt = bench.in_pair(Fencing).attempt
    bench.watch(2 * S, consent=Consent.REFUSED)
    assert bench.asked(AbandonFence).attempt == attempt
    assert bench.in_pair(Silent).reasons == (Reason.WITNESS_REFUSES,)
    bench.finish_fence()
    bench.in_pair(Silent)  # S4: that attempt is over.


def test_witness_lost_in_the_middle_changes_nothing() -> None:
    """A fence that was agreed to goes on without a word of the witnesses, and its proof counts."""
    bench = silent(Consent.WON)
    bench.pass_time(600 * MS)
    bench.watch(5 * S, consent=Consent.UNREACHABLE)
    bench.in_pair(Fencing)
    assert bench.count(AbandonFence) == 0
    bench.finish_fence(FenceOutcome.CONFIRMED_OFF)
    bench.in_pair(Fenced)


def test_fence_that_the_peer_asks_for_needs_no_witness() -> None:
    """S7: its own authentic word is more than any witness could say, before and in the fence."""
    bench = standby(witnessed=True)
    bench.hear(says(Role.STUCK, term=1), fence_me=True)
    bench.in_pair(Fencing)
    bench.pass_time(300 * MS, says(Role.STUCK, term=1), fence_me=True)
    bench.in_pair(Fencing)
    assert bench.count(GatherEvidence) == 0


def test_late_refusal_of_an_older_question_changes_nothing() -> None:
    """S4: only the answer to the newest question counts, also in the middle of a fence."""
    bench = silent(Consent.WON)
    old = bench.asked(GatherEvidence).attempt
    bench.pass_time(600 * MS)
    bench.feed(
        EvidenceGathered(
            old - 1, connected=True, serving=False, vip_answered=False, consent=Consent.REFUSED
        )
    )
    bench.in_pair(Fencing)
