# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd, asked over D-Bus as long as there is one, and through systemctl otherwise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from haagent.resources.systemctl import ThroughSystemctl
from haagent.resources.unit_bus import OverBus
from haagent.resources.units import AwayError, JobResult, UnitState, Verb, Way

T = TypeVar("T")


class Systemd:
    """The service manager of this host: one for all groups, opened before them."""

    def __init__(
        self, over_bus: OverBus | None = None, by_program: ThroughSystemctl | None = None
    ) -> None:
        """Nothing is opened yet; other than the system's own are for tests."""
        self._over_bus = over_bus or OverBus()
        self._by_program = by_program or ThroughSystemctl()

    def open(self) -> None:
        """Begin to keep a connection to the bus; harmless when repeated."""
        self._over_bus.bus.open()

    async def close(self) -> None:
        """Let go of the bus; units stay as they are. Never raises."""
        await self._over_bus.close()

    def watch(self, unit: str, changed: Callable[[], None]) -> None:
        """As `OverBus.watch`; while there is no bus nothing is heard, and looks must do."""
        self._over_bus.watch(unit, changed)

    def unwatch(self, unit: str, changed: Callable[[], None]) -> None:
        """Undo `watch`."""
        self._over_bus.unwatch(unit, changed)

    async def reachable(self) -> bool:
        """Whether it is there on D-Bus, now or in a moment; for `doctor` and for tests."""
        return await self._over_bus.bus.available()

    async def state(self, unit: str) -> UnitState:
        """As `Way` says."""
        return await self._ask(lambda way: way.state(unit))

    async def order(self, verb: Verb, unit: str, wait_s: float) -> JobResult:
        """As `Way` says."""
        return await self._ask(lambda way: way.order(verb, unit, wait_s))

    async def processes(self, unit: str) -> tuple[str, ...]:
        """As `Way` says."""
        return await self._ask(lambda way: way.processes(unit))

    async def kill(self, unit: str) -> None:
        """As `Way` says."""
        await self._ask(lambda way: way.kill(unit))

    async def reset_failed(self, unit: str) -> None:
        """As `Way` says."""
        await self._ask(lambda way: way.reset_failed(unit))

    async def show(self, unit: str, *names: str) -> dict[str, str]:
        """As `Way` says."""
        return await self._ask(lambda way: way.show(unit, *names))

    async def _ask(self, question: Callable[[Way], Awaitable[T]]) -> T:
        """Every question and every order may be repeated, so a doubt is settled by asking again."""
        reason = "systemd is not on D-Bus"
        if await self._over_bus.bus.available():
            try:
                return await question(self._over_bus)
            except AwayError as error:
                reason = str(error)
        try:
            return await question(self._by_program)
        except AwayError as error:
            raise AwayError(f"{reason}; {error}") from error
