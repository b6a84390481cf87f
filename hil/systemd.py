# SPDX-License-Identifier: GPL-2.0-or-later
"""A systemd that lies, dawdles and loses signals: its D-Bus interface, with faults to switch on.

Written from org.freedesktop.systemd1(5) and from what systemd 252 was seen to send (`hil.pid1` runs
the real one): the order of its signals, its paths, its errors. It has no units but those it is
given, and runs nothing: processes are numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

NAME = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
PROPERTIES = "org.freedesktop.DBus.Properties"


@dataclass(slots=True)
class FakeUnit:
    """One unit; a test may change anything, `FakeSystemd.tell` then makes it known."""

    load: str = "loaded"
    active: str = "inactive"
    sub: str = "dead"
    job: int = 0
    processes: list[tuple[int, str]] = field(default_factory=list)
    result: str = "success"
    restarts: int = 0
    triggered_by: list[str] = field(default_factory=list)
    extra: dict[str, Variant] = field(default_factory=dict)
    """Further properties of its own kind."""


@dataclass(slots=True)
class Faults:
    """What goes wrong from now on."""

    result: str = ""
    """Every job ends so, and changes nothing."""
    lies: bool = False
    """Jobs end as done and change nothing."""
    holds: bool = False
    """Jobs do not end until `finish`."""
    early: bool = False
    """A job's end is told before the reply that names the job."""
    mute: bool = False
    """No end of a job is told."""
    leaves: tuple[tuple[int, str], ...] = ()
    """Processes that a stop leaves behind."""
    immortal: bool = False
    """SIGKILL kills nothing."""
    deaf: bool = False
    """No call is answered."""
    refuses: str = ""
    """Every order is refused with this error."""


