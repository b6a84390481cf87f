# SPDX-License-Identifier: GPL-2.0-or-later
"""A sentence for each event, phase, effect and note; "" for what its neighbours say already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from haagent.core.effects import (
    AbandonFence,
    Announce,
    Beat,
    CommitAlone,
    Effect,
    Exit,
    Fence,
    GatherEvidence,
    Manage,
    Persist,
    PowerOn,
    ProbeVip,
    Reply,
    StandBy,
    StartGroup,
    StopGroup,
)
from haagent.core.events import (
    AwayAsked,
    ConfirmOffAsked,
    Consent,
    DeadlinePassed,
    Event,
    EvidenceGathered,
    FailoverAsked,
    FenceFinished,
    FenceReadied,
    GroupLost,
    GroupOrdered,
    GroupStarted,
    GroupStartFailed,
    GroupStopFailed,
    GroupStopped,
    LinkChanged,
    MaintenanceAsked,
    OffProved,
    PeerHeard,
    Persisted,
    PersistFailed,
    PositionRead,
    PowerOnFinished,
    ReachChanged,
    Reconfigured,
    StandbyRead,
    StopAsked,
    StopKind,
    SwitchoverAsked,
    SyncRead,
    VipProbed,
    VipProbeFailed,
)
from haagent.core.phases import (
    Active,
    Alive,
    Assessing,
    Blocked,
    Fenced,
    Fencing,
    Grant,
    GroupPhase,
    Left,
    PairPhase,
    PoweringOn,
    Proof,
    Releasing,
    Silent,
    Standby,
    Starting,
    Stuck,
    Suspect,
    TakingOver,
    Unheard,
    Wanting,
    Yielded,
)

PROOFS = {
    Proof.HARDWARE: "its power was read back as off",
    Proof.CONSOLE: "the console read it back as off, on an operator's order",
    Proof.OPERATOR: "an operator stated it",
    Proof.FORCED: "an operator stated it, against live evidence",
}
GRANTS = {
    Grant.YIELDED: "{peer} promised not to start it",
    Grant.LEFT: "{peer} stopped everything and left",
    Grant.PEER_OFF: "{peer} is proved off",
}

CONSENTS = {
    Consent.WON: "the witnesses agree, and not to the peer",
    Consent.AGREED: "the witnesses agree",
    Consent.REFUSED: "the witnesses REFUSE",
    Consent.UNREACHABLE: "too FEW witnesses answer",
}


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays."""

    me: str
    peer: str
    groups: tuple[str, ...]
    links: tuple[str, ...]
    nodes: tuple[str, str]
    witnessed: bool = False
    """There are witnesses, whose consent is one of the gates."""

    def group(self, index: int | None) -> str:
        """The group's name."""
        return "all groups" if index is None else _at(self.groups, index, "group")

    def link(self, index: int) -> str:
        """The link's name."""
        return _at(self.links, index, "link")


def _at(names: tuple[str, ...], index: int, kind: str) -> str:
    return names[index] if 0 <= index < len(names) else f"{kind} {index}"


def of_event(cast: Cast, event: Event) -> str:
    """What happened."""
    match event:
        case PeerHeard() | DeadlinePassed() | PositionRead() | SyncRead():
            return ""
        case LinkChanged(link=link, carrier=carrier):
            return f"link {cast.link(link)} {'has' if carrier else 'LOST'} its carrier"
        case EvidenceGathered():
            return _evidence(event)
        case FenceFinished():
            return _with(f"the fence ended: {event.outcome.value}", event.detail)
        case FenceReadied(ready=True):
            return f"a fence level of {cast.peer} is ready"
        case FenceReadied(detail=detail):
            return _with(f"no fence level of {cast.peer} is ready", detail)
        case PowerOnFinished(ok=True):
            return f"{cast.peer} has its power back"
        case PowerOnFinished(detail=detail):
            return _with(f"{cast.peer} could not be given its power back", detail)
        case Persisted():
            return "the record is on the disk"
        case PersistFailed(detail=detail):
            return _with("the record could NOT be written to the disk", detail)
        case StopAsked(kind=StopKind.LEAVE):
            return "the agent is told to stop: it hands everything over first"
        case Reconfigured():
            return "another configuration is taken in"
        case StopAsked():
            return "the agent is told to restart: what runs here runs on"
        case _:
            return _of_group_event(cast, event) or _of_operator(cast, event)


