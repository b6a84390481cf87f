# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold before the peer is shot; every "no" has its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from haagent.core.detector import silence_ns
from haagent.core.effects import GatherEvidence
from haagent.core.events import Consent, EvidenceGathered
from haagent.core.freshness import too_old
from haagent.core.phases import (
    Blocked,
    FenceCause,
    Fencing,
    Silent,
    Standby,
    Stuck,
    Wanting,
    Yielded,
)
from haagent.core.reasons import Reason
from haagent.core.settings import PairSettings, S
from haagent.core.state import Evidence, Group, LinkState, State
from haagent.core.synced import lacks, waits
from haagent.core.turn import Turn
from haagent.core.wire import Role

EVIDENCE_EVERY_NS = 1 * S
"""While a silent peer is not shot, the evidence is renewed this often."""
EVIDENCE_BUDGET_NS = 2 * S
"""An answer that takes longer than this is asked for anew."""
EVIDENCE_OLD_NS = 5 * S
"""An answer older than this says nothing any more."""


def ask_evidence(turn: Turn) -> None:
    """Ask for evidence unless a fresh answer is here or on its way."""
    evidence = turn.state.evidence
    if evidence is not None:
        unknown = evidence.answered_ns is None
        limit_ns = EVIDENCE_BUDGET_NS if unknown else EVIDENCE_EVERY_NS
        if turn.now_ns - evidence.asked_ns < limit_ns:
            return
    attempt = turn.attempt()
    if evidence is None:
        turn.set(evidence=Evidence(turn.now_ns, attempt))
    else:
        # The last answer stands until the next one, so that a silent hour has no gaps in it.
        turn.set(evidence=replace(evidence, asked_ns=turn.now_ns, attempt=attempt))
    asks = turn.state.settings.witnessed and _claims(turn.state, turn.now_ns)
    terms = tuple(known_term(turn.state, group) for group in turn.state.groups) if asks else ()
    turn.emit(GatherEvidence(attempt, terms))


def _claims(state: State, now_ns: int) -> bool:
    """Whether the witnesses are asked for their consent.

    While we have it they do not stand by the peer, which may be reset for that (S2 e). So it is
    not kept by a node that shoots nobody, for whatever other reason.
    """
    if isinstance(state.pair, Fencing):
        return True
    if not gains(state) or standing_reasons(state, now_ns):
        return False
    evidence, silent_ns = state.evidence, silence_ns(state, now_ns)
    cause = state.pair.cause if isinstance(state.pair, Silent) else FenceCause.SILENCE
    if evidence is None or evidence.answered_ns is None:
        return True
    return not _seen_reasons(state, evidence, cause, silent_ns)


def take_evidence(turn: Turn, event: EvidenceGathered) -> None:
    """An answer; one to an older question is ignored (S4)."""
    evidence = turn.state.evidence
    if evidence is None or evidence.attempt != event.attempt:
        return
    turn.set(
        evidence=replace(
            evidence,
            answered_ns=evidence.asked_ns,
            connected=event.connected,
            serving=event.serving,
            vip_answered=event.vip_answered,
            consent=event.consent,
        )
    )


def recent_fences(state: State, now_ns: int) -> tuple[int, ...]:
    """The power-offs ordered within the window (S10)."""
    window_ns = state.settings.timing.fence_window_ns
    return tuple(at_ns for at_ns in state.fences_ns if now_ns - at_ns < window_ns)


def connected(state: State) -> bool:
    """S6: this node is not cut off, judged by switched links and references only."""
    reachable = state.evidence is not None and state.evidence.connected
    return reachable and state.cut_off_ns is None


def without_carrier(settings: PairSettings, links: Sequence[LinkState]) -> bool:
    """There are switched links and none of them has a carrier; a direct cable says nothing."""
    carriers = [link.carrier for link, of in zip(links, settings.links, strict=True) if of.switched]
    return bool(carriers) and not any(carriers)


def configuration_agrees(state: State) -> bool:
    """Both nodes run the same configuration, as far as the peer was heard at all."""
    view = state.view
    return view is None or view.body.configuration_hash == state.settings.configuration_hash


def barred(state: State, group: Group) -> Reason | None:
    """Why this node may not take the group, whatever grant it has; None if it may."""
    name, orders = group.settings.name, state.orders
    if name in orders.stopped:
        return Reason.GROUP_STOPPED
    if name in orders.frozen:
        return Reason.GROUP_FROZEN
    if orders.away[state.settings.me]:
        return Reason.NODE_STANDBY
    if state.now_ns >= group.accept_loss_until_ns:
        if group.settings.sync and lacks(state, group):
            return Reason.NOT_IN_SYNC
        if not group.settings.sync and too_old(state, group):
            return Reason.DATA_TOO_OLD
    return None


def known_term(state: State, group: Group) -> int:
    """The highest term of the group that either node was heard to use."""
    theirs = state.view.group(group.settings.name) if state.view else None
    return max(group.term, theirs.term, theirs.attempt_term) if theirs else group.term


