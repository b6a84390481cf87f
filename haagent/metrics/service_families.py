# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of what a takeover needs and makes: fence devices, groups, and itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from prometheus_client.metrics_core import Metric

from fencing import Power
from haagent.core.wire import Role
from haagent.metrics.figures import Figures
from haagent.metrics.forms import Row, counter, gauge, histogram, limited, one
from haagent.resources import Condition

ANSWERS = ("yes", "no", "silent")


def fences(figures: Figures) -> Iterator[Metric]:
    """What can prove the peer off, and what tells the neighbours afterwards."""
    devices = figures.status["fence"]
    yield one("fence_ready", "A whole level could prove the peer off.", figures.fence_ready)
    rows: list[Row] = [
        ((each["device"], str(each["level"]), each["node"]), each["ready"]) for each in devices
    ]
    text = "The fence device passed its last check."
    yield gauge("fence_device_ready", text, ("device", "level", "node"), rows)
    rows = [((each["device"],), each["checked_s_ago"]) for each in devices]
    text = "Since the power was last read from the device, or could not be."
    yield gauge("fence_device_reading_age_seconds", text, ("device",), rows)
    rows = [
        ((each["device"], power.value), each["power"] == power.value)
        for each in devices
        for power in Power
    ]
    text = "What the device read last."
    yield gauge("fence_device_power", text, ("device", "power"), rows)
    rows = [
        ((each["device"], found["code"], str(found["blocks"]).lower()), 1)
        for each in devices
        for found in each["findings"]
    ]
    text = "What is wrong with the device, one series for each finding."
    yield gauge("fence_device_finding", text, ("device", "finding", "blocks"), rows)
    yield from limited("fences_in_window", "Power-offs ordered", [((), figures.fences)], ())
    outcomes = [((name,), count) for name, count in figures.counts.fences.items()]
    text = "Attempts to cut the peer's power, by what was proved."
    yield counter("fence_attempts", text, ("outcome",), outcomes)
    announced = figures.announced.items()
    sent = [((interface,), each.sent) for interface, each in announced]
    text = "Frames that told the neighbours where an address is."
    yield counter("vip_announcements", text, ("interface",), sent)
    failed = [((interface,), each.failed) for interface, each in announced]
    text = "Such frames that could not be sent."
    yield counter("vip_announcement_errors", text, ("interface",), failed)


def proofs(figures: Figures) -> Iterator[Metric]:
    """Who else is asked before a takeover, and what was practised."""
    witnesses, drills = figures.status["witnesses"], figures.status["drills"]
    rows: list[Row] = [
        ((each["name"], answer), each["word"] == answer) for each in witnesses for answer in ANSWERS
    ]
    text = "What the witness said last."
    yield gauge("witness_answer", text, ("witness", "answer"), rows)
    proven = [((kind,), _unix(drill)) for kind, drill in drills["proven"].items()]
    text = "When the last drill of this kind that was passed began, by this node's wall clock."
    yield gauge("drill_passed_timestamp_seconds", text, ("kind",), proven)
    proved = [_unix(one) for one in figures.records if "confirmed_off" in one.get("marks_ns", ())]
    known = [moment for moment in (*proved, figures.measured_unix_s) if moment is not None]
    text = "When this node last proved its peer off, by its own wall clock."
    yield one("fence_proved_timestamp_seconds", text, max(known, default=None))
    text = "A drill is under way."
    yield one("drill_under_way", text, drills["under_way"] is not None)


def groups(figures: Figures) -> Iterator[Metric]:
    """What each group and its resources are on this node."""
    known = figures.status["groups"]

    def told(name: str, text: str, key: str) -> Metric:
        return gauge(name, text, ("group",), [((each["name"],), each[key]) for each in known])

    roles = [role.name.lower() for role in Role]
    rows: list[Row] = [
        ((each["name"], role), each["role"] == role) for each in known for role in roles
    ]
    text = "What this node is to the group."
    yield gauge("group_role", text, ("group", "role"), rows)
    yield told("group_term", "Rises with each takeover.", "term")
    yield told("group_role_age_seconds", "Since this node has that role.", "since_s")
    yield told("group_reachable", "Clients reach this node for the group.", "reachable")
    yield told("group_stopped", "An operator stopped the group.", "stopped")
    yield told("group_frozen", "An operator froze the group.", "frozen")
    yield told("group_data_position", "How fresh its data is here, if it says so.", "position")
    blocked = [((each["name"], each["blocked"]["code"]), 1) for each in known if each["blocked"]]
    text = "Why the group is not started here, one series for each that is not."
    yield gauge("group_blocked", text, ("group", "reason"), blocked)
    rows = [((each["name"],), _healthy(figures.status, each)) for each in known]
    text = "Every resource of the group is as it should be on this node."
    yield gauge("group_healthy", text, ("group",), rows)
    codes = {alarm["code"] for alarm in figures.status["alarms"]}
    rows = [((each["name"],), f"sync_risk_{each['name']}" in codes) for each in known]
    text = "Commits go on alone, and the peer could be promoted without them."
    yield gauge("group_commits_at_risk", text, ("group",), rows)
    moves = [((name,), count) for name, count in figures.moves.items()]
    yield from limited("group_moves_in_window", "Changes of node", moves, ("group",))
    rows = [
        ((each["name"], resource["name"], state.value), resource["condition"] == state.value)
        for each in known
        for resource in each["resources"]
        for state in Condition
    ]
    text = "How the resource was when it was last looked at."
    yield gauge("resource_state", text, ("group", "resource", "state"), rows)


def _healthy(status: Mapping[str, Any], group: Mapping[str, Any]) -> bool:
    codes = {alarm["code"] for alarm in status["alarms"]}
    name = group["name"]
    return codes.isdisjoint(f"resource_{name}_{each['name']}" for each in group["resources"])


def takeovers(figures: Figures) -> Iterator[Metric]:
    """How often, how fast, and when last."""
    failovers = figures.counts.failovers
    labels = ("group", "kind")
    text = "Takeovers by this node, by how they ended."
    yield counter("takeovers", text, (*labels, "outcome"), failovers.ended.items())
    text = "From the peer's last frame (failover), or the grant, until the group was active."
    yield histogram("takeover_duration_seconds", text, labels, failovers.durations.items())
    text = "Each phase of a failover, since the one before it in the history."
    phases = [((name,), counted) for name, counted in failovers.phases.items()]
    yield histogram("failover_phase_duration_seconds", text, ("phase",), phases)
    last = {
        record["group"]: record
        for record in figures.records
        if record["kind"] == "failover" and record["outcome"] == "completed"
    }
    took = [((group,), record["total_ms"] / 1e3) for group, record in last.items()]
    text = "How long the last failover to this node took, also of an earlier agent."
    yield gauge("last_failover_duration_seconds", text, ("group",), took)
    when = [((group,), _unix(record)) for group, record in last.items()]
    text = "When it ended, by this node's wall clock."
    yield gauge("last_failover_timestamp_seconds", text, ("group",), when)


def _unix(record: Mapping[str, Any]) -> float | None:
    when = record.get("when")
    return datetime.fromisoformat(when).timestamp() if isinstance(when, str) else None