class FakeSystemd:
    """systemd on a bus."""

    def __init__(self, address: str) -> None:
        """Not connected yet."""
        self._address = address
        self._bus: MessageBus | None = None
        self._jobs: dict[int, tuple[str, str | None]] = {}
        self._last_job = 0
        self.units: dict[str, FakeUnit] = {}
        self.faults = Faults()
        self.orders: list[str] = []
        """Every order to a unit, as "StopUnit db.service"."""
        self.subscribed = 0
        """How often somebody has subscribed."""

    async def connect(self) -> None:
        """Come onto the bus."""
        self._bus = await MessageBus(self._address).connect()
        self._bus.add_message_handler(self._called)
        await self._bus.request_name(NAME)

    async def leave(self) -> None:
        """Go off the bus, as for a re-execution; units and jobs stay."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()
            try:
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # not annotated
            except (OSError, EOFError):
                return  # The bus was killed before.

    def finish(self, unit: str, result: str = "done") -> None:
        """End the held job of that unit."""
        number = next(each for each, (name, _) in self._jobs.items() if name == unit)
        self._end(number, result)

    def become(self, unit: str, active: str, sub: str = "dead") -> None:
        """Change a unit's state, as when it dies by itself, and tell it."""
        self.units[unit].active, self.units[unit].sub = active, sub
        self.tell(unit)

    def tell(self, unit: str) -> None:
        """Send PropertiesChanged with all properties of the unit, as systemd does."""
        known = self.units[unit]
        changed = {
            "ActiveState": Variant("s", known.active),
            "SubState": Variant("s", known.sub),
            "Job": Variant("(uo)", [known.job, _job_path(known.job) if known.job else "/"]),
        }
        body = [f"{NAME}.Unit", changed, []]
        self._signal(_unit_path(unit), PROPERTIES, "PropertiesChanged", "sa{sv}as", body)

    def _signal(
        self, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> None:
        if self._bus is not None:
            self._bus.send(
                Message(
                    message_type=MessageType.SIGNAL,
                    path=path,
                    interface=interface,
                    member=member,
                    signature=signature,
                    body=body,
                )
            )

    def _called(self, call: Message) -> Message | bool | None:
        """Answer one method call."""
        if call.message_type is not MessageType.METHOD_CALL:
            return None
        if self.faults.deaf:
            return True
        body: list[Any] = call.body
        match call.member:
            case "Subscribe":
                self.subscribed += 1
                return Message.new_method_return(call)
            case "LoadUnit":
                return Message.new_method_return(call, "o", [_unit_path(body[0])])
            case "ListUnitsByNames":
                rows = [self._row(name) for name in body[0]]
                return Message.new_method_return(call, "a(ssssssouso)", [rows])
            case "GetAll":
                return Message.new_method_return(call, "a{sv}", [self._properties(call.path, body)])
            case "StartUnit" | "StopUnit" | "KillUnit" | "ResetFailedUnit" | "GetUnitProcesses":
                return self._for_unit(call, body[0])
            case _:
                error = "org.freedesktop.DBus.Error.UnknownMethod"
                return Message.new_error(call, error, "no such method here")

    def _for_unit(self, call: Message, name: str) -> Message:
        unit = self.units.get(name)
        if unit is None:
            return Message.new_error(call, f"{NAME}.NoSuchUnit", f"Unit {name} not loaded.")
        if call.member == "GetUnitProcesses":
            rows = [["/system.slice/" + name, pid, command] for pid, command in unit.processes]
            return Message.new_method_return(call, "a(sus)", [rows])
        self.orders.append(f"{call.member} {name}")
        if self.faults.refuses:
            return Message.new_error(call, self.faults.refuses, "refused by the bench")
        if call.member == "KillUnit":
            if not self.faults.immortal:
                unit.processes.clear()
            return Message.new_method_return(call)
        if call.member == "ResetFailedUnit":
            if unit.active == "failed":
                self.become(name, "inactive")
            return Message.new_method_return(call)
        return Message.new_method_return(call, "o", [self._job(name, call.member)])

    def _job(self, name: str, method: str | None) -> str:
        """Queue a job, or join the one of the same kind; its object path."""
        unit = self.units[name]
        if unit.job and self._jobs[unit.job][1] == method:
            return _job_path(unit.job)
        if unit.job:
            self._end(unit.job, "canceled")
        self._last_job += 1
        number = unit.job = self._last_job
        self._jobs[number] = (name, method)
        unit_type = ("activating", "start") if method == "StartUnit" else ("deactivating", "stop")
        if not self.faults.lies and not self.faults.result:
            unit.active, unit.sub = unit_type
        self.tell(name)
        if self.faults.early:
            self._end(number, "done")
        elif not self.faults.holds:
            # After the reply, as it is with most jobs.
            asyncio.get_running_loop().call_soon(self._end, number, "done")
        return _job_path(number)

    def _end(self, number: int, result: str) -> None:
        if number not in self._jobs:
            return
        name, method = self._jobs.pop(number)
        unit = self.units[name]
        unit.job = 0
        result = self.faults.result or result
        if result == "done" and not self.faults.lies:
            if method == "StartUnit":
                unit.active, unit.sub, unit.processes = "active", "running", [(100, "server")]
            else:
                unit.active, unit.sub = "inactive", "dead"
                unit.processes = list(self.faults.leaves)
        self.tell(name)
        if not self.faults.mute:
            body = [number, _job_path(number), name, result]
            self._signal(PATH, f"{NAME}.Manager", "JobRemoved", "uoss", body)

    def _row(self, name: str) -> list[Any]:
        unit = self.units.get(name, FakeUnit(load="not-found"))
        job = _job_path(unit.job) if unit.job else "/"
        state = [unit.load, unit.active, unit.sub]
        return [name, name, *state, "", _unit_path(name), unit.job, "", job]

    def _properties(self, path: str | None, body: list[Any]) -> dict[str, Variant]:
        for name, unit in self.units.items():
            if _unit_path(name) == path:
                if body[0] == f"{NAME}.Unit":
                    return {"TriggeredBy": Variant("as", unit.triggered_by)}
                found = {
                    "Result": Variant("s", unit.result),
                    "NRestarts": Variant("u", unit.restarts),
                }
                return found | unit.extra
        return {}


@asynccontextmanager
async def fake_systemd(address: str, *names: str) -> AsyncIterator[FakeSystemd]:
    """A systemd with these units on that bus; off the bus afterwards."""
    systemd = FakeSystemd(address)
    systemd.units = {name: FakeUnit() for name in names}
    await systemd.connect()
    try:
        yield systemd
    finally:
        await systemd.leave()


def _unit_path(name: str) -> str:
    """Source: org.freedesktop.systemd1(5), sd_bus_path_encode(3)."""
    escaped = "".join(each if each.isalnum() else f"_{ord(each):02x}" for each in name)
    return f"{PATH}/unit/{escaped}"


def _job_path(number: int) -> str:
    return f"{PATH}/job/{number}"