def gainable(state: State, group: Group) -> bool:
    """Whether we could start the group if the peer were proved off."""
    return isinstance(group.phase, Standby | Wanting | Yielded) and barred(state, group) is None


def standing_reasons(state: State, now_ns: int) -> list[Reason]:
    """What would forbid a fence whatever the peer does: status shows these all day."""
    reasons = []
    if state.orders.maintenance:
        reasons.append(Reason.MAINTENANCE)
    if not configuration_agrees(state):
        reasons.append(Reason.CONFIGURATION_DIFFERS)
    if state.stopping is not None:
        reasons.append(Reason.STOPPING)
    if state.distrusted:
        reasons.append(Reason.FENCE_DISTRUSTED)
    if len(recent_fences(state, now_ns)) >= state.settings.timing.max_fences:
        reasons.append(Reason.TOO_MANY_FENCES)
    return reasons


def fence_reasons(state: State, cause: FenceCause, now_ns: int) -> tuple[Reason, ...]:
    """Every gate that says no to shooting the peer now; none means shoot.

    Source: design, section 2 (S5, S6, S8, S9, S10) and section 3, step 4.
    """
    reasons = standing_reasons(state, now_ns)
    if cause is FenceCause.ASKED:
        # The peer itself asks, in an authentic frame: nothing has to be guessed (S7).
        # Should both ask, the second node leaves the shooting to the first (S9).
        if state.settings.me == 1 and any(isinstance(g.phase, Stuck) for g in state.groups):
            reasons.append(Reason.FENCE_DELAY)
        return tuple(reasons)
    if not gains(state) and not (cause is FenceCause.SILENCE and waits(state, now_ns)):
        reasons += sorted(_kept_from_us(state)) or [Reason.NOTHING_TO_GAIN]
    silent_ns = silence_ns(state, now_ns)
    if cause is FenceCause.SILENCE and silent_ns < state.settings.timing.dead_after_ns:
        reasons.append(Reason.STALLED)
    if cause is FenceCause.ALONE and now_ns - state.quiet_from_ns < (
        state.settings.timing.dead_after_ns
    ):
        reasons.append(Reason.STALLED)
    reasons += _evidence_reasons(state, cause, silent_ns)
    return tuple(reasons)


def gains(state: State) -> bool:
    """Whether any group could be started here if the peer were proved off."""
    return any(gainable(state, group) for group in state.groups)


def _kept_from_us(state: State) -> set[Reason]:
    """Why the groups that do not run here could not be started here."""
    blocked = {g.phase.reason for g in state.groups if isinstance(g.phase, Blocked)}
    waiting = (g for g in state.groups if isinstance(g.phase, Standby | Wanting | Yielded))
    return blocked | {bar for group in waiting if (bar := barred(state, group)) is not None}


def leaves_first_shot(state: State) -> bool:
    """S9: each node lacks a group, so each would shoot, and this is the second one.

    Its delay is counted from the moment at which no other gate says no: gates may open for both
    nodes at once, long after the silence began. Where the witnesses chose us, nobody waits.
    """
    chosen = state.evidence is not None and state.evidence.consent is Consent.WON
    return state.settings.me == 1 and not chosen and _both_gain(state)


def _evidence_reasons(state: State, cause: FenceCause, silent_ns: int) -> list[Reason]:
    evidence = state.evidence
    answered_ns = None if evidence is None else evidence.answered_ns
    if evidence is None or answered_ns is None or state.now_ns - answered_ns >= EVIDENCE_OLD_NS:
        return [Reason.EVIDENCE_PENDING]
    reasons = _seen_reasons(state, evidence, cause, silent_ns)
    if reasons and evidence.consent is Consent.UNASKED:
        return reasons  # They were not asked because of these.
    return _witness_reasons(state.settings, evidence.consent) + reasons


def _seen_reasons(
    state: State, evidence: Evidence, cause: FenceCause, silent_ns: int
) -> list[Reason]:
    """What a node sees for itself."""
    reasons = []
    if not connected(state):
        reasons.append(Reason.ISOLATED)
    if cause is FenceCause.ALONE and evidence.vip_answered:
        reasons.append(Reason.VIP_ANSWERS)
    if evidence.serving and silent_ns < state.settings.timing.serving_grace_ns:
        reasons.append(Reason.STILL_SERVING)
    return reasons


def _witness_reasons(settings: PairSettings, consent: Consent) -> list[Reason]:
    """S2 e: where there are witnesses, they must agree; an answer without them is none."""
    if not settings.witnessed or consent in {Consent.WON, Consent.AGREED}:
        return []
    if consent is Consent.UNASKED:
        return [Reason.EVIDENCE_PENDING]
    refused = consent is Consent.REFUSED
    return [Reason.WITNESS_REFUSES if refused else Reason.WITNESS_UNREACHABLE]


def _both_gain(state: State) -> bool:
    """S9: each node lacks a group, so each would shoot."""
    if state.view is None or any(isinstance(group.phase, Wanting) for group in state.groups):
        return True  # What we asked for the peer may have let go, unheard.
    holds = {Role.ACTIVE, Role.TAKING_OVER}
    return any(report.role not in holds for report in state.view.body.groups)
