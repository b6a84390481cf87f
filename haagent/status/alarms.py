# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything a person should look at, whether or not a takeover would work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haagent.alerts import undelivered_code
from haagent.core.gates import configuration_agrees, standing_reasons
from haagent.core.moves import restless
from haagent.core.phases import HOLDING, Alive
from haagent.core.reasons import Reason
from haagent.resources import Condition
from haagent.status.commits import commits
from haagent.status.lateness import lateness
from haagent.status.sources import Reasons, Sources, active_somewhere, coded, peer_text, readings
from haagent.witness import majority


def all_alarms(sources: Sources, links: Sequence[Mapping[str, Any]]) -> Reasons:
    """Everything a person should look at, whether or not a takeover would work."""
    state = sources.state
    alarms = [coded(reason) for reason in standing_reasons(state, sources.now_ns)]
    if not isinstance(state.pair, Alive):
        alarms.append({"code": "peer_not_there", "text": peer_text(state)})
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
        alarms.append(coded(Reason.CONFIGURATION_DIFFERS))
    for group in state.groups:
        if not active_somewhere(state, group):
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
        for name, reading in readings(sources, group).items():
            if reading.condition is not (Condition.ACTIVE if held else Condition.STANDBY):
                words = f"{reading.condition.value} {reading.detail}".rstrip()
                text = f"{name} of {group.settings.name}: {words}"
                alarms.append({"code": f"resource_{group.settings.name}_{name}", "text": text})
    return alarms
