# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent says of itself: would a takeover work right now, and if not, why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fencing.readiness import Readiness
from haagent import __version__, release
from haagent.commits import commits
from haagent.config import Configuration
from haagent.core.beat import not_promotable, role
from haagent.core.detector import silence_ns
from haagent.core.gates import configuration_agrees, recent_fences, standing_reasons
from haagent.core.moves import recent, restless
from haagent.core.operator import peer_hears_us
from haagent.core.phases import HOLDING, Active, Alive, Blocked, Left, Silent, Starting, Unheard
from haagent.core.reasons import Reason
from haagent.core.state import Group, State
from haagent.core.wire import AGE_NEVER_MS, LinkReport, Role
from haagent.lateness import lateness
from haagent.links.linkset import LinkState as PathState
from haagent.links.loss import Tally
from haagent.resources import Condition, Reading
from haagent.witness import WitnessState, majority

PAIR_REASONS = {Reason.MAINTENANCE, Reason.CONFIGURATION_DIFFERS, Reason.STOPPING}
"""Reasons that bind both nodes alike."""

Reasons = list[dict[str, str]]


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


def snapshot(sources: Sources) -> dict[str, Any]:
    """The status as JSON data; alarms are codes and texts without their age."""
    state, names = sources.state, sources.configuration.node_names
    reasons = takeover_reasons(sources)
    links = [_link(sources, index) for index in range(len(sources.paths))]
    alarms = _alarms(sources, links)
    homeless = [
        group.settings.name
        for group in state.groups
        if not _active_somewhere(state, group) and group.settings.name not in state.orders.stopped
    ]
    critical = bool(reasons or homeless)
    fences_ns = recent_fences(state, sources.now_ns)
    return {
        "cluster": sources.configuration.cluster,
        "node": names[state.settings.me],
        "peer": names[state.settings.peer],
        "version": __version__,
        "condition": "critical" if critical else "degraded" if alarms else "fine",
        "takeover": {"possible": not reasons, "reasons": reasons},
        "peer_state": _peer(sources),
        "groups": [_group(sources, group) for group in state.groups],
        "links": links,
        "fence": [_device(sources, device) for device in sources.devices],
        "witnesses": [asdict(witness) for witness in sources.witnesses],
        "alarms": alarms,
        "maintenance": state.orders.maintenance,
        "standby_nodes": [
            name
            for name, away in zip(sources.configuration.node_names, state.orders.away, strict=True)
            if away
        ],
        "drills": dict(sources.drills),
        "fences_in_window": len(fences_ns),
        "fences_s_ago": [(sources.now_ns - at_ns) / 1e9 for at_ns in fences_ns],
        "incarnation": state.incarnation,
        "configuration_hash": state.settings.configuration_hash.hex(),
        "stall_ms_max": state.stall_ns / 1e6,
        "counters": dict(sources.counters),
    }


def takeover_reasons(sources: Sources) -> Reasons:
    """Why neither node could take over from the other now, as far as this one can tell.

    A node that holds a group asks whether the peer could take it; a node that does not,
    whether it could itself.
    """
    state = sources.state
    standing = standing_reasons(state, sources.now_ns)
    if all(isinstance(group.phase, HOLDING) for group in state.groups):
        # What only forbids our own shooting keeps nobody from taking over from us.
        standing = [reason for reason in standing if reason in PAIR_REASONS]
    reasons = [_reason(reason) for reason in standing]
    if sources.now_ns < state.pause_until_ns:
        reasons.append(_reason(Reason.PEER_PAUSING))
    if not isinstance(state.pair, Alive):
        if isinstance(state.pair, Unheard) and state.view is None:
            reasons.append(_reason(Reason.PEER_NEVER_HEARD))
        reasons.append({"code": "peer_not_there", "text": _peer_text(state)})
        if isinstance(state.pair, Silent):
            reasons += [_reason(reason) for reason in state.pair.reasons]
        return _unique(reasons)
    if not peer_hears_us(state):
        reasons.append(_reason(Reason.PEER_DOES_NOT_HEAR_US))
    for group in state.groups:
        reasons += _group_reasons(sources, group)
    if not all(isinstance(group.phase, HOLDING) for group in state.groups) and (
        majority.bars(sources.witnesses)
    ):
        reasons.append(_reason(Reason.WITNESS_UNREACHABLE))
    return _unique(reasons)


def _group_reasons(sources: Sources, group: Group) -> Reasons:
    state = sources.state
    assert state.view is not None
    name = group.settings.name
    if role(group.phase) is Role.ASSESSING:
        return [{"code": "assessing", "text": f"what may be left of {name} here is being stopped"}]
    if isinstance(group.phase, HOLDING):
        report = state.view.group(name)
        if report is not None and report.role is Role.ASSESSING:
            text = f"the peer is stopping what may be left of {name} there"
            return [{"code": "assessing", "text": text}]
        if report is None or report.promotable:
            return []
        known = report.reason in set(Reason)
        why = Reason(report.reason).text if known else "it does not say why"
        return [{"code": "peer_not_promotable", "text": f"the peer cannot take {name}: {why}"}]
    reasons = []
    own = not_promotable(state, group)
    if own is not None:
        reasons.append({"code": own.code, "text": f"{name}: {own.text}"})
    if state.fence_ready is not True and not sources.outwait_s:
        text = state.fence_detail or "not checked yet"
        reasons.append({"code": Reason.FENCE_NOT_READY.code, "text": f"cannot fence: {text}"})
    return reasons


