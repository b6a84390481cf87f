# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of `haagent watch`: each fits into 80 columns; what a colour says, a word says too."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from haagent.cli.feed import Feed, Happened
from haagent.cli.render import answer, fence, witnesses
from haagent.cli.verdict import Status, inactive, part, rows
from haagent.cli.words import BAD, WARN, ago, milliseconds, span, state, table_of, text

STALE_S = 3.0
"""Three questions without an answer."""


def head(feed: Feed, now_s: float, clock: datetime) -> RenderableType:
    """Two lines: which pair, how it is, how old that is; and whether a takeover would work."""
    status = feed.status
    if status is None:
        return Group(
            text(f"haagent  {clock:%H:%M:%S}", "bold"), text(feed.trouble or "asking", BAD)
        )
    line = Text.assemble(
        text(f"{status.get('cluster')}: {status.get('node')} and {status.get('peer')}  ", "bold"),
        state(str(status.get("condition"))),
        text(f"  {clock:%H:%M:%S}"),
    )
    age_s = now_s - feed.answered_s
    if feed.trouble or age_s > STALE_S:
        # What is shown is no answer to "now": the first thing to be read.
        line.append_text(text(f"  STALE, {span(age_s)} old", "bold reverse"))
        return Group(line, text(feed.trouble or "no answer", BAD))
    return Group(line, answer(status))


def body(feed: Feed) -> RenderableType:
    """Both nodes, groups, links, fence devices, alarms; empty before the first answer."""
    status = feed.status
    if status is None:
        return Text()
    tables = (
        _nodes(status),
        _groups(status),
        _links(status, feed),
        fence(status),
        witnesses(status),
    )
    parts: list[RenderableType] = [table for table in tables if table.row_count]
    if status.get("maintenance"):
        parts.append(text("Maintenance is on: nothing happens by itself.", WARN))
    parts += [text(f"ALARM {alarm.get('text')}", BAD) for alarm in rows(status, "alarms")]
    return Group(*parts)


def events(happened: Iterable[Happened], clock: datetime) -> RenderableType:
    """One line each, the newest first; what is of another day with its date."""
    lines = []
    for one in happened:
        same_day = one.at.date() == clock.date()
        when = f"{one.at:%H:%M:%S}" if same_day else f"{one.at:%m-%d %H:%M}"
        line = text(f"{when}  {one.text}", BAD if one.bad else "")
        line.no_wrap, line.overflow = True, "ellipsis"
        lines.append(line)
    return Group(*lines)


def _nodes(status: Status) -> Table:
    table = table_of("NODE", "STATE", "HEARD", "LATE BY", "HOLDS")
    peer = part(status, "peer_state")
    for key, role in (("node", "role"), ("peer", "peer_role")):
        held = [str(g.get("name")) for g in rows(status, "groups") if g.get(role) == "active"]
        mine = key == "node"
        stall = status.get("stall_ms_max") if mine else peer.get("stall_ms")
        word = text("this node") if mine else state(str(peer.get("phase")))
        if not mine and peer.get("hears_us") is False:
            word.append_text(text(" DOES NOT HEAR US", BAD))
        for away in status.get("standby_nodes") or ():
            if away == status.get(key):
                word.append_text(text(" on standby", WARN))
        table.add_row(
            text(status.get(key)),
            word,
            "" if mine else ago(peer.get("heard_ms_ago")),
            milliseconds(stall),
            text(", ".join(held) or "nothing"),
        )
    return table


def _groups(status: Status) -> Table:
    table = table_of("GROUP", str(status.get("node")), str(status.get("peer")), "FOR", "")
    for group in rows(status, "groups"):
        notes = Text()
        if inactive(group):
            notes.append("active on neither node ", BAD)
        if blocked := part(group, "blocked"):
            notes.append_text(text(f"blocked: {blocked.get('text')} ", BAD))
        for order in ("stopped", "frozen"):
            if group.get(order):
                notes.append(f"{order} by an operator ", WARN)
        for resource in rows(group, "resources"):
            if resource.get("condition") == "failed":
                notes.append_text(text(f"{resource.get('name')} failed ", BAD))
        table.add_row(
            text(group.get("name")),
            state(str(group.get("role"))),
            state(str(group.get("peer_role") or "?")),
            span(group.get("since_s")),
            notes,
        )
    return table


def _links(status: Status, feed: Feed) -> Table:
    table = table_of("LINK", "INTERFACE", "STATE", "LOSS", "HEARD", "")
    for link in rows(status, "links"):
        loss = feed.loss(str(link.get("name")))
        table.add_row(
            text(link.get("name")),
            text(link.get("interface")),
            state(str(link.get("state"))),
            text("?" if loss is None else f"{loss:.1%}", BAD if loss else ""),
            ago(link.get("heard_ms_ago")),
            text(link.get("detail") or ""),
        )
    return table
