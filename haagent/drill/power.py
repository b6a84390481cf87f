# SPDX-License-Identifier: GPL-2.0-or-later
"""The peer's power, touched through fencing alone, by a process that outlives the drill.

A drill that dies after its order leaves a process that still reads the power back, and gives it
back where that is what was ordered.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from asyncio.subprocess import Process
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from haagent.drill import giver
from haagent.errors import EdgeError

CONSOLE_S = 600.0
"""The console keeps to the devices' own deadlines; this is for one that hangs."""
DONE, ATTENTION = 0, 1
"""Exit codes of fencing.console.exits that are good."""


@dataclass(slots=True)
class Power:
    """Orders to the peer's fence devices."""

    config: Path
    me: str
    peer: str
    socket: Path
    _giver: Process | None = field(default=None, init=False)
    """Gives the power back should this program die."""

    async def cycle(self) -> dict[str, Any]:
        """Off, proved, and on again; the agent of this node is shown the proof.

        Raises:
            EdgeError: It was not read off, or not read on again.
        """
        return await self._console("haagent", "fence", "cycle")

    async def cut(self, lease_s: float) -> dict[str, Any]:
        """Off, proved; no agent is told.

        Args:
            lease_s: So long after this program's death the power is given back, as `give` does.

        Raises:
            EdgeError: It was not read off.
        """
        await self._keep_a_giver(lease_s)
        return await self._console("fencing", "off")

    async def _keep_a_giver(self, lease_s: float) -> None:
        command = self._command("haagent", "fence", "on", self.peer)
        argv = [sys.executable, "-I", "-S", giver.__file__, str(lease_s), *command]
        self._giver = await self._begin(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    async def given(self) -> None:
        """The power is back: nobody has to give it any more."""
        if self._giver is not None:
            await self._giver.communicate(b".")
            self._giver = None

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

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HAAGENT_SOCKET": str(self.socket)}

    def _command(self, module: str, *words: str) -> list[str]:
        where = ("--config", str(self.config), "--node", self.me)
        return [sys.executable, "-m", module, *words, "--yes", "--json", *where]

    async def _begin(self, argv: list[str], *, stdin: int, stdout: int) -> Process:
        """A process that lives on without us; Ctrl-C is for the drill, which then waits for it."""
        try:
            return await asyncio.create_subprocess_exec(
                *argv,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise EdgeError(f"no process for the fence console: {error.strerror}") from None

    async def _console(self, module: str, *verb: str, target: str | None = "") -> dict[str, Any]:
        peer = [self.peer] if target is not None else []
        argv = self._command(module, *verb, *peer)
        process = await self._begin(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
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
