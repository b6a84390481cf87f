# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks a probe for the evidence of a takeover, which waits for nobody."""

from __future__ import annotations

import asyncio

from haagent.bugs import die_of_bugs
from haagent.probes import Answer, Probe


class EvidenceProbes:
    """Questions with a limit of their own.

    Args:
        limit_s: After that a probe counts as not answered. It is ended then, which may take
            seconds (a command that heeds no signal), and nobody waits for that.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._asking: set[asyncio.Task[Answer]] = set()

    async def serves(self, probe: Probe) -> bool:
        """Whether the service answers in time."""
        asking = asyncio.get_running_loop().create_task(probe.answers())
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        asking.add_done_callback(die_of_bugs)
        try:
            await asyncio.wait({asking}, timeout=self._limit_s)
        finally:
            asking.cancel()
        return asking.done() and not asking.cancelled() and asking.result().ok

    async def close(self) -> None:
        """End every question; returns when nothing of them is left."""
        asking = tuple(self._asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
