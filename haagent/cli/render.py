# SPDX-License-Identifier: GPL-2.0-or-later
"""Status and history as a person reads them. The first line answers: would a takeover work now?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from haagent.cli.verdict import Status, inactive, part, rows

Row = Mapping[str, Any]

WIDTH_PIPED = 140
"""Columns when nobody watches: a table cut to a pipe's 80 columns would lose its details."""

_GOOD, _WARN, _BAD, _DIM = "green", "yellow", "bold red", "dim"
_STYLES = {
    "fine": _GOOD,
    "degraded": _WARN,
    "critical": _BAD,
    "up": _GOOD,
    "down": _BAD,
    "alive": _GOOD,
    "active": "bold green",
    "suspect": _WARN,
    "silent": _BAD,
    "fencing": _BAD,
    "fenced": _WARN,
    "unheard": _WARN,
    "left": _WARN,
    "ready": _GOOD,
    "not ready": _BAD,
    "standby": _GOOD,
    "failed": _BAD,
    "refuses": _BAD,
    "unreachable": _BAD,
    "completed": _GOOD,
    "blocked": _BAD,
    "abandoned": _WARN,
    "withheld": _WARN,
}


def console() -> Console:
    """Stdout, with colours only for a terminal."""
    probe = Console(highlight=False)
    return probe if probe.is_terminal else Console(highlight=False, width=WIDTH_PIPED)


def status_view(status: Status) -> RenderableType:
    """The whole status: answer, summary, then tables of what there is."""
    parts: list[RenderableType] = [_answer(status), *_reasons(status), _summary(status)]
    if status.get("maintenance"):
        parts.append(_text("Maintenance is on: nothing happens by itself.", _WARN))
    parts += [_alarm(alarm) for alarm in rows(status, "alarms")]
    sections = {
        "groups": _groups(status),
        "resources": _resources(status),
        "links": _links(status),
        "fence": _fence(status),
        "witnesses": _witnesses(status),
    }
    parts += [Padding(view, (1, 0, 0, 0)) for view in sections.values() if view.row_count]
    return Group(*parts)


def history_view(records: Iterable[Row]) -> RenderableType:
    """One line for each role change, its phases below it."""
    parts: list[RenderableType] = []
    for record in records:
        outcome = str(record.get("outcome"))
        line = Text.assemble(
            _text(f"#{record.get('id')}  {record.get('when')}  "),
            _text(f"{record.get('kind')} of {record.get('group')} to {record.get('node')}  "),
            _state(outcome),
            _text(f"  term {record.get('term')}  {_milliseconds(record.get('total_ms'))}"),
        )
        if record.get("reason"):
            line.append(f"  {_clean(record['reason'])}", _DIM)
        parts.append(line)
        phases = [
            f"{phase.get('name')} {_milliseconds(phase.get('ms'))}"
            for phase in rows(record, "phases")
        ]
        if phases:
            parts.append(Padding(_text(" > ".join(phases), _DIM), (0, 0, 0, 4)))
    return Group(*parts) if parts else _text("No role has changed yet.")


def _answer(status: Status) -> Text:
    takeover = part(status, "takeover")
    if takeover.get("possible"):
        return _text(f"Takeover possible: {_who(status)} right now.", "bold green")
    reasons = rows(takeover, "reasons") or [{"text": "the agent gives no reason"}]
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return _text(f"NO TAKEOVER possible: {reasons[0].get('text')}{more}", _BAD)


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
        Padding(_text(f"- {reason.get('text')}", _BAD), (0, 0, 0, 2))
        for reason in rows(takeover, "reasons")[1:]
    ]


def _summary(status: Status) -> Text:
    peer = part(status, "peer_state")
    line = Text.assemble(
        _text(f"{status.get('cluster')}: "),
        _state(str(status.get("condition"))),
        _text(f"; I am {status.get('node')}, peer {status.get('peer')} is "),
        _state(str(peer.get("phase"))),
        _text(f" for {_span(peer.get('since_s'))}, heard {_ago(peer.get('heard_ms_ago'))}"),
    )
    if peer.get("hears_us") is False:
        line.append_text(_text(", DOES NOT HEAR US", _BAD))
    for reason in rows(peer, "blocked"):
        line.append_text(_text(f"; held back: {reason.get('text')}", _WARN))
    stall = _milliseconds(status.get("stall_ms_max"))
    line.append_text(_text(f"; longest stall {stall}; version {status.get('version')}", _DIM))
    return line


def _alarm(alarm: Row) -> Text:
    since = _span(alarm.get("since_s"))
    return _text(f"ALARM {alarm.get('code')}: {alarm.get('text')} (for {since})", _BAD)


