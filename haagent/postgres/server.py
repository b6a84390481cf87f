# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the programs of one server, as its own user, and sees what of it lives.

Every process of a server works in its data directory. That is how they are told apart from those
of any other server, and how it is seen that nothing is left of this one (S7).
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from haagent.postgres.layout import PostgresSettings
from haagent.postgres.position import Position, log_position
from haagent.resources import ResourceError
from haagent.resources.process import Finished, Program, Programs

CONTROL_S = 5.0
"""pg_controldata reads one block."""
LOOK_S = 0.05
"""Between two looks at processes that are about to end."""
END_S = 5.0
"""SIGKILL takes effect at once, except in the kernel's uninterruptible sleep."""
IMMEDIATE_S = 5.0
"""Kept of a stop's limit for the way that needs no checkpoint."""
CLEAN = frozenset({"shut down", "shut down in recovery"})
"""States from which the log need not be replayed. Source: pg_controldata."""

_PLACES = (
    ("Latest checkpoint location", "Latest checkpoint's TimeLineID"),
    ("Minimum recovery ending location", "Min recovery ending loc's timeline"),
)
"""The second is 0/0 where there is none. Source: pg_controldata.c of PostgreSQL 13 to 17."""

Some = TypeVar("Some")


@dataclass(frozen=True, slots=True)
class Control:
    """What the control file of a server says, running or not."""

    state: str
    system: str
    """The identifier that a server shares with its copies alone."""
    position: Position
    """It has all of its history up to there, and perhaps more."""


class Server:
    """The programs and processes of one server on this node."""

    def __init__(self, settings: PostgresSettings) -> None:
        """Nothing is run yet."""
        self._settings = settings
        self._layout = settings.layout
        self._programs = Programs(settings.name)
        # A thread of its own: should the disk hang, only this server's looks at it do.
        self._disk = ThreadPoolExecutor(1, "postgresql")

    async def start(self, limit_s: float) -> None:
        """Start it; returns when it takes connections.

        Raises:
            ResourceError: It does not; its log says why.
        """
        options = shlex.join(["-c", f"config_file={self._layout.configuration}"])
        words = ["start", "-w", "-s", "-t", f"{max(1, round(limit_s)):d}", "-o", options]
        words += ["-l", str(self._layout.log), "-D", str(self._layout.data)]
        finished = await self.run("start", "pg_ctl", *words, limit_s=limit_s + 2, lives_on=True)
        if finished.status != 0:
            raise ResourceError(f"the server did not start: {finished}; see {self._layout.log}")

    async def stop(self, limit_s: float) -> None:
        """Stop it, first as gently as the time allows, and see that nothing of it is left.

        Raises:
            ResourceError: Something of it is.
        """
        for mode, mode_s in (("fast", limit_s - IMMEDIATE_S), ("immediate", IMMEDIATE_S)):
            if not await self.processes():
                return
            words = ["-w", "-s", "-m", mode, "-t", f"{max(1, round(mode_s)):d}"]
            with suppress(ResourceError):  # Whatever it says, it is looked at next.
                words = ["stop", *words, "-D", str(self._layout.data)]
                await self.run("stop", "pg_ctl", *words, limit_s=max(1.0, mode_s) + 1)
        await self.kill()

    async def kill(self) -> None:
        """End every process of it at once; what was acknowledged is on the disk.

        Raises:
            ResourceError: One survives even that.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + END_S
        while left := await self.processes():
            if loop.time() > until_s:
                raise ResourceError(f"SIGKILL does not end {', '.join(map(str, left))}")
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(LOOK_S)

    async def processes(self) -> list[int]:
        """Everything that runs of it."""
        return await self.on_disk(lambda: _processes(self._layout.data))

    async def on_disk(self, work: Callable[[], Some]) -> Some:
        """Do what touches the disk, off the loop, one after another."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    async def control(self) -> Control:
        """What its control file says.

        Raises:
            ResourceError: There is none, or it is damaged.
        """
        words = ("-D", str(self._layout.data))
        done = await self.run("look", "pg_controldata", *words, limit_s=CONTROL_S, answers=True)
        lines = (line.partition(":") for line in done.answer.splitlines())
        fields = {name.strip(): value.strip() for name, _, value in lines}
        if done.status != 0 or "Database cluster state" not in fields:
            raise ResourceError(f"{self._layout.data} holds no usable server: {done}")
        try:
            places = [
                Position(int(fields[timeline]), log_position(fields[place]))
                for place, timeline in _PLACES
            ]
        except (KeyError, ValueError) as error:
            raise ResourceError(f"{self._layout.data}: pg_controldata tells no {error}") from error
        state, system = fields["Database cluster state"], fields.get("Database system identifier")
        return Control(state, system or "", max(places))

    async def recover(self, limit_s: float) -> None:
        """Replay what a crash left in the log, without taking connections.

        Raises:
            ResourceError: It could not be done.
        """
        words = ["--single", "-D", str(self._layout.data)]
        words += ["-c", f"config_file={self._layout.configuration}", "template1"]
        finished = await self.run("recover", "postgres", *words, limit_s=limit_s)
        if finished.status != 0:
            raise ResourceError(f"crash recovery failed: {finished}")

    async def run(
        self,
        action: str,
        program: str,
        *words: str,
        limit_s: float,
        answers: bool = False,
        lives_on: bool = False,
    ) -> Finished:
        """Run one of the server's programs as its user.

        Raises:
            ResourceError: It did not come to its end in time.
        """
        user = self._settings.user
        become = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--")
        argv = (*become, str(self._layout.programs / program), *words)
        return await self._programs.run(
            Program(argv, action, answers=answers, quiet=answers, lives_on=lives_on), limit_s
        )

    def close(self) -> None:
        """Let go of what it still writes to us."""
        self._programs.close()
        self._disk.shutdown(wait=False, cancel_futures=True)


def postmaster(data: Path) -> int | None:
    """The process that leads a running server, by its own file; it may be of yesterday."""
    try:
        first, *_ = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return int(first) if re.fullmatch(r"[1-9][0-9]*", first) else None


def _processes(data: Path) -> list[int]:
    """By device and inode: a path means something else in a container."""
    try:
        place = data.stat()
    except OSError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                its = (entry / "cwd").stat()
            except OSError:
                continue  # It has just ended.
            if (its.st_dev, its.st_ino) == (place.st_dev, place.st_ino):
                found.append(int(entry.name))
    return found
