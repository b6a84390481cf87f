# SPDX-License-Identifier: GPL-2.0-or-later
"""Status and history as a person reads them. The first line answers: would a takeover work now?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from haagent.cli import practice
from haagent.cli.verdict import Status, inactive, part, rows
from haagent.cli.words import (
    BAD,
    DIM,
    WARN,
    ago,
    clean,
    milliseconds,
    span,
    state,
    table_of,
    text,
)

Row = Mapping[str, Any]

WIDTH_PIPED = 140
"""Columns when nobody watches: a table cut to a pipe's 80 columns would lose its details."""


def console() -> Console:
    """Stdout, with colours only for a terminal."""
    probe = Console(highlight=False)
    return probe if probe.is_terminal else Console(highlight=False, width=WIDTH_PIPED)


def status_view(status: Status) -> RenderableType:
    """The whole status: answer, summary, then tables of what there is."""
    parts: list[RenderableType] = [answer(status), *_reasons(status), _summary(status)]
    if status.get("maintenance"):
        parts.append(text("Maintenance is on: nothing happens by itself.", WARN))
    parts += [_alarm(alarm) for alarm in rows(status, "alarms")]
    drills = practice.lines(status, datetime.now(UTC))
    parts += [text(line, WARN if look else DIM) for line, look in drills]
    sections = {
        "groups": _groups(status),
        "resources": _resources(status),
        "links": _links(status),
        "fence": fence(status),
        "witnesses": witnesses(status),
    }
    parts += [Padding(view, (1, 0, 0, 0)) for view in sections.values() if view.row_count]
    return Group(*parts)


def history_view(records: Iterable[Row]) -> RenderableType:
    """One line for each role change, its phases below it."""
    parts: list[RenderableType] = []
    for record in records:
        outcome = str(record.get("outcome"))
        line = Text.assemble(
            text(f"#{record.get('id')}  {record.get('when')}  "),
            text(f"{record.get('kind')} of {record.get('group')} to {record.get('node')}  "),
            state(outcome),
            text(f"  term {record.get('term')}  {milliseconds(record.get('total_ms'))}"),
        )
        if record.get("reason"):
            line.append(f"  {clean(record['reason'])}", DIM)
        parts.append(line)
        phases = [
            f"{phase.get('name')} {milliseconds(phase.get('ms'))}"
            for phase in rows(record, "phases")
        ]
        if phases:
            parts.append(Padding(text(" > ".join(phases), DIM), (0, 0, 0, 4)))
    return Group(*parts) if parts else text("No role has changed yet.")


def answer(status: Status) -> Text:
    """Would a takeover work now? One line."""
    takeover = part(status, "takeover")
    if takeover.get("possible"):
        return text(f"Takeover possible: {_who(status)} right now.", "bold green")
    reasons = rows(takeover, "reasons") or [{"text": "the agent gives no reason"}]
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return text(f"NO TAKEOVER possible: {reasons[0].get('text')}{more}", BAD)


def _who(status: Status) -> str:
    """Who would take over from whom: a node that holds a group speaks of its peer."""
    node, peer, groups = status.get("node"), status.get("peer"), rows(status, "groups")
    here = any(group.get("role") == "active" for group in groups)
    there = any(group.get("peer_role") == "active" for group in groups)
    if here and there:
        return f"{node} and {peer} would take over from each other"
    return f"{peer} would take over from {node}" if here else f"{node} would take over from {peer}"


def _reasons(status: Status) -> list[RenderableType]:
    """The reasons after the first, which stands in the first line."""
    takeover = part(status, "takeover")
    if takeover.get("possible"):
        return []
    return [
        Padding(text(f"- {reason.get('text')}", BAD), (0, 0, 0, 2))
        for reason in rows(takeover, "reasons")[1:]
    ]


