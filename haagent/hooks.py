# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the operator's commands after something has happened; nothing ever waits for them.

They are run one after another, in the order in which things happened, whatever group they are
about. A command that hangs is killed at its limit, with its whole process group; meanwhile later
ones wait in a queue. What the queue cannot hold is dropped, counted and said in the log.

A command is given, beside PATH and LANG, these variables, each always set:

    HAAGENT_EVENT    on_active, on_standby, on_fence or on_alarm
    HAAGENT_NODE     name of this node
    HAAGENT_PEER     name of the other one
    HAAGENT_GROUP    name of the group; empty if it is about the whole pair
    HAAGENT_TERM     term of that group, decimal; empty likewise
    HAAGENT_REASON   short code of why, e.g. still_serving; may be empty
    HAAGENT_DETAIL   a sentence for a person; may be empty
    HAAGENT_DROPPED  how many events before this one never got their command, decimal

An agent that ends kills the command that runs and forgets those that wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import structlog

from haagent.resources import ResourceError
from haagent.resources.process import Program, Programs

QUEUE_MAX = 64
"""A failover makes about five events; this is a bad hour behind one command that hangs."""
VALUE_CHARACTERS_MAX = 4096
"""Of one variable: all of them are far below what exec takes (execve(2), MAX_ARG_STRLEN)."""

_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), " ")
"""A line break in a variable has surprised many a script, and a zero byte cannot be passed."""

log = structlog.get_logger()


class Occasion(StrEnum):
    """What a command can be set for; the names are those of the configuration."""

    ACTIVE = "on_active"
    """This node has taken a group, its addresses are announced."""
    STANDBY = "on_standby"
    """This node has let go of a group, all of it was seen stopped."""
    FENCE = "on_fence"
    """This node has cut the peer's power, or has failed to."""
    ALARM = "on_alarm"
    """Somebody must look."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One command."""

    argv: tuple[str, ...]
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Happening:
    """What a command is told."""

    occasion: Occasion
    group: str = ""
    term: int | None = None
    reason: str = ""
    detail: str = ""


class Hooks:
    """The queue and the one task that works it off.

    Args:
        commands: At most one for each occasion.
        node: Name of this node.
        peer: Name of the other one.
    """

    def __init__(self, commands: Mapping[Occasion, Hook], node: str, peer: str) -> None:
        self._commands = dict(commands)
        self._fixed = {"HAAGENT_NODE": node, "HAAGENT_PEER": peer}
        # Each its own: one that SIGKILL does not end keeps only its own kind from being run.
        self._programs = {occasion: Programs(occasion.value) for occasion in commands}
        self._queue: deque[Happening] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._told = 0
        """Of `dropped`, how many a command was told of."""
        self.dropped = 0
        """Events that never got their command, since the agent started."""

    def tell(self, happening: Happening) -> None:
        """Have the command for it run, after those before it; never waits and never raises."""
        if happening.occasion not in self._commands:
            return
        if len(self._queue) >= QUEUE_MAX:
            self.dropped += 1
            log.warning("hook.dropped", hook=happening.occasion.value, dropped=self.dropped)
            return
        self._queue.append(happening)
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    def reconfigure(self, commands: Mapping[Occasion, Hook]) -> None:
        """Go on with these; one that runs may end."""
        self._commands = dict(commands)
        for occasion in commands.keys() - self._programs.keys():
            self._programs[occasion] = Programs(occasion.value)

    async def close(self) -> None:
        """Kill the command that runs and forget the others; harmless when repeated."""
        if self._queue:
            log.warning("hook.forgotten", waiting=len(self._queue))
        self._queue.clear()
        self._commands.clear()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait({self._worker})
        for programs in self._programs.values():
            programs.close()

    async def _work(self) -> None:
        """Ends when there is nothing left to do: an idle agent has no task for it."""
        try:
            while self._queue:
                await self._run(self._queue.popleft())
        finally:
            self._worker = None

    async def _run(self, happening: Happening) -> None:
        hook = self._commands.get(happening.occasion)
        if hook is None:
            return  # It is configured no more.
        told = self.dropped
        environment = self._fixed | variables(happening, dropped=told - self._told)
        self._told = told
        program = Program(hook.argv, happening.occasion.value, environment)
        try:
            done = await self._programs[happening.occasion].run(program, hook.timeout_s)
        except ResourceError as error:
            log.warning("hook.failed", hook=happening.occasion.value, reason=str(error))
            return
        if done.status == 0:
            log.info("hook.ran", hook=happening.occasion.value)
        else:
            log.warning("hook.failed", hook=happening.occasion.value, reason=str(done))


def variables(happening: Happening, *, dropped: int) -> dict[str, str]:
    """What the environment says of it: single lines, bounded."""
    values = {
        "HAAGENT_EVENT": happening.occasion.value,
        "HAAGENT_GROUP": happening.group,
        "HAAGENT_TERM": "" if happening.term is None else str(happening.term),
        "HAAGENT_REASON": happening.reason,
        "HAAGENT_DETAIL": happening.detail,
        "HAAGENT_DROPPED": str(dropped),
    }
    return {name: _passable(value) for name, value in values.items()}


def _passable(value: str) -> str:
    line = value.translate(_CONTROLS)[:VALUE_CHARACTERS_MAX]
    return line.encode(errors="replace").decode()
