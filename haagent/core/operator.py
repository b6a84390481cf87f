# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator may ask for, and the end of the agent."""

from __future__ import annotations

from haagent.core import groups, stops
from haagent.core.effects import AbandonFence, Exit, GatherEvidence, Reply
from haagent.core.events import (
    ConfirmOffAsked,
    EvidenceGathered,
    OffProved,
    StopAsked,
    StopKind,
    SwitchoverAsked,
)
from haagent.core.gates import barred, configuration_agrees
from haagent.core.pair import IN_FLIGHT_NS
from haagent.core.phases import (
    HOLDING,
    Active,
    Alive,
    Fenced,
    Fencing,
    PoweringOn,
    Proof,
    Releasing,
    Standby,
    Starting,
    TakingOver,
    Wanting,
)
from haagent.core.reasons import Reason
from haagent.core.settings import S
from haagent.core.state import Group, State
from haagent.core.turn import Turn
from haagent.core.wire import AGE_NEVER_MS, Role
from haagent.core.wishes import Confirming, Switchover

SWITCHOVER_NS = 30 * S
"""A hand-over that takes longer is reported as still running."""
SWITCHOVERS_MAX = 16
STOP_BUDGET_NS = 30 * S
STOP_MARGIN_NS = 5 * S
"""An agent that is told to end does so within the first, or within the groups' stop budget and the
second, whatever hangs."""
PAUSE_MS = 10_000
"""How long the peer waits for the agent that takes up the running groups."""
PAUSE_BEATS = 4
"""The pause is announced this often before the agent ends, in case frames are lost."""
PROOF_FRESH_NS = 10 * S
"""An older reading of the console proves too little: somebody may have given the power back."""
FRAME_EVIDENCE_NS = 3 * S
"""A frame younger than this is live evidence against "the peer is off"."""
LEAVING_BEATS_NS = 1 * S
"""The farewell is repeated for so long, in case frames are lost."""


def switchover_asked(turn: Turn, event: SwitchoverAsked) -> None:
    """Check everything before anything stops, then start the hand-over in its direction."""
    state = turn.state
    everything = range(len(state.groups))
    wanted = list(everything) if event.group is None else [event.group]
    mine = [i for i in wanted if isinstance(state.groups[i].phase, Active)]
    theirs = [i for i in wanted if peer_role(state, i) is Role.ACTIVE]
    targets, to_me = (mine, False) if mine else (theirs, True)
    refusal = "no node holds the group" if not targets else None
    if refusal is None and len(state.switchovers) + len(targets) > SWITCHOVERS_MAX:
        refusal = "too many hand-overs are under way"
    for index in targets:
        refusal = refusal or _hand_over_refusal(state, index, to_me=to_me)
    if refusal is not None:
        turn.emit(Reply(event.request, ok=False, message=refusal))
        return
    if event.dry_run:
        names = ", ".join(state.groups[index].settings.name for index in targets)
        where = "here" if to_me else "to the peer"
        turn.emit(Reply(event.request, ok=True, message=f"{names}: could be moved {where} now"))
        return
    for index in targets:
        waiting = Switchover(event.request, index, to_me, turn.now_ns + SWITCHOVER_NS)
        turn.set(switchovers=(*turn.state.switchovers, waiting))
        if to_me:
            groups.want(turn, index, switchover=True)
        else:
            stops.release(turn, index)


def peer_role(state: State, index: int) -> Role | None:
    """What the peer says it is to the group; None if it says nothing."""
    return state.view.role(state.groups[index].settings.name) if state.view else None


def peer_hears_us(state: State) -> bool:
    """The peer said of at least one link that it hears us there."""
    if state.view is None:
        return False
    limit_ms = state.settings.timing.suspect_after_ns // 1_000_000
    ages = [link.age_ms for link in state.view.body.links]
    return any(age_ms != AGE_NEVER_MS and age_ms < limit_ms for age_ms in ages)