def _evidence(event: EvidenceGathered) -> str:
    parts = [
        "this node's network is alive" if event.connected else "NO reference answers this node",
        "the peer's service STILL ANSWERS its probe"
        if event.serving
        else "no service probe answers",
        "somebody ANSWERS for a virtual address"
        if event.vip_answered
        else "nobody answers for the virtual addresses",
    ]
    if event.consent is not Consent.UNASKED:
        parts.append(CONSENTS[event.consent])
    return f"evidence: {', '.join(parts)}"


def _of_group_event(cast: Cast, event: Event) -> str:  # one arm for each event
    match event:
        case VipProbed(group=group, answered=None):
            return f"{cast.group(group)}: nobody answers for its addresses"
        case VipProbed(group=group, answered=answered):
            return f"{cast.group(group)}: {answered} ANSWERS for its addresses"
        case VipProbeFailed(group=group, detail=detail):
            return _with(f"{cast.group(group)}: its addresses could not be probed", detail)
        case GroupStarted(group=group):
            return f"{cast.group(group)}: everything is started, its addresses are announced"
        case GroupStartFailed(group=group, detail=detail):
            return _with(f"{cast.group(group)}: the start FAILED", detail)
        case GroupStopped(group=group):
            return f"{cast.group(group)}: everything was seen stopped here"
        case GroupStopFailed(group=group, detail=detail):
            return _with(f"{cast.group(group)}: something could NOT be stopped", detail)
        case GroupLost(group=group, detail=detail):
            return _with(f"{cast.group(group)} was LOST here", detail)
        case StandbyRead(group=group, ready=ready, escaped=escaped):
            word = (
                "serves against all orders" if escaped else "is ready" if ready else "is NOT ready"
            )
            return f"{cast.group(group)}: what runs of it on the standby {word}"
        case ReachChanged(group=group, reachable=reachable, doubtful=doubtful):
            word = "reach this node" if reachable else "do NOT reach this node"
            doubt = ", the newest sign says that they do not" if reachable and doubtful else ""
            return f"{cast.group(group)}: its clients {word}{doubt}"
        case _:
            return ""


def _of_operator(cast: Cast, event: Event) -> str:
    match event:
        case SwitchoverAsked(group=group, dry_run=dry_run):
            asks = "asks whether a switchover would work" if dry_run else "wants a switchover"
            return f"an operator {asks} of {cast.group(group)}"
        case MaintenanceAsked(on=on):
            return f"an operator turns maintenance {'on' if on else 'off'}"
        case ConfirmOffAsked(force=force):
            return f"an operator states that {cast.peer} is off{' (forced)' if force else ''}"
        case OffProved():
            return f"an operator fenced {cast.peer} from the console and read it off"
        case AwayAsked(node=node, on=on):
            words = ("puts", "on") if on else ("takes", "back from")
            return f"an operator {words[0]} {_at(cast.nodes, node, 'node')} {words[1]} standby"
        case GroupOrdered(group=group, what=what):
            return f"an operator orders {cast.group(group)}: {what}"
        case FailoverAsked(group=group):
            return f"an operator accepts lost data for a failover of {cast.group(group)}"
        case _:
            return ""


def of_pair(cast: Cast, was: PairPhase, now: PairPhase) -> str:
    """What is known of the peer from now on; the gates have a table of their own."""
    peer = cast.peer
    match now:
        case Unheard(fenced_ns=None):
            return f"{peer} has not been heard"
        case Unheard():
            return f"{peer} is waited for"
        case Alive():
            return f"{peer} is heard" if isinstance(was, Unheard) else f"{peer} is heard again"
        case Suspect():
            return f"{peer} is silent: suspected, and evidence is asked for"
        case Silent() | Fencing():
            return ""
        case Fenced(proof=proof):
            return f"{peer} is proved off: {PROOFS[proof]}"
        case PoweringOn(attempt=None):
            return f"{peer} gets its power at the next try"
        case PoweringOn():
            return ""
        case Left():
            return f"{peer} stopped everything and left"
        case _:
            assert_never(now)


