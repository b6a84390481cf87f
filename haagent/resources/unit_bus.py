# SPDX-License-Identifier: GPL-2.0-or-later
"""Units over D-Bus: their states, the ends of their jobs, and word of every change.

The subscription to JobRemoved stands before any order is given, because a job may end before the
reply that names it: ends are kept for a while, and looked up when the reply is there. When the bus
or systemd goes away in mid job its result is lost for good: `JobResult.UNKNOWN`.

Jobs are ordered with mode "replace". "fail" would refuse a stop because somebody's start is still
queued, and our own start because our last stop is. A host that shuts down has queued its stops
irreversibly: then a start is refused in either mode, as it should be.

Source: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from dbus_fast import Message, Variant

from haagent.resources.bus import DBUS, MANAGER, NAME, PATH, SYSTEM_BUS, SystemdBus
from haagent.resources.units import (
    AwayError,
    JobResult,
    RefusedError,
    UnitState,
    Verb,
)

ENDED_JOBS_MAX = 256
"""Ends of jobs kept for an order whose reply is still to come; all jobs of the host count."""
SIGKILL = 9
UNIT = f"{NAME}.Unit"
PROPERTIES = f"{DBUS}.Properties"
METHODS = {Verb.START: "StartUnit", Verb.STOP: "StopUnit"}
NO_SUCH_UNIT = f"{NAME}.NoSuchUnit"
NOTHING_TO_KILL = frozenset(
    {NO_SUCH_UNIT, f"{NAME}.NoSuchProcess", f"{DBUS}.Error.UnixProcessIdUnknown"}
)

log = structlog.get_logger()


class OverBus:
    """systemd asked over D-Bus."""

    matches = tuple(
        f"type='signal',sender='{NAME}',interface='{MANAGER}',path='{PATH}',member='{member}'"
        for member in ("JobRemoved", "Reloading")
    )

    def __init__(self, address: str = SYSTEM_BUS) -> None:
        """Nothing is opened yet: `bus.open()` does it."""
        self.bus = SystemdBus(self, address)
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        """By unit name."""
        self._names_at: dict[str, set[str]] = {}
        """Watched names by object path: several, if some are aliases."""
        self._states: dict[str, tuple[str, str]] = {}
        """Active state and sub state as last told by signal, by object path."""
        self._jobs: dict[str, asyncio.Future[JobResult]] = {}
        self._ended: OrderedDict[str, JobResult] = OrderedDict()
        self._errands: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Let go of the bus. Never raises."""
        for errand in self._errands:
            errand.cancel()
        await self.bus.close()

    def watch(self, unit: str, changed: Callable[[], None]) -> None:
        """Call `changed()` whenever the unit's state may have changed, from now on.

        Also when systemd comes back, for what happened meanwhile was not heard.
        """
        self._watchers.setdefault(unit, []).append(changed)
        errand = asyncio.create_task(self._listen(unit))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    def unwatch(self, unit: str, changed: Callable[[], None]) -> None:
        """Undo `watch`; what is not watched is ignored."""
        watchers = self._watchers.get(unit, [])
        if changed in watchers:
            watchers.remove(changed)

    async def state(self, unit: str) -> UnitState:
        """As `Way` says. One call tells all of it, of the same moment."""
        (rows,) = await self.bus.call("ListUnitsByNames", [unit], signature="as")
        ((_, _, load, active, sub, _, _, job, _, _),) = rows
        return UnitState(load, active, sub, bool(job))

    async def order(self, verb: Verb, unit: str, wait_s: float) -> JobResult:
        """As `Way` says."""
        (path,) = await self.bus.call(METHODS[verb], unit, "replace", signature="ss")
        if path in self._ended:
            return self._ended[path]
        end = self._jobs.get(path)
        if end is None:
            end = self._jobs[path] = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait((end,), timeout=wait_s)
        return end.result() if done else JobResult.UNKNOWN

    async def processes(self, unit: str) -> tuple[str, ...]:
        """As `Way` says; systemd reads the group itself, groups below it included."""
        try:
            (rows,) = await self.bus.call("GetUnitProcesses", unit, signature="s")
        except RefusedError as error:
            # Not loaded: systemd keeps a unit while something is in its group (unit_may_gc).
            if error.name == NO_SUCH_UNIT:
                return ()
            raise
        return tuple(f"{pid} {command}" for _, pid, command in rows)

    async def kill(self, unit: str) -> None:
        """As `Way` says."""
        try:
            await self.bus.call("KillUnit", unit, "all", SIGKILL, signature="ssi")
        except RefusedError as error:
            if error.name not in NOTHING_TO_KILL:
                raise

    async def reset_failed(self, unit: str) -> None:
        """As `Way` says."""
        try:
            await self.bus.call("ResetFailedUnit", unit, signature="s")
        except RefusedError as error:
            if error.name != NO_SUCH_UNIT:
                raise

    async def show(self, unit: str, *names: str) -> dict[str, str]:
        """As `Way` says."""
        (path,) = await self.bus.call("LoadUnit", unit, signature="s")
        found: dict[str, str] = {}
        for interface in (UNIT, f"{NAME}.{unit.rpartition('.')[2].capitalize()}"):
            with suppress(RefusedError):  # Not every kind of unit has properties of its own.
                (properties,) = await self.bus.call(
                    "GetAll", interface, signature="s", path=path, of=PROPERTIES
                )
                found |= {name: _text(properties[name]) for name in names if name in properties}
        return found

    def heard(self, signal: Message) -> None:
        """Take one signal of systemd."""
        body: list[Any] = signal.body
        match signal.member, signal.signature:
            case "JobRemoved", "uoss":
                self._job_ended(body[1], body[3])
            case "Reloading", "b" if not body[0]:
                self._tell_all()
            case "PropertiesChanged", "sa{sv}as":
                self._unit_changed(signal.path or "", body[1])
            case _:
                pass  # A later systemd may tell more.

    async def came(self) -> None:
        """Systemd is there, perhaps another one: listen anew, and look at everything."""
        self._names_at.clear()
        for unit in tuple(self._watchers):
            await self._hear_of(unit)
        self._tell_all()

    def left(self) -> None:
        """Systemd is gone, and the ends of its jobs with it."""
        self._states.clear()
        self._ended.clear()
        for end in self._jobs.values():
            end.set_result(JobResult.UNKNOWN)
        self._jobs.clear()

    async def _listen(self, unit: str) -> None:
        with suppress(AwayError):  # Once it is there, `came` does it.
            await self._hear_of(unit)

    async def _hear_of(self, unit: str) -> None:
        """Have its changes told. The name may be an alias: only systemd knows the object."""
        try:
            (path,) = await self.bus.call("LoadUnit", unit, signature="s")
            if path not in self._names_at:
                await self.bus.add_match(
                    f"type='signal',sender='{NAME}',interface='{PROPERTIES}',"
                    f"member='PropertiesChanged',path='{path}',arg0='{UNIT}'"
                )
        except RefusedError as error:
            log.warning("systemd.not_watched", unit=unit, reason=str(error))
        else:
            self._names_at.setdefault(path, set()).add(unit)

    def _job_ended(self, path: str, text: str) -> None:
        try:
            result = JobResult(text)
        except ValueError:
            result = JobResult.FAILED
        end = self._jobs.pop(path, None)
        if end is not None:
            end.set_result(result)
        self._ended[path] = result
        if len(self._ended) > ENDED_JOBS_MAX:
            self._ended.popitem(last=False)

    def _unit_changed(self, path: str, properties: dict[str, Variant]) -> None:
        """Systemd tells all properties at whatever change; only another state is news."""
        if "ActiveState" not in properties or "SubState" not in properties:
            return
        state = (properties["ActiveState"].value, properties["SubState"].value)
        if state != self._states.get(path):
            self._states[path] = state
            for unit in self._names_at.get(path, ()):
                self._tell(unit)

    def _tell_all(self) -> None:
        for unit in tuple(self._watchers):
            self._tell(unit)

    def _tell(self, unit: str) -> None:
        for changed in tuple(self._watchers.get(unit, ())):
            changed()


def _text(variant: Variant) -> str:
    """A property as `systemctl show` writes it: enough for words, numbers and lists of words."""
    match variant.value:
        case bool() as flag:
            return "yes" if flag else "no"
        case list() as words if all(isinstance(word, str) for word in words):
            return " ".join(words)
        case value:
            return str(value)