def _hand_over_refusal(state: State, index: int, *, to_me: bool) -> str | None:
    """Why the group cannot be handed over now, None when it can."""
    if state.stopping is not None:
        return Reason.STOPPING.text
    if not isinstance(state.pair, Alive):
        return "the peer is not there"
    if not configuration_agrees(state):
        return Reason.CONFIGURATION_DIFFERS.text
    if not peer_hears_us(state):
        return Reason.PEER_DOES_NOT_HEAR_US.text
    group = state.groups[index]
    if group.settings.name in state.orders.frozen:
        return Reason.GROUP_FROZEN.text
    if to_me:
        if (bar := barred(state, group)) is not None:
            return bar.text
        return None if isinstance(group.phase, Standby) else _phase_refusal(group)
    theirs = groups.report(state, index)
    if theirs is None or not theirs.promotable or theirs.role is not Role.STANDBY:
        return Reason.PEER_NOT_PROMOTABLE.text
    return None


def _phase_refusal(group: Group) -> str:
    return f"{group.settings.name} is {type(group.phase).__name__.lower()} here"


def settle_switchovers(turn: Turn) -> None:
    """Answer an operator when the last of his groups has arrived, or one is late or back."""
    waiting = turn.state.switchovers
    for request in sorted({item.request for item in waiting}):
        items = [item for item in waiting if item.request == request]
        under_way = [item for item in items if not _arrived(turn.state, item)]
        is_back = any(_is_back(turn.state, item) for item in under_way)
        if under_way and not is_back and turn.now_ns < items[0].until_ns:
            continue
        if is_back:
            became = "back here, not taken by the peer; see haagent status"
        elif under_way:
            became = "still on the way; see haagent status"
        else:
            became = "active here" if items[0].to_me else "active on the peer"
        names = ", ".join(turn.group(item.group).settings.name for item in items)
        turn.emit(Reply(request, ok=not under_way, message=f"{names}: {became}"))
        left = tuple(item for item in turn.state.switchovers if item not in items)
        turn.set(switchovers=left)


def _arrived(state: State, item: Switchover) -> bool:
    if item.to_me:
        return isinstance(state.groups[item.group].phase, Active)
    return peer_role(state, item.group) is Role.ACTIVE


def _is_back(state: State, item: Switchover) -> bool:
    """The peer could not start it, and so it was taken home."""
    return not item.to_me and isinstance(state.groups[item.group].phase, Active)


def confirm_off_asked(turn: Turn, event: ConfirmOffAsked) -> None:
    """S2 c: the operator's word, checked against every live evidence unless forced."""
    state = turn.state
    if isinstance(state.pair, Fenced):
        turn.emit(Reply(event.request, ok=True, message="the peer is proved off already"))
    elif event.force:
        _abandon(turn)
        turn.pair(Fenced(turn.now_ns, Proof.FORCED, turn.now_ns))
        message = "taken on your word against live evidence, if there was any"
        turn.emit(Reply(event.request, ok=True, message=message))
    elif _frame_evidence(state, turn.now_ns):
        message = "refused: frames of the peer arrive, so it is not off"
        turn.emit(Reply(event.request, ok=False, message=message))
    elif state.confirming is not None:
        turn.emit(Reply(event.request, ok=False, message="another confirmation is being checked"))
    else:
        attempt = turn.attempt()
        turn.set(confirming=Confirming(event.request, attempt))
        turn.emit(GatherEvidence(attempt))


def off_proved(turn: Turn, event: OffProved) -> None:
    """S2 b: the console read the peer off; as good as our own reading while that is true of it."""
    state = turn.state
    if isinstance(state.pair, Fenced):
        turn.emit(Reply(event.request, ok=True, message="the peer is proved off already"))
        return
    refusal = _proof_refusal(state, event.read_ns, turn.now_ns)
    if refusal is not None:
        turn.emit(Reply(event.request, ok=False, message=f"refused: {refusal}"))
        return
    _abandon(turn)
    turn.pair(Fenced(turn.now_ns, Proof.CONSOLE, event.read_ns))
    turn.emit(Reply(event.request, ok=True, message="the peer counts as off"))