def _unique(reasons: Reasons) -> Reasons:
    return list({reason["code"] + reason["text"]: reason for reason in reasons}.values())


def _reason(reason: Reason) -> dict[str, str]:
    return {"code": reason.code, "text": reason.text}


def _peer_text(state: State) -> str:
    if isinstance(state.pair, Left):
        return "the peer's agent was stopped in good order"
    return f"the peer is not there ({type(state.pair).__name__.lower()})"


def _active_somewhere(state: State, group: Group) -> bool:
    if isinstance(group.phase, Active):
        return True
    view = state.view
    there = isinstance(state.pair, Alive) and view is not None
    return there and view is not None and view.role(group.settings.name) is Role.ACTIVE


def _peer(sources: Sources) -> dict[str, Any]:
    state, now_ns = sources.state, sources.now_ns
    view = state.view
    blocked = state.pair.reasons if isinstance(state.pair, Silent) else ()
    return {
        "phase": type(state.pair).__name__.lower(),
        "since_s": (now_ns - state.pair.since_ns) / 1e9,
        "heard_ms_ago": None if view is None else (now_ns - view.heard_ns) / 1e6,
        "hears_us": None if view is None else peer_hears_us(state),
        "silent_ms": silence_ns(state, now_ns) / 1e6,
        "stall_ms": None if view is None else view.body.stall_ms,
        "version": None if view is None else release.unpacked(view.body.release),
        "configuration_agrees": None if view is None else configuration_agrees(state),
        "blocked": [_reason(reason) for reason in blocked],
    }


def _group(sources: Sources, group: Group) -> dict[str, Any]:
    state, name = sources.state, group.settings.name
    view = state.view
    theirs = view.role(name) if view and isinstance(state.pair, Alive) else None
    phase = group.phase
    blocked = None
    if isinstance(phase, Blocked):
        text = f"{phase.reason.text} ({phase.detail})" if phase.detail else phase.reason.text
        blocked = {"code": phase.reason.code, "text": text}
    if isinstance(phase, Starting) and phase.detail:
        text = f"{Reason.START_FAILED.text} ({phase.detail})"
        blocked = {"code": Reason.START_FAILED.code, "text": text}
    return {
        "name": name,
        "role": role(phase).name.lower(),
        "term": group.term,
        "peer_role": None if theirs is None else theirs.name.lower(),
        "since_s": (sources.now_ns - group.since_ns) / 1e9,
        "preferred": sources.configuration.node_names[group.settings.preferred],
        "vips": [str(vip.address) for vip in sources.configuration.vips[name]],
        "blocked": blocked,
        "stopped": name in state.orders.stopped,
        "frozen": name in state.orders.frozen,
        "moves_in_window": len(recent(group, sources.now_ns)),
        "reachable": not group.unreachable,
        "returned": sources.returned.get(name, ""),
        "position": None if group.position < 0 else group.position,
        "resources": [
            {"name": name, "condition": reading.condition.value, "detail": reading.detail}
            for name, reading in _readings(sources, group).items()
        ],
    }


def _readings(sources: Sources, group: Group) -> Mapping[str, Reading]:
    index = sources.state.groups.index(group)
    return sources.readings[index] if index < len(sources.readings) else {}


def _link(sources: Sources, index: int) -> dict[str, Any]:
    state, path = sources.state, sources.paths[index]
    link, mine = sources.configuration.links[index], state.links[index]
    tally = sources.tallies[index] if sources.tallies else Tally()
    limit_ms = state.settings.timing.suspect_after_ns / 1e6
    heard_ms = None if mine.heard_ns is None else (sources.now_ns - mine.heard_ns) / 1e6
    hears_us = _hears_us(_link_report(state, index), limit_ms)
    if not path.up:
        word, detail = "down", path.reason
    elif heard_ms is None or heard_ms > limit_ms:
        word, detail = "degraded", "the peer is not heard here"
        if hears_us:
            detail = "one-way: the peer hears us here, we do not hear it"
    elif hears_us is False:
        word, detail = "degraded", "one-way: we hear the peer here, it does not hear us"
    else:
        word, detail = "up", ""
    return {
        "name": link.name,
        "interface": link.interface,
        "kind": "switched" if link.switched else "direct",
        "transport": "unicast" if link.group is None else "multicast",
        "state": word,
        "heard_ms_ago": heard_ms,
        "received": tally.received,
        "lost": tally.lost,
        "peer_hears_us": hears_us,
        "detail": detail,
    }


def _link_report(state: State, index: int) -> LinkReport | None:
    if state.view is None or not isinstance(state.pair, Alive):
        return None
    links = state.view.body.links
    return links[index] if index < len(links) else None


