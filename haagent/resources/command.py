# SPDX-License-Identifier: GPL-2.0-or-later
"""A resource made of three commands of the operator's: start, stop and, better with it, monitor.

What is asked of them:

    start     may return once the service is on its way; asked only when monitor did not say ACTIVE
    stop      returns 0 once the service is down, also if it was down before; not asked of what was
              never seen to run, if monitor says that it is stopped for certain
    monitor   exit 0: it serves; 7: it is stopped for certain; all else, and no answer: it failed

Source: OCF resource agent API 1.1, exit codes OCF_SUCCESS and OCF_NOT_RUNNING.

Each gets `HAAGENT_RESOURCE`, `HAAGENT_ACTION` and `HAAGENT_LIMIT_S` in its environment, beside
`process.ENVIRONMENT` and what the configuration adds. Without a monitor command nobody looks: a
stop that exits with 0 is believed, and so is the service, until it is stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from haagent.resources import Condition, Reading, ResourceError, Times
from haagent.resources.process import Finished, Program, ProgramError, Programs

NOT_RUNNING = 7
FIRST_LOOK_PART = 1 / 3
"""Of the limit of a stop: for finding out whether there is anything to stop."""
VERIFY_PAUSE_S = 0.25
"""Between two looks at a service that is not yet where it is to be."""
POSITION_MAX = (1 << 63) - 1
"""What a frame has room for."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Commands:
    """What the operator wrote, each a program and its arguments."""

    start: tuple[str, ...]
    stop: tuple[str, ...]
    monitor: tuple[str, ...] | None = None
    position: tuple[str, ...] | None = None
    """Prints how fresh the data is here: a whole number, larger is fresher."""
    environment: Mapping[str, str] = field(default_factory=dict)


class CommandResource:
    """One service behind commands."""

    def __init__(self, name: str, commands: Commands, times: Times) -> None:
        """Nothing is run yet."""
        self._name = name
        self._commands = commands
        self.times = times
        """Limits and interval."""
        self._programs = Programs(name)
        # Of a service that nobody can look at: an earlier agent may have left it running.
        self._assumed = Condition.ACTIVE
        self._may_run = False
        """It was started, stopped or seen ACTIVE here, and no stop has ended well since: then only
        the stop command can say that nothing of it is left."""
        self._position_known = True

    @property
    def name(self) -> str:
        """Unique in its group."""
        return self._name

    async def start(self) -> None:
        """Run start and see it ACTIVE; what is ACTIVE is left alone, what is broken stopped first.

        Raises:
            ResourceError: It is not ACTIVE; something of it may run.
        """
        deadline_s = _now_s() + self.times.start_s
        self._may_run = True
        if self._commands.monitor is not None:
            before = await self._look(deadline_s)
            if before.condition is Condition.ACTIVE:
                return
            if before.condition is Condition.FAILED:
                await self._order("stop", self._commands.stop, deadline_s)
        self._assumed = Condition.ACTIVE
        await self._order("start", self._commands.start, deadline_s)
        await self._see(Condition.ACTIVE, deadline_s)

    async def stop(self) -> None:
        """Run stop, and see it STOPPED if there is a monitor command (S7).

        A node on which it never ran is not powered off because its stop command fails.

        Raises:
            ResourceError: The command failed, or the service was not seen STOPPED.
        """
        now_s = _now_s()
        deadline_s = now_s + self.times.stop_s
        if self._commands.monitor is not None and not self._may_run:
            # If the look hangs, most of the time is left for the stop.
            seen = await self._look(now_s + self.times.stop_s * FIRST_LOOK_PART)
            if seen.condition is Condition.STOPPED:
                return
        self._may_run = True
        await self._order("stop", self._commands.stop, deadline_s)
        await self._see(Condition.STOPPED, deadline_s)
        self._assumed, self._may_run = Condition.STOPPED, False

    async def monitor(self) -> Reading:
        """Look at it now."""
        return await self._look(_now_s() + self.times.monitor_s)

    async def position(self) -> int | None:
        """How fresh the data is here; None if nobody can tell now."""
        if self._commands.position is None:
            return None
        program = self._program("position", self._commands.position, self.times.monitor_s)
        try:
            finished = await self._programs.run(program, self.times.monitor_s)
        except ProgramError as error:
            self._tell_position(known=False, reason=str(error))
            return None
        position = _whole_number(finished)
        reason = f"{finished}; printed {finished.answer[:40]!r}" if position is None else ""
        self._tell_position(known=position is not None, reason=reason)
        return position

    async def retire(self) -> None:
        """Nothing is left to do: stop() leaves nothing running."""

    async def close(self) -> None:
        """Let go of what the service still writes to us."""
        self._programs.close()

    def _tell_position(self, *, known: bool, reason: str) -> None:
        """Only a change: it is asked every second."""
        if known and not self._position_known:
            log.info("resource.position_known", of=self._name)
        elif self._position_known and not known:
            log.warning("resource.position_unknown", of=self._name, reason=reason)
        self._position_known = known

    def _program(self, action: str, argv: tuple[str, ...], limit_s: float) -> Program:
        given = {
            "HAAGENT_RESOURCE": self._name,
            "HAAGENT_ACTION": action,
            "HAAGENT_LIMIT_S": f"{limit_s:.3f}",
        }
        return Program(
            argv,
            action,
            environment={**self._commands.environment, **given},
            lives_on=action == "start",
            quiet=action in {"monitor", "position"},
            answers=action == "position",
        )

    async def _order(self, action: str, argv: tuple[str, ...], deadline_s: float) -> None:
        """Run start or stop; raises ResourceError unless it exits with 0 in time."""
        limit_s = deadline_s - _now_s()
        if limit_s <= 0:
            raise ResourceError(f"{action}: no time is left for it")
        finished = await self._programs.run(self._program(action, argv, limit_s), limit_s)
        if finished.status != 0:
            raise ResourceError(f"{action}: {finished}")

    async def _see(self, wanted: Condition, deadline_s: float) -> None:
        """Look until it is what it shall be; raises ResourceError when time is up."""
        if self._commands.monitor is None:
            return
        while (seen := await self._look(deadline_s)).condition is not wanted:
            if _now_s() + VERIFY_PAUSE_S >= deadline_s:
                detail = f": {seen.detail}" if seen.detail else ""
                raise ResourceError(f"not {wanted} in time, but {seen.condition}{detail}")
            await asyncio.sleep(VERIFY_PAUSE_S)

    async def _look(self, deadline_s: float) -> Reading:
        if self._commands.monitor is None:
            return Reading(self._assumed, "assumed: there is no monitor command")
        limit_s = min(self.times.monitor_s, deadline_s - _now_s())
        if limit_s <= 0:
            return Reading(Condition.FAILED, "monitor: no time is left for it")
        program = self._program("monitor", self._commands.monitor, limit_s)
        try:
            finished = await self._programs.run(program, limit_s)
        except ProgramError as error:
            return Reading(Condition.FAILED, str(error))
        if finished.status == 0:
            self._may_run = True
            return Reading(Condition.ACTIVE)
        if finished.status == NOT_RUNNING:
            return Reading(Condition.STOPPED)
        return Reading(Condition.FAILED, f"monitor: {finished}")


def _whole_number(finished: Finished) -> int | None:
    text = finished.answer.strip()
    if finished.status != 0 or not (text.isascii() and text.isdigit()):
        return None
    # Longer than any number that fits: not even worth converting.
    number = int(text) if len(text) <= len(str(POSITION_MAX)) else POSITION_MAX + 1
    return number if number <= POSITION_MAX else None


def _now_s() -> float:
    return asyncio.get_running_loop().time()
