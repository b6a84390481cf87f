# SPDX-License-Identifier: GPL-2.0-or-later
"""Any systemd unit as a resource.

The result of a job gives the words, the unit's own state gives the fact: an order is repeated
(which joins a job that still runs) and the unit looked at until it is where it should be, or the
limit has passed. So a lost signal, a bus that dies in mid job or a systemd that is re-executed
costs time, but leads to no wrong belief.

Stopped (S7) is: systemd is done with the unit, has no order for it, *and* no process is left in
its control group. A stop that timed out, `KillMode=process`, or a daemon that left its children
makes a unit "inactive" or "failed" with its data still in somebody's hands. What is left is killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from haagent.resources import Condition, Reading, ResourceError, Times
from haagent.resources.pid1 import Systemd
from haagent.resources.units import (
    UNIT_NAME,
    UNIT_NAME_CHARACTERS_MAX,
    AwayError,
    JobResult,
    RefusedError,
    UnitState,
    Verb,
)

LOOK_S = 0.5
"""Between two looks at a unit that is underway; a signal of its change cuts it short."""
JOB_LOOK_S = 2.0
"""How long the end of a job is waited for by its signal alone; a tenth of a short limit."""
KILL_RESERVE_S = 10.0
"""So long before its limit a stop kills what is left of the unit; a third of a short limit."""
UNKNOWN_GRACE_S = 30.0
"""So long the last reading stands while nobody can ask systemd: a service does not end because
its supervisor is re-executed, upgraded or overwhelmed. After that, nobody can tell: FAILED."""

UNUSABLE = {
    "not-found": "there is no such unit on this node",
    "masked": "the unit is masked; systemctl unmask it",
    "bad-setting": "systemd refuses the unit's file; see systemctl status",
    "error": "systemd cannot read the unit's file; see systemctl status",
}
"""What a load state other than "loaded" means to whoever wants to start it."""
ENDINGS = {
    JobResult.CANCELED: "somebody cancelled the job, or ordered the contrary",
    JobResult.TIMEOUT: "the job took longer than its JobTimeoutSec",
    JobResult.FAILED: "the job failed",
    JobResult.DEPENDENCY: "a unit that it needs did not start",
    JobResult.SKIPPED: "systemd skipped the job",
}
LEFT_SHOWN_MAX = 3

log = structlog.get_logger()


class SystemdResource:
    """One unit of systemd on this node; see `Resource` for what each method promises."""

    def __init__(self, name: str, unit: str, times: Times, systemd: Systemd) -> None:
        """Nothing is asked yet.

        Args:
            name: Unique in its group.
            unit: With its suffix, e.g. "postgresql@15-main.service".
            times: `stop_s` should be longer than the unit's own TimeoutStopSec.
            systemd: Opened before the first call, closed after the last.
        """
        assert is_unit_name(unit), unit
        self._name = name
        self._unit = unit
        self.times = times
        """Limits and interval."""
        self._systemd = systemd
        self.on_change: Callable[[str], None] | None = None
        """Called on the loop with `name` when the unit's state may have changed: look at it."""
        self._changed = asyncio.Event()
        self._watching = False
        self._last: tuple[Reading, float] | None = None
        """The last reading that systemd answered for, and the loop's time of it."""
        self._restarts = 0
        """How often systemd itself had started it anew, as last seen."""

    @property
    def name(self) -> str:
        """Unique in its group."""
        return self._name

    async def start(self) -> None:
        """Make it active, from whatever it is."""
        self._watch()
        try:
            async with asyncio.timeout(self.times.start_s):
                await self._start()
        except TimeoutError:
            raise self._error(f"not active after {self.times.start_s:g} s") from None
        except (AwayError, RefusedError) as error:
            raise self._error(str(error)) from error

    async def stop(self) -> None:
        """Stop it, and see that nothing of it is left."""
        self._watch()
        left = ""
        loop = asyncio.get_running_loop()
        limit_s = self.times.stop_s
        kill_at = loop.time() + limit_s - min(KILL_RESERVE_S, limit_s / 3)
        try:
            async with asyncio.timeout(limit_s):
                while left := await self._what_is_left():
                    await self._push_down(kill=loop.time() >= kill_at)
        except TimeoutError:
            left = left or "systemd does not answer"
            raise self._error(f"not stopped after {limit_s:g} s: {left}") from None
        except RefusedError as error:
            raise self._error(str(error)) from error

    async def monitor(self) -> Reading:
        """Look at it now; while it changes, wait for what it becomes, within the limit."""
        self._watch()
        loop = asyncio.get_running_loop()
        reading: Reading | None = None
        reason = "systemd does not answer"
        with suppress(TimeoutError):
            async with asyncio.timeout(self.times.monitor_s):
                try:
                    state = await self._systemd.state(self._unit)
                    while state.will_change:
                        reading = Reading(Condition.FAILED, f"still {state}")
                        state = await self._next()
                    reading = await self._reading(state)
                except (AwayError, RefusedError) as error:
                    reading, reason = None, str(error)
        if reading is None:
            return self._nobody_can_tell(reason)
        self._last = (reading, loop.time())
        return reading

    async def retire(self) -> None:
        """Nothing: stop() leaves nothing running."""

    async def close(self) -> None:
        """Listen no more; the unit stays as it is."""
        if self._watching:
            self._watching = False
            self._systemd.unwatch(self._unit, self._heard)

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._systemd.watch(self._unit, self._heard)

    def _heard(self) -> None:
        self._changed.set()
        if self.on_change is not None:
            self.on_change(self._name)

    async def _next(self) -> UnitState:
        """The unit's state after a change, or after a pause without one."""
        await self._pause()
        return await self._systemd.state(self._unit)

    async def _order(self, verb: Verb, limit_s: float) -> JobResult:
        """Order it, and wait for a part of the limit: then the unit itself is looked at."""
        return await self._systemd.order(verb, self._unit, _look_s(limit_s))

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._changed.wait()
        self._changed.clear()

    async def _start(self) -> None:
        state = await self._systemd.state(self._unit)
        if state.is_down:
            await self._make_room(state)
        while not state.serves or state.has_job:
            result = await self._order(Verb.START, self.times.start_s)
            state = await self._systemd.state(self._unit)
            while result in {JobResult.DONE, JobResult.UNKNOWN} and state.is_underway:
                state = await self._next()
            if state.serves and not state.has_job:
                break
            if result is not JobResult.UNKNOWN or state.active == "failed":
                raise self._error(await self._why_not_started(result, state))
            await self._pause()
        self._restarts = 0  # systemd counts anew after an order to start.

    async def _make_room(self, state: UnitState) -> None:
        """Nothing may be left of an earlier life: two servers on one set of data destroy it."""
        if state.load in UNUSABLE:
            raise self._error(UNUSABLE[state.load])
        while await self._kill_left():
            await self._pause()
        # Also forgets how often it was started: how often it may be is our own policy.
        await self._systemd.reset_failed(self._unit)

    async def _why_not_started(self, result: JobResult, state: UnitState) -> str:
        text = ENDINGS.get(result, "")
        details = await self._systemd.show(
            self._unit, "Result", "ConditionResult", "Type", "RemainAfterExit"
        )
        if result is JobResult.DONE and state.active == "inactive":
            # What systemd knew of it may be gone: it unloads a unit that is not in use.
            if details.get("Type") == "oneshot" and details.get("RemainAfterExit") == "no":
                text = "it ended at once: Type=oneshot needs RemainAfterExit=yes to be a resource"
            elif details.get("ConditionResult") == "no":
                text = "a condition of the unit is not met, or it ended at once"
            else:
                text = "it ended at once"
        why = details.get("Result", "")
        return f"did not start: {text}; it is {state}" + (
            f", {why}" if why not in {"", "success"} else ""
        )

    async def _what_is_left(self) -> str:
        """What of it is not stopped yet, for the operator; "" for nothing.

        What would start it is looked at first, then its state, its processes last: so nothing
        can begin after it was found absent.
        """
        try:
            for trigger in await self._triggers():
                return f"{trigger} would start it again"
            state = await self._systemd.state(self._unit)
            if not state.is_down:
                return f"it is {state}"
            return _shown(await self._systemd.processes(self._unit))
        except AwayError as error:
            return f"nobody can tell: {error}"

    async def _push_down(self, *, kill: bool) -> None:
        """One more try to stop it, and a pause if that did not do it at once."""
        done = False
        with suppress(AwayError):
            done = await self._stop_triggers() and await self._stop_unit(kill=kill)
        if not done:
            await self._pause()

    async def _stop_triggers(self) -> bool:
        """Order what would start it again to stop; whether all of them did."""
        for trigger in await self._triggers():
            log.info("systemd.trigger_stopped", of=self._name, unit=trigger)
            await self._systemd.order(Verb.STOP, trigger, _look_s(self.times.stop_s))
        return not await self._triggers()

    async def _stop_unit(self, *, kill: bool) -> bool:
        """Order it to stop, or kill what it left; whether systemd is done with it."""
        state = await self._systemd.state(self._unit)
        if state.is_down:
            return not await self._kill_left()
        if kill:
            log.warning("systemd.killed", of=self._name, unit=self._unit, state=str(state))
            await self._systemd.kill(self._unit)
        await self._order(Verb.STOP, self.times.stop_s)
        return (await self._systemd.state(self._unit)).is_down

    async def _triggers(self) -> list[str]:
        """What would start it again: a socket starts its service with the next client."""
        shown = await self._systemd.show(self._unit, "TriggeredBy")
        names = shown.get("TriggeredBy", "").split()
        return [name for name in names if not (await self._systemd.state(name)).is_down]

    async def _kill_left(self) -> bool:
        """Kill what is left of a unit that is down; whether there was anything.

        systemd has done what it does: what still runs was spared by KillMode=, or outlived the
        unit's TimeoutStopSec. The alternative is that this node is powered off.
        """
        left = await self._systemd.processes(self._unit)
        if left:
            log.warning("systemd.killed", of=self._name, unit=self._unit, left=_shown(left))
            await self._systemd.kill(self._unit)
        return bool(left)

    async def _reading(self, state: UnitState) -> Reading:
        """What a state that will last means."""
        if state.serves:
            return await self._reading_of_active(state)
        if state.active == "failed":
            shown = await self._systemd.show(self._unit, "Result")
            return Reading(Condition.FAILED, f"failed: {shown.get('Result', '?')}")
        if state.active != "inactive":
            return Reading(Condition.FAILED, str(state))
        if left := _shown(await self._systemd.processes(self._unit)):
            return Reading(Condition.FAILED, left)
        return Reading(Condition.STOPPED, UNUSABLE.get(state.load, ""))

    async def _reading_of_active(self, state: UnitState) -> Reading:
        """A death is a failure, however quickly systemd has started it anew: it counts once."""
        shown = await self._systemd.show(self._unit, "NRestarts")
        restarts, before = _number(shown.get("NRestarts", "")), self._restarts
        self._restarts = restarts
        if restarts > before and self._last is not None:
            return Reading(Condition.FAILED, "it died, and systemd started it anew (Restart=)")
        return Reading(Condition.ACTIVE, "" if state.active == "active" else state.active)

    def _nobody_can_tell(self, reason: str) -> Reading:
        if self._last is not None:
            reading, seen_at = self._last
            age_s = asyncio.get_running_loop().time() - seen_at
            if age_s < UNKNOWN_GRACE_S:
                return Reading(reading.condition, f"as of {age_s:.0f} s ago: {reason}")
        return Reading(Condition.FAILED, f"nobody can tell: {reason}")

    def _error(self, text: str) -> ResourceError:
        return ResourceError(f"{self._unit}: {text}")


def _look_s(limit_s: float) -> float:
    return min(JOB_LOOK_S, limit_s / 10)


def is_unit_name(text: str) -> bool:
    """Whether it can be a unit, or an instance of a template; a template itself cannot."""
    return len(text) <= UNIT_NAME_CHARACTERS_MAX and UNIT_NAME.fullmatch(text) is not None


def _number(text: str) -> int:
    """A property that counts; 0 for a unit of a kind without it."""
    return int(text) if text.isdecimal() else 0


def _shown(processes: tuple[str, ...]) -> str:
    """Processes that are left, for the operator; "" for none."""
    if not processes:
        return ""
    more = len(processes) - LEFT_SHOWN_MAX
    names = ", ".join(processes[:LEFT_SHOWN_MAX])
    return f"left in its control group: {names}" + (f" and {more} more" if more > 0 else "")
