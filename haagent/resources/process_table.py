# SPDX-License-Identifier: GPL-2.0-or-later
"""What /proc tells of processes, for the operator. Reading it blocks for milliseconds.

Only `stat` and `comm` are read: for a process's command line the kernel takes a lock of its memory,
for which one that hangs keeps everybody waiting.

Source: proc(5).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


async def living(group: int) -> str:
    """The processes of a group that still live, each with its name and state; "" for none."""
    try:
        return await asyncio.to_thread(_living, group)
    except RuntimeError:  # No more threads: nobody can tell zombies from the living.
        return f"process group {group}"


def name_of(pid: str) -> str:
    """What a process is called; "" if it has just ended."""
    try:
        return PROC.joinpath(pid, "comm").read_text(errors="backslashreplace").strip()
    except OSError:
        return ""


def _living(group: int) -> str:
    """Of stat: the name in parentheses, state, parent, process group."""
    found = []
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # Ended while we looked.
            head, _, tail = path.read_text(errors="replace").rpartition(")")
            state, _parent, its_group = tail.split()[:3]
            if int(its_group) == group and state not in "ZX":
                pid, _, name = head.partition(" (")
                found.append(f"{pid} ({name}, state {state})")
    return ", ".join(found)