def _proof_refusal(state: State, read_ns: int, now_ns: int) -> str | None:
    """Why the console's reading is not believed, None if it is."""
    heard = [state.stranger_heard_ns, state.view.heard_ns if state.view else None]
    if any(at_ns is not None and at_ns > read_ns + IN_FLIGHT_NS for at_ns in heard):
        return "frames of the peer arrived after it was read off"
    if not 0 <= now_ns - read_ns <= PROOF_FRESH_NS:
        return "the reading is not of the last seconds"
    if state.distrusted:
        return Reason.FENCE_DISTRUSTED.text
    if isinstance(state.pair, PoweringOn) and state.pair.attempt is not None:
        return "the agent is giving the peer its power back"
    return None


def _frame_evidence(state: State, now_ns: int) -> bool:
    """Any authentic frame counts here, also of an incarnation that does not hear us."""
    heard = [state.stranger_heard_ns, state.view.heard_ns if state.view else None]
    return any(at_ns is not None and now_ns - at_ns < FRAME_EVIDENCE_NS for at_ns in heard)


def confirm_evidence(turn: Turn, event: EvidenceGathered) -> None:
    """The virtual addresses were probed: the last live evidence that could refuse."""
    confirming = turn.state.confirming
    if confirming is None or confirming.attempt != event.attempt:
        return
    turn.set(confirming=None)
    if event.vip_answered:
        message = "refused: somebody still answers for a virtual address, or it cannot be probed"
    elif _frame_evidence(turn.state, turn.now_ns):
        message = "refused: frames of the peer arrive, so it is not off"
    else:
        _abandon(turn)
        turn.pair(Fenced(turn.now_ns, Proof.OPERATOR, turn.now_ns))
        turn.emit(Reply(confirming.request, ok=True, message="the peer counts as off"))
        return
    turn.emit(Reply(confirming.request, ok=False, message=message))


def _abandon(turn: Turn) -> None:
    if isinstance(turn.state.pair, Fencing):
        turn.emit(AbandonFence(turn.state.pair.attempt))


def stop_asked(turn: Turn, event: StopAsked) -> None:
    """The first word holds, except that leaving outranks pausing."""
    if turn.state.stopping in {StopKind.LEAVE, event.kind}:
        return
    budget_ns = max(STOP_BUDGET_NS, turn.timing.stop_budget_ns + STOP_MARGIN_NS)
    turn.set(stopping=event.kind, stop_by_ns=turn.now_ns + budget_ns, stopping_since_ns=turn.now_ns)


def settle_stopping(turn: Turn) -> None:
    """Leave when everything here is stopped and the peer knows; pause when nothing is half done."""
    state = turn.state
    if state.stopping is None or state.exited:
        return
    overdue = turn.now_ns >= state.stop_by_ns
    # To end in the middle of a failover would leave the peer off.
    busy = isinstance(state.pair, Fencing | Fenced | PoweringOn) or any(
        isinstance(group.phase, TakingOver | Releasing)
        or (isinstance(group.phase, Starting) and group.phase.attempt is not None)
        for group in state.groups
    )
    if state.stopping is StopKind.PAUSE:
        announced_ns = state.stopping_since_ns + PAUSE_BEATS * turn.timing.interval_ns
        done = overdue or (not busy and turn.now_ns >= announced_ns)
    else:
        done = overdue or (not busy and all_stopped(state) and _peer_took_over(turn))
    if done:
        if isinstance(state.pair, Fencing):
            _abandon(turn)
        turn.set(exited=True, beat_ns=turn.now_ns)


def exit_now(turn: Turn) -> None:
    """After the last heartbeat has been asked for."""
    assert turn.state.stopping is not None
    turn.emit(Exit(turn.state.stopping))


def all_stopped(state: State) -> bool:
    """Nothing of any group runs here, and nothing will be started any more."""
    if state.stopping is not StopKind.LEAVE:
        return False
    return not any(isinstance(g.phase, (*HOLDING, TakingOver, Wanting)) for g in state.groups)


def _peer_took_over(turn: Turn) -> bool:
    """The peer holds every group, or is not there to take any, or had its time to do so."""
    state = turn.state
    if not isinstance(state.pair, Alive):
        return True
    since_ns = max(group.since_ns for group in state.groups)
    if turn.now_ns - since_ns >= LEAVING_BEATS_NS:
        return True
    return all(
        peer_role(state, index) in {Role.ACTIVE, Role.TAKING_OVER}
        for index in range(len(state.groups))
    )