def _hears_us(report: LinkReport | None, limit_ms: float) -> bool | None:
    if report is None:
        return None
    return report.age_ms != AGE_NEVER_MS and report.age_ms <= limit_ms


def _device(sources: Sources, device: Readiness) -> dict[str, Any]:
    checked = device.checked_monotonic_ns
    return {
        "device": device.device,
        "node": sources.configuration.node_names[sources.state.settings.peer],
        "level": device.level,
        "ready": device.ready,
        "power": device.power.value,
        "checked_s_ago": None if checked is None else (sources.now_ns - checked) / 1e9,
        "detail": device.detail,
        "evidence": device.evidence,
        "findings": [
            {
                "code": finding.trouble.code,
                "blocks": finding.trouble.blocks,
                "text": finding.text,
                "remedy": finding.trouble.remedy,
            }
            for finding in device.findings
        ],
    }


def _alarms(sources: Sources, links: Sequence[Mapping[str, Any]]) -> Reasons:
    """Everything a person should look at, whether or not a takeover would work."""
    state = sources.state
    alarms = [_reason(reason) for reason in standing_reasons(state, sources.now_ns)]
    if not isinstance(state.pair, Alive):
        alarms.append({"code": "peer_not_there", "text": _peer_text(state)})
    for link in links:
        if link["state"] != "up":
            text = f"link {link['name']}: {link['detail']}"
            alarms.append({"code": f"link_{link['name']}", "text": text})
    for device in sources.devices:
        if device.pending:
            text = f"fence device {device.device}: {device.pending}"
            alarms.append({"code": f"fence_{device.device}", "text": text})
        for finding in device.findings:
            text = f"fence device {device.device}: {finding.text}; {finding.trouble.remedy}"
            code = f"fence_{device.device}_{finding.trouble.code}"
            alarms.append({"code": code, "text": text})
    if isinstance(state.pair, Alive) and not configuration_agrees(state):
        alarms.append(_reason(Reason.CONFIGURATION_DIFFERS))
    for group in state.groups:
        if not _active_somewhere(state, group):
            text = f"{group.settings.name} is active nowhere"
            alarms.append({"code": f"inactive_{group.settings.name}", "text": text})
    alarms += _orders(sources)
    alarms += _resources(sources)
    alarms += lateness(state)
    if sources.refused:
        text = "the configuration file was refused, this agent goes by the one before: "
        alarms.append({"code": "reload_refused", "text": text + sources.refused})
    alarms += majority.alarms(sources.witnesses)
    alarms += sources.unpractised
    if sources.outwait_s and state.fence_ready is not True:
        text = f"no fence level is ready: a takeover waits {sources.outwait_s:.0f} s for the peer's"
        alarms.append({"code": "fence_by_watchdog", "text": f"{text} own watchdog to reset it"})
    if sources.unguarded:
        text = f"no watchdog guards this node: {sources.unguarded}"
        alarms.append({"code": "watchdog", "text": text})
    if sources.unrecorded:
        text = f"the black box records nothing: {sources.unrecorded}"
        alarms.append({"code": "black_box", "text": text})
    for name, trouble in sources.undelivered.items():
        text = f"alert {name} does not get through: {trouble}"
        alarms.append({"code": undelivered_code(name), "text": text})
    return list({alarm["code"]: alarm for alarm in alarms}.values())


def undelivered_code(alert: str) -> str:
    """Of the alarm about an [[alert]] that does not get through."""
    return f"alert_{alert}"


def _orders(sources: Sources) -> Reasons:
    """What operators ordered, so that it is not forgotten, and groups that are not at rest."""
    state, names = sources.state, sources.configuration.node_names
    alarms = [
        {"code": f"standby_{name}", "text": f"{name} is on standby by an operator's order"}
        for name, away in zip(names, state.orders.away, strict=True)
        if away
    ]
    for group in state.groups:
        name = group.settings.name
        if name in state.orders.stopped:
            alarms.append({"code": f"stopped_{name}", "text": f"{name} is stopped by an operator"})
        if name in state.orders.frozen:
            text = f"{name} is frozen: whatever happens to it, it stays as it is"
            alarms.append({"code": f"frozen_{name}", "text": text})
        if group.unreachable:
            text = f"clients of {name} do not reach this node"
            alarms.append({"code": f"unreachable_{name}", "text": text})
        alarms += commits(group)
        if restless(group, sources.now_ns):
            text = f"{name}: {Reason.TOO_MANY_MOVES.text}"
            alarms.append({"code": f"{Reason.TOO_MANY_MOVES.code}_{name}", "text": text})
    return alarms


def _resources(sources: Sources) -> Reasons:
    """What of the groups does not run here as it should, on their holder or its standby."""
    alarms = []
    for group in sources.state.groups:
        held = isinstance(group.phase, HOLDING)
        for name, reading in _readings(sources, group).items():
            if reading.condition is not (Condition.ACTIVE if held else Condition.STANDBY):
                words = f"{reading.condition.value} {reading.detail}".rstrip()
                text = f"{name} of {group.settings.name}: {words}"
                alarms.append({"code": f"resource_{group.settings.name}_{name}", "text": text})
    return alarms
