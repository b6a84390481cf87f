# SPDX-License-Identifier: GPL-2.0-or-later
"""The last fence level: wait until the silent peer's own watchdog must have reset it (S2 e).

It needs no device of ours. The peer said in its frames after how long, at most, its watchdog has
reset it once it lost us and the witnesses (haagent.feeding). It has lost us since we heard it last,
and them since they agreed to our takeover, as long as they have not broken that since. So the proof
is complete when they are asked once more, that long after both, and say yes. Source: docs/adr/0017.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from haagent.feeding import outwait_ns
from haagent.witness.panel import Kept, Panel

SPARE_S = 15.0
"""Beyond the time that it takes: for answers that are late. Then the fence has failed."""

log = structlog.get_logger()


class Outwaiting:
    """Of one agent.

    Args:
        panel: The witnesses, which the core has asked again and again while it fences.
        heard_ns: When the peer was last heard, monotonic.
        allowed: This node's own watchdog is a fence too; else nothing is ever proved.
    """

    def __init__(self, panel: Panel, heard_ns: Callable[[], int | None], *, allowed: bool) -> None:
        self._panel = panel
        self._heard_ns = heard_ns
        self._allowed = allowed
        self.peer_unfed_s = 0
        """What the peer promised last; 0: nothing."""

    @property
    def possible(self) -> bool:
        """The peer has promised to be reset."""
        return self._allowed and self.peer_unfed_s > 0

    @property
    def takes_s(self) -> float:
        """How long it takes to prove the peer gone this way; 0 where it is not possible."""
        return outwait_ns(self.peer_unfed_s) / 1e9 if self.possible else 0.0

    async def gone(self) -> int | None:
        """Wait for the peer's end.

        Returns:
            A moment by which it was reset, monotonic ns; None: it cannot be proved.
        """
        if not self.possible or self._panel.kept is None:
            return None
        need_ns = outwait_ns(self.peer_unfed_s)
        log.info("fence.outwaiting", unfed_s=self.peer_unfed_s, takes_s=need_ns / 1e9)
        try:
            async with asyncio.timeout(need_ns / 1e9 + SPARE_S):
                return await self._proof(need_ns)
        except TimeoutError:
            return None

    async def _proof(self, need_ns: int) -> int | None:
        while (kept := self._panel.kept) is not None:
            if proved(kept, self._heard_ns() or 0, need_ns):
                return kept.asked_ns
            self._panel.claimed.clear()
            await self._panel.claimed.wait()
        return None


def proved(kept: Kept, heard_ns: int, need_ns: int) -> bool:
    """Whether the peer has been without us and without the witnesses for long enough.

    Args:
        kept: Their consent to us.
        heard_ns: When we last heard the peer.
        need_ns: What is enough.
    """
    return kept.asked_ns - max(kept.since_ns, heard_ns) >= need_ns
