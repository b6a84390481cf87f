# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of the pair: from hearing the peer to proving it off, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from fencing import FenceOutcome
from haagent.core.detector import Heard, hear, silence_ns
from haagent.core.effects import AbandonFence, Announce, Fence, PowerOn
from haagent.core.events import Consent, FenceFinished, PeerHeard, PowerOnFinished, StopKind
from haagent.core.gates import (
    ask_evidence,
    fence_reasons,
    gains,
    leaves_first_shot,
    recent_fences,
)
from haagent.core.phases import (
    Active,
    Alive,
    FenceCause,
    Fenced,
    Fencing,
    Grant,
    Left,
    PairPhase,
    PoweringOn,
    Proof,
    Releasing,
    Silent,
    Starting,
    Stuck,
    Suspect,
    TakingOver,
    Unheard,
)
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S
from haagent.core.state import State
from haagent.core.turn import Turn
from haagent.core.wire import Role

IN_FLIGHT_NS = 50 * MS
"""Frames sent before the power went may still arrive this long after it was read off."""
FENCED_HOLD_NS = 30 * S
"""A peer proved off is kept off at most this long for groups that do not start here."""
REBOOT_NS = 300 * S
"""A server that was given its power back and is not heard for so long does not come back."""
POWER_ON_TRIES_MAX = 5
"""Then a person must look: power is not forced on a machine that is being repaired."""


def peer_heard(turn: Turn, event: PeerHeard) -> None:
    """A frame: whatever it does to the phase, hearsay is taken in first."""
    heard = hear(turn, event)
    if heard in {Heard.REFUSED, Heard.STRANGER}:
        return
    phase = turn.state.pair
    match phase:
        case Alive():
            pass
        case Left():
            if heard is Heard.ADOPTED:
                turn.pair(Alive(turn.now_ns))
        case Unheard() | PoweringOn():
            if phase.fenced_ns is not None:
                if event.heard_ns <= phase.fenced_ns + IN_FLIGHT_NS:
                    return
                if heard is Heard.COUNTED:
                    # S8: the very incarnation that the hardware swore to have killed.
                    turn.set(distrusted=True)
            _welcome(turn)
        case Suspect() | Silent():
            _welcome(turn)
        case Fencing():
            if phase.cause is FenceCause.ASKED and event.frame.body.fence_me:
                return
            turn.emit(AbandonFence(phase.attempt))
            _welcome(turn)
        case Fenced():
            _heard_while_fenced(turn, phase, heard, event)
        case _:
            assert_never(phase)


def _heard_while_fenced(turn: Turn, phase: Fenced, heard: Heard, event: PeerHeard) -> None:
    """S8: life after the proof voids the proof; a takeover not yet begun is given up."""
    if phase.proof is Proof.FORCED:
        return
    if event.heard_ns <= phase.read_ns + IN_FLIGHT_NS:
        return
    served = {Role.ACTIVE, Role.TAKING_OVER}
    holding = any(report.role in served for report in event.frame.body.groups)
    if phase.proof.by_device and (heard is Heard.COUNTED or holding):
        turn.set(distrusted=True)
    _welcome(turn)


def _welcome(turn: Turn) -> None:
    """Frames are back: the network is told anew where the addresses are."""
    turn.pair(Alive(turn.now_ns))
    for index, group in enumerate(turn.state.groups):
        if isinstance(group.phase, Active):
            turn.emit(Announce(index))


def fence_finished(turn: Turn, event: FenceFinished) -> None:
    """S3: only CONFIRMED_OFF is proof. S4: only of the attempt we wait for."""
    phase = turn.state.pair
    if not isinstance(phase, Fencing) or phase.attempt != event.attempt:
        return
    if event.outcome is FenceOutcome.CONFIRMED_OFF:
        read_ns = turn.now_ns if event.read_ns is None else event.read_ns
        turn.pair(Fenced(turn.now_ns, Proof.HARDWARE, read_ns))
        return
    if event.outcome is FenceOutcome.FAILED:
        # No order left this machine, so nothing violent happened that S10 had to count.
        turn.set(fences_ns=turn.state.fences_ns[:-1])
    retry_ns = turn.now_ns + turn.timing.fence_retry_ns
    if phase.cause is FenceCause.ASKED:
        turn.pair(Alive(turn.now_ns, fence_retry_ns=retry_ns))
    else:
        reasons = (Reason.FENCE_UNCONFIRMED,)
        turn.pair(Silent(turn.now_ns, phase.cause, reasons, retry_ns))


def power_on_finished(turn: Turn, event: PowerOnFinished) -> None:
    """Its failure undoes nothing: the takeover stands, the order is repeated."""
    phase = turn.state.pair
    if not isinstance(phase, PoweringOn) or phase.attempt != event.attempt:
        return
    if event.ok or phase.tries >= POWER_ON_TRIES_MAX:
        turn.pair(Unheard(turn.now_ns, fenced_ns=phase.fenced_ns))
        turn.persist()  # Nothing is owed any more.
    else:
        retry_ns = turn.now_ns + turn.timing.power_on_retry_ns
        turn.pair(replace(phase, attempt=None, retry_ns=retry_ns))


def advance(turn: Turn) -> None:
    """What time and the groups' phases make of the pair's phase."""
    before = turn.state.pair
    _advance(turn, before)
    if type(turn.state.pair) is not type(before):
        turn.set(wake_ns=turn.now_ns)


