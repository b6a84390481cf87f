# SPDX-License-Identifier: GPL-2.0-or-later
"""What a task raises that nobody awaits: a bug of ours, of which the process dies.

The loop's owner says how (`agent.Agent`), and systemd starts us into a known state.
"""

from __future__ import annotations

import asyncio
from typing import Any


def die_of_bugs(task: asyncio.Task[Any]) -> None:
    """For `add_done_callback`: hand what the task raised to the loop's exception handler."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler(
            {"message": "a task failed", "exception": error, "task": task}
        )
