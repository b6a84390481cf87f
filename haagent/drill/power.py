# SPDX-License-Identifier: GPL-2.0-or-later
"""The peer's power, touched through fencing alone, by a process that outlives the drill.

A drill that dies after its order leaves a process that still reads the power back, and gives it
back where that is what was ordered.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haagent.errors import EdgeError

CONSOLE_S = 600.0
"""The console keeps to the devices' own deadlines; this is for one that hangs."""
DONE, ATTENTION = 0, 1
"""Exit codes of fencing.console.exits that are good."""


@dataclass(frozen=True, slots=True)
class Power:
    """Orders to the peer's fence devices."""

    config: Path
    me: str
    peer: str
    socket: Path

    async def cycle(self) -> dict[str, Any]:
        """Off, proved, and on again; the agent of this node is shown the proof.

        Raises:
            EdgeError: It was not read off, or not read on again.
        """
        return await self._console("haagent", "fence", "cycle")

    async def cut(self) -> dict[str, Any]:
        """Off, proved; no agent is told.

        Raises:
            EdgeError: It was not read off.
        """
        return await self._console("fencing", "off")

    async def give(self) -> dict[str, Any]:
        """On; it is on already: nothing.

        Raises:
            EdgeError: It was not read on.
        """
        return await self._console("haagent", "fence", "on")

    async def test(self) -> dict[str, Any]:
        """Log in to every device of both nodes, read the power, ask whose it is.

        Raises:
            EdgeError: A device cannot be counted on.
        """
        return await self._console("haagent", "fence", "test", target=None)

    async def _console(self, module: str, *verb: str, target: str | None = "") -> dict[str, Any]:
        peer = [self.peer] if target is not None else []
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", module, *verb, *peer, "--yes", "--json"),
            *("--config", str(self.config), "--node", self.me),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "HAAGENT_SOCKET": str(self.socket)},
            start_new_session=True,  # Ctrl-C is for the drill, which then waits for this.
        )
        try:
            async with asyncio.timeout(CONSOLE_S):
                output, _ = await process.communicate()
        except TimeoutError:
            raise EdgeError(f"fence {verb[-1]} has no end; it runs on") from None
        try:
            result: dict[str, Any] = json.loads(output)
        except ValueError:
            raise EdgeError(f"fence {verb[-1]} ended with {process.returncode}") from None
        if process.returncode not in {DONE, ATTENTION}:
            raise EdgeError(str(result.get("message") or result.get("meaning")))
        return result