def _groups(status: Status) -> Table:
    table = _table("GROUP", str(status.get("node")), str(status.get("peer")), "FOR", "TERM")
    for name in ("PREFERRED", "ADDRESSES", ""):
        table.add_column(name)
    for group in rows(status, "groups"):
        note = Text()
        if inactive(group):
            note.append("active on neither node ", _BAD)
        if blocked := part(group, "blocked"):
            note.append(f"blocked: {_clean(blocked.get('text'))} ", _BAD)
        for order in ("stopped", "frozen"):
            if group.get(order):
                note.append(f"{order} by an operator ", _WARN)
        if group.get("reachable") is False:
            note.append("its clients do not reach this node ", _BAD)
        if group.get("position") is not None:
            note.append(f"data position {_clean(group['position'])} ", _DIM)
        if group.get("returned"):
            note.append(_clean(group["returned"]), _WARN)
        table.add_row(
            _text(group.get("name")),
            _state(str(group.get("role"))),
            _state(str(group.get("peer_role") or "?")),
            _span(group.get("since_s")),
            _text(group.get("term")),
            _text(group.get("preferred")),
            _text(_words(group.get("vips"))),
            note,
        )
    return table


def _resources(status: Status) -> Table:
    """What runs on this node."""
    table = _table("RESOURCE", "OF", "HERE", "")
    for group in rows(status, "groups"):
        for resource in rows(group, "resources"):
            table.add_row(
                _text(resource.get("name")),
                _text(group.get("name")),
                _state(str(resource.get("condition"))),
                _text(resource.get("detail") or ""),
            )
    return table


def _links(status: Status) -> Table:
    table = _table("LINK", "INTERFACE", "KIND", "STATE", "HEARD", "PEER HEARS US", "")
    for link in rows(status, "links"):
        heard = link.get("peer_hears_us")
        hears = "?" if heard is None else "yes" if heard else "NO"
        table.add_row(
            _text(link.get("name")),
            _text(link.get("interface")),
            _text(f"{link.get('kind')}, {link.get('transport')}"),
            _state(str(link.get("state"))),
            _ago(link.get("heard_ms_ago")),
            _text(hears, _BAD if hears == "NO" else ""),
            _text(link.get("detail") or ""),
        )
    return table


def _fence(status: Status) -> Table:
    table = _table("FENCE", "CUTS", "LEVEL", "STATE", "POWER", "CHECKED", "")
    for device in rows(status, "fence"):
        checked = device.get("checked_s_ago")
        table.add_row(
            _text(device.get("device")),
            _text(device.get("node")),
            _text(device.get("level")),
            _state("ready" if device.get("ready") else "not ready"),
            _text(device.get("power")),
            "never" if checked is None else f"{_span(checked)} ago",
            _text(device.get("detail") or ""),
        )
    return table


def _witnesses(status: Status) -> Table:
    table = _table("WITNESS", "KIND", "STATE", "IF UNREACHABLE", "")
    for witness in rows(status, "witnesses"):
        word = str(witness.get("word"))
        state = {"yes": "ready", "no": "refuses", "silent": "unreachable"}.get(word, "unknown")
        table.add_row(
            _text(witness.get("name")),
            _text(witness.get("kind")),
            _state(state),
            _text("ignore" if witness.get("ignored") else "block"),
            _text(witness.get("detail") or ""),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(_clean(column))
    return table


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else ""


def _state(word: str) -> Text:
    return _text(word, _STYLES.get(word, ""))


def _text(value: object, style: str = "") -> Text:
    """Never markup, never a control character: some of it comes from the peer."""
    return Text(_clean(value), style)


def _clean(value: object) -> str:
    return "".join(char if char.isprintable() else "?" for char in str(value))


def _ago(value_ms: object) -> str:
    return "never" if value_ms is None else f"{_milliseconds(value_ms)} ago"


def _milliseconds(value_ms: object) -> str:
    if not isinstance(value_ms, (int, float)) or not math.isfinite(value_ms):
        return "?"
    return f"{value_ms:.0f} ms" if value_ms < 10_000 else _span(value_ms / 1000)


def _span(value_s: object) -> str:
    """Two largest units of a time, e.g. "3 d 4 h"; for people, so without a fraction."""
    if not isinstance(value_s, (int, float)) or not math.isfinite(value_s):
        return "?"
    seconds = int(value_s)
    for name, size, lower_name, lower in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if seconds >= size:
            return f"{seconds // size} {name} {seconds % size // lower} {lower_name}"
    return f"{seconds} s"