def _summary(status: Status) -> Text:
    peer = part(status, "peer_state")
    line = Text.assemble(
        text(f"{status.get('cluster')}: "),
        state(str(status.get("condition"))),
        text(f"; I am {status.get('node')}, peer {status.get('peer')} is "),
        state(str(peer.get("phase"))),
        text(f" for {span(peer.get('since_s'))}, heard {ago(peer.get('heard_ms_ago'))}"),
    )
    if peer.get("hears_us") is False:
        line.append_text(text(", DOES NOT HEAR US", BAD))
    for reason in rows(peer, "blocked"):
        line.append_text(text(f"; held back: {reason.get('text')}", WARN))
    stall = milliseconds(status.get("stall_ms_max"))
    line.append_text(text(f"; longest stall {stall}; version {status.get('version')}", DIM))
    return line


def _alarm(alarm: Row) -> Text:
    since = span(alarm.get("since_s"))
    return text(f"ALARM {alarm.get('code')}: {alarm.get('text')} (for {since})", BAD)


def _groups(status: Status) -> Table:
    table = table_of("GROUP", str(status.get("node")), str(status.get("peer")), "FOR", "TERM")
    for name in ("PREFERRED", "ADDRESSES", ""):
        table.add_column(name)
    for group in rows(status, "groups"):
        note = Text()
        if inactive(group):
            note.append("active on neither node ", BAD)
        if blocked := part(group, "blocked"):
            note.append(f"blocked: {clean(blocked.get('text'))} ", BAD)
        for order in ("stopped", "frozen"):
            if group.get(order):
                note.append(f"{order} by an operator ", WARN)
        if group.get("reachable") is False:
            note.append("its clients do not reach this node ", BAD)
        if group.get("position") is not None:
            note.append(f"data position {clean(group['position'])} ", DIM)
        if group.get("returned"):
            note.append(clean(group["returned"]), WARN)
        table.add_row(
            text(group.get("name")),
            state(str(group.get("role"))),
            state(str(group.get("peer_role") or "?")),
            span(group.get("since_s")),
            text(group.get("term")),
            text(group.get("preferred")),
            text(_words(group.get("vips"))),
            note,
        )
    return table


def _resources(status: Status) -> Table:
    """What runs on this node."""
    table = table_of("RESOURCE", "OF", "HERE", "")
    for group in rows(status, "groups"):
        for resource in rows(group, "resources"):
            table.add_row(
                text(resource.get("name")),
                text(group.get("name")),
                state(str(resource.get("condition"))),
                text(resource.get("detail") or ""),
            )
    return table


def _links(status: Status) -> Table:
    table = table_of("LINK", "INTERFACE", "KIND", "STATE", "HEARD", "PEER HEARS US", "")
    for link in rows(status, "links"):
        heard = link.get("peer_hears_us")
        hears = "?" if heard is None else "yes" if heard else "NO"
        table.add_row(
            text(link.get("name")),
            text(link.get("interface")),
            text(f"{link.get('kind')}, {link.get('transport')}"),
            state(str(link.get("state"))),
            ago(link.get("heard_ms_ago")),
            text(hears, BAD if hears == "NO" else ""),
            text(link.get("detail") or ""),
        )
    return table


def fence(status: Status) -> Table:
    """One line for each device."""
    table = table_of("FENCE", "CUTS", "LEVEL", "STATE", "POWER", "CHECKED", "")
    for device in rows(status, "fence"):
        checked = device.get("checked_s_ago")
        table.add_row(
            text(device.get("device")),
            text(device.get("node")),
            text(device.get("level")),
            state("ready" if device.get("ready") else "not ready"),
            text(device.get("power")),
            "never" if checked is None else f"{span(checked)} ago",
            text(device.get("detail") or ""),
        )
    return table


def witnesses(status: Status) -> Table:
    """One line each."""
    table = table_of("WITNESS", "KIND", "STATE", "IF UNREACHABLE", "")
    for witness in rows(status, "witnesses"):
        word = str(witness.get("word"))
        table.add_row(
            text(witness.get("name")),
            text(witness.get("kind")),
            state({"yes": "ready", "no": "refuses", "silent": "unreachable"}.get(word, "unknown")),
            text("ignore" if witness.get("ignored") else "block"),
            text(witness.get("detail") or ""),
        )
    return table


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else ""
