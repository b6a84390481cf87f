# SPDX-License-Identifier: GPL-2.0-or-later
"""What a status means to a monitoring system: one exit code."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

Status = Mapping[str, Any]
"""Data of a status reply; read with care, the agent may be of another release."""


EXIT_DATA = 65
"""A file is not what it should be. Source: sysexits.h, EX_DATAERR."""


class Exit(IntEnum):
    """Exit codes of the client commands."""

    FINE = 0
    DEGRADED = 1
    """`status`: works, but not all of it; other commands: refused or failed."""
    CRITICAL = 2
    """No takeover is possible, or a group is active on neither node."""
    NOT_RUNNING = 3
    """No agent answers here."""
    STILL_RUNNING = 4
    """The order was taken, and no answer came in time: neither done nor failed."""


def exit_code(status: Status) -> Exit:
    """Exit code of `haagent status`."""
    if not part(status, "takeover").get("possible") or status.get("condition") == "critical":
        return Exit.CRITICAL
    if any(inactive(group) for group in rows(status, "groups")):
        return Exit.CRITICAL
    return Exit.FINE if status.get("condition") == "fine" else Exit.DEGRADED


def inactive(group: Status) -> bool:
    """True if neither node says that it holds the group."""
    return "active" not in (group.get("role"), group.get("peer_role"))


def part(holder: Status, key: str) -> Status:
    """The object at `key`, an empty one if there is none."""
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def rows(holder: Status, key: str) -> list[Status]:
    """The objects of the list at `key`, whatever else stands there."""
    value = holder.get(key)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
