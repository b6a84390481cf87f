# SPDX-License-Identifier: GPL-2.0-or-later
"""The status of a node as JSON data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fencing.readiness import Readiness
from haagent import __version__, release
from haagent.core.beat import role
from haagent.core.detector import silence_ns
from haagent.core.gates import configuration_agrees, recent_fences
from haagent.core.moves import recent
from haagent.core.operator import peer_hears_us
from haagent.core.phases import Alive, Blocked, Silent, Starting
from haagent.core.reasons import Reason
from haagent.core.state import Group, State
from haagent.core.wire import AGE_NEVER_MS, LinkReport
from haagent.links.loss import Tally
from haagent.status.alarms import all_alarms
from haagent.status.sources import Sources, active_somewhere, coded, readings
from haagent.status.takeover import takeover_reasons


def snapshot(sources: Sources) -> dict[str, Any]:
    """The status as JSON data; alarms are codes and texts without their age."""
    state, names = sources.state, sources.configuration.node_names
    reasons = takeover_reasons(sources)
    links = [_link(sources, index) for index in range(len(sources.paths))]
    alarms = all_alarms(sources, links)
    homeless = [
        group.settings.name
        for group in state.groups
        if not active_somewhere(state, group) and group.settings.name not in state.orders.stopped
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
        "blocked": [coded(reason) for reason in blocked],
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
            for name, reading in readings(sources, group).items()
        ],
    }


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