def of_group(cast: Cast, name: str, now: GroupPhase) -> str:
    """What a group is on this node from now on."""
    match now:
        case Assessing():
            text = "leftovers of an earlier run are stopped"
        case Standby():
            text = f"not held by {cast.me}"
        case Wanting(switchover=switchover):
            text = f"{cast.me} asks {cast.peer} {'to hand it over' if switchover else 'for it'}"
        case Yielded():
            text = f"promised to {cast.peer}"
        case TakingOver(grant=grant, term=term):
            why = GRANTS[grant].format(peer=cast.peer)
            text = f"may start here: {why}; term {term} goes to the disk, the addresses are probed"
        case Starting(attempt=None, detail=detail):
            text = _with("waits for another try", detail)
        case Starting(term=term):
            text = f"is started in term {term}"
        case Active(term=term):
            text = f"ACTIVE on {cast.me} in term {term}"
        case Releasing(reason=reason, detail=detail):
            text = f"is stopped on {cast.me}{_why(reason.text if reason else '', detail)}"
        case Stuck():
            text = f"cannot be stopped: {cast.me} asks to be fenced"
        case Blocked(reason=reason, detail=detail):
            text = f"NOT started on {cast.me}{_why(reason.text, detail)}"
        case _:
            assert_never(now)
    return f"{name}: {text}"


def of_effect(cast: Cast, effect: Effect) -> str:
    """What was ordered."""
    match effect:
        case Beat() | GatherEvidence() | Persist() | ProbeVip() | StartGroup() | StopGroup():
            return ""  # Told by the phases.
        case Fence(attempt=attempt):
            return f"ORDER: power {cast.peer} off and read it back (attempt {attempt})"
        case AbandonFence(attempt=attempt):
            return f"ORDER: give up attempt {attempt} to power {cast.peer} off"
        case PowerOn():
            return f"ORDER: give {cast.peer} its power back"
        case Manage(group=group, on=on):
            return f"{cast.group(group)}: {'looked after again' if on else 'left alone'}"
        case StandBy(group=group, on=on):
            return f"{cast.group(group)}: its standby part {'may run' if on else 'is stopped'}"
        case CommitAlone(group=group, risk=risk):
            word = "; the peer could be promoted WITHOUT them" if risk else ""
            return f"{cast.group(group)}: commits wait for the peer no longer{word}"
        case Announce(group=group):
            return f"{cast.group(group)}: its addresses are announced anew"
        case Reply(ok=ok, message=message):
            return f"the operator is answered{'' if ok else ' NO'}: {message}"
        case Exit():
            return "the agent ends"
        case _:
            assert_never(effect)


def of_note(name: str, facts: Mapping[str, object]) -> str:
    """What an edge said."""
    match name, dict(facts):
        case "fence.device_answered", {"device": device, "outcome": outcome, "took_ms": took_ms}:
            said = [str(facts.get(key)) for key in ("detail", "evidence") if facts.get(key)]
            return _with(f"fence device {device}: {outcome} after {_ms(took_ms)}", "; ".join(said))
        case "resource.started", {"of": of, "took_ms": took_ms}:
            return f"resource {of} is started ({_ms(took_ms)})"
        case "resource.stopped", {"of": of, "took_ms": took_ms}:
            return f"resource {of} is stopped ({_ms(took_ms)})"
        case "group.returned", {"group": group, "detail": detail}:
            return f"{group}: {detail}"
        case (
            (
                "agent.started"
                | "agent.exits"
                | "link.changed"
                | "operator.asked"
                | "operator.answered"
                | "reach.changed"
            ),
            _,
        ):
            return ""  # Told by the steps.
        case _:
            shown = [f"{key} {value}" for key, value in facts.items() if value not in (None, "")]
            return _with(name, ", ".join(shown))


def _ms(value: object) -> str:
    return f"{value:.0f} ms" if isinstance(value, (int, float)) else "?"


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def _why(reason: str, detail: str) -> str:
    return "".join([f": {reason}" if reason else "", f" ({detail})" if detail else ""])