def _advance(turn: Turn, phase: PairPhase) -> None:
    match phase:
        case Unheard():
            _unheard(turn, phase)
        case Alive():
            _alive(turn, phase)
        case Suspect():
            ask_evidence(turn)
            if silence_ns(turn.state, turn.now_ns) >= turn.timing.dead_after_ns:
                _silent(turn, Silent(turn.now_ns, FenceCause.SILENCE))
        case Silent():
            _silent(turn, phase)
        case Fencing():
            _fencing(turn, phase)
        case Left():
            pass
        case Fenced():
            _fenced(turn, phase)
        case PoweringOn():
            if phase.attempt is None and turn.now_ns >= phase.retry_ns and turn.may_strike:
                _power_on(turn, phase.fenced_ns, phase.tries)
        case _:
            assert_never(phase)


def _unheard(turn: Turn, phase: Unheard) -> None:
    """S5: start nothing; only a configured lone start ever shoots at a peer never heard."""
    alone_ns = turn.now_ns - max(phase.since_ns, turn.state.quiet_from_ns)
    patience_ns = turn.timing.lone_start_after_ns
    if phase.fenced_ns is not None and gains(turn.state):
        # We shot it ourselves and could not start then; it did not come back (S5 is satisfied).
        patience_ns = REBOOT_NS if patience_ns is None else min(patience_ns, REBOOT_NS)
    if patience_ns is not None and alone_ns >= patience_ns:
        turn.set(evidence=None)
        cause = FenceCause.ALONE if turn.state.view is None else FenceCause.SILENCE
        turn.pair(Silent(turn.now_ns, cause))


def _alive(turn: Turn, phase: Alive) -> None:
    view = turn.state.view
    assert view is not None
    body = view.body
    if body.leaving and not any(report.role.holds for report in body.groups):
        turn.pair(Left(turn.now_ns))
    elif (
        body.fence_me
        and turn.now_ns >= phase.fence_retry_ns
        and not fence_reasons(turn.state, FenceCause.ASKED, turn.now_ns)
        and turn.may_strike
    ):
        _fence(turn, FenceCause.ASKED)
    elif silence_ns(turn.state, turn.now_ns) >= turn.timing.suspect_after_ns:
        turn.set(evidence=None)
        turn.pair(Suspect(turn.now_ns))
        ask_evidence(turn)


def _silent(turn: Turn, phase: Silent) -> None:
    """The gates; while one says no it is named, and the evidence is kept fresh."""
    ask_evidence(turn)
    reasons = fence_reasons(turn.state, phase.cause, turn.now_ns)
    if not reasons and turn.now_ns < phase.retry_ns:
        reasons = (Reason.FENCE_UNCONFIRMED,)
    clear_ns = None
    if not reasons:
        clear_ns = turn.now_ns if phase.clear_ns is None else phase.clear_ns
        if leaves_first_shot(turn.state) and turn.now_ns < clear_ns + turn.timing.fence_delay_ns:
            reasons = (Reason.FENCE_DELAY,)
    if not reasons and turn.may_strike:
        _fence(turn, phase.cause)
        return
    named = replace(phase, reasons=reasons, clear_ns=clear_ns)
    if named != phase or turn.state.pair is not phase:
        turn.pair(named)


def _fence(turn: Turn, cause: FenceCause) -> None:
    """S10: the order is remembered before it is given, also across a restart of the agent."""
    recent = recent_fences(turn.state, turn.now_ns)
    turn.set(fences_ns=(*recent, turn.now_ns))
    attempt = turn.attempt()
    turn.pair(Fencing(turn.now_ns, attempt, cause))
    turn.persist()
    turn.emit(Fence(attempt))


def _fencing(turn: Turn, phase: Fencing) -> None:
    """S2 e: a node from which the witnesses took their consent back gives no further order."""
    if not turn.state.settings.witnessed or phase.cause is FenceCause.ASKED:
        return
    ask_evidence(turn)
    evidence = turn.state.evidence
    if evidence is not None and evidence.consent is Consent.REFUSED:
        turn.emit(AbandonFence(phase.attempt))
        retry_ns = turn.now_ns + turn.timing.fence_retry_ns
        turn.pair(Silent(turn.now_ns, phase.cause, (Reason.WITNESS_REFUSES,), retry_ns))


def _fenced(turn: Turn, phase: Fenced) -> None:
    """The peer stays off until the takeover is complete, or cannot be completed here."""
    if turn.state.distrusted and phase.proof.by_device:
        # S8: somebody answered for an address; the proof is void.
        turn.pair(Silent(turn.now_ns, FenceCause.SILENCE, (Reason.FENCE_DISTRUSTED,)))
        return
    phases = [group.phase for group in turn.state.groups]
    if any(isinstance(group, TakingOver) for group in phases):
        return
    settled = all(
        isinstance(group, Active | Releasing | Stuck)
        or (isinstance(group, Starting) and group.failing)
        for group in phases
    )
    leaving = turn.state.stopping is StopKind.LEAVE
    if not settled and not leaving and turn.now_ns - phase.since_ns < FENCED_HOLD_NS:
        return
    if phase.proof is not Proof.HARDWARE:
        turn.pair(Unheard(turn.now_ns))
    elif turn.may_strike:
        _power_on(turn, phase.read_ns, 0)


def _power_on(turn: Turn, fenced_ns: int | None, tries: int) -> None:
    attempt = turn.attempt()
    turn.emit(PowerOn(attempt))
    turn.pair(PoweringOn(turn.now_ns, fenced_ns, attempt, tries + 1, turn.now_ns))


def proved_by_device(state: State, phase: TakingOver | Starting) -> bool:
    """Whether a fence device answers for this takeover."""
    if not isinstance(phase, TakingOver) or phase.grant is not Grant.PEER_OFF:
        return False
    return isinstance(state.pair, Fenced) and state.pair.proof.by_device
