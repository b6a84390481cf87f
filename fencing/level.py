# SPDX-License-Identifier: GPL-2.0-or-later
"""One level: all the devices that must be off together, e.g. the outlets of both supplies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from fencing import DeviceSettings, FenceOutcome, Power
from fencing.client import DeviceStep
from fencing.drivers import cuts_power
from fencing.verify import Happened, Progress, Tell

_CONTRARY = (Happened.READ, Happened.UNREAD)
"""A device that said off and then nothing, or anything else, is on its way to no proof."""
NO_POWER = "it may write to the disk no more, which says nothing of its power"
TellDevice = Callable[[DeviceSettings, Progress], None]
"""Hears the steps of every device."""


def nobody(device: DeviceSettings, progress: Progress) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class FenceReport:
    """How a fence ended, and each device's part in it."""

    outcome: FenceOutcome
    detail: str
    """Why it is not confirmed, device by device; "" if it is."""
    read_off_monotonic_ns: int | None
    """A moment at which the whole level was off."""
    steps: tuple[DeviceStep, ...]

    @property
    def proof(self) -> tuple[DeviceStep, ...]:
        """The steps of the level that was proved off; () if none was."""
        if self.outcome is not FenceOutcome.CONFIRMED_OFF:
            return ()
        return tuple(step for step in self.steps if step.level == self.steps[-1].level)


class Member(Protocol):
    """One device as its level sees it; DeviceClient is one."""

    @property
    def settings(self) -> DeviceSettings:
        """Its name and its deadline."""

    async def off(self, tell: Tell, deadline_ns: int | None) -> DeviceStep:
        """Order it off and make its own proof."""

    async def status(self, deadline_ns: int) -> tuple[int, Power]:
        """One reading now: when its query was about to leave, and what it said by the deadline."""

    async def on(self, tell: Tell) -> tuple[bool, str]:
        """Order it on: (True, "") if it was then read on, else why not."""


SomeMember = TypeVar("SomeMember", bound=Member)


class Level(Generic[SomeMember]):
    """The devices of one level, at least one."""

    def __init__(self, clients: tuple[SomeMember, ...]) -> None:
        self.clients = clients
        self.names = frozenset(client.settings.name for client in clients)
        self.deadline_s = max(client.settings.deadline_s for client in clients)
        """Limit of one off()."""
        self.proves = any(cuts_power(client.settings) for client in clients)
        """Whether its being off says that the machine is: a disk's permission alone does not."""
        self._read_off: set[str] = set()

    @property
    def promising(self) -> bool:
        """Whether every device read off when it was last asked, though not yet for long."""
        return self.proves and self._read_off == self.names

    async def off(self, tell: TellDevice) -> FenceReport:
        """Order all devices off at once, and prove that they are off at the same time (S3).

        Each device makes its own proof. Where there are several, all are then read once more: one
        that is on again by that time is ordered off anew, until the deadline.
        """
        deadline_ns = time.monotonic_ns() + round(self.deadline_s * 1e9)
        self._read_off.clear()
        steps: dict[str, DeviceStep] = {}
        wanted = self.clients
        while True:
            orders = [client.off(self._tell(client, tell), deadline_ns) for client in wanted]
            steps |= {step.device: step for step in await asyncio.gather(*orders)}
            if not all(step.confirmed for step in steps.values()):
                return _unproved(tuple(steps.values()), again=wanted is not self.clients)
            moment_ns, lit = await self._read_together(tuple(steps.values()), deadline_ns)
            if not lit:
                report = tuple(steps.values())
                if not self.proves:
                    return FenceReport(FenceOutcome.UNKNOWN, NO_POWER, None, report)
                return FenceReport(FenceOutcome.CONFIRMED_OFF, "", moment_ns, report)
            if time.monotonic_ns() >= deadline_ns:
                names = ", ".join(client.settings.name for client in lit)
                detail = f"never all off at the same time: {names} did not read off any more"
                return FenceReport(FenceOutcome.UNKNOWN, detail, None, tuple(steps.values()))
            wanted = lit

    async def on_after(
        self, pause_s: float, client: SomeMember, tell: TellDevice
    ) -> tuple[bool, str]:
        """Order one device on after a pause: (True, "") if it was then read on, else why not."""
        await asyncio.sleep(pause_s)
        return await client.on(self._tell(client, tell))

    async def _read_together(
        self, steps: tuple[DeviceStep, ...], deadline_ns: int
    ) -> tuple[int, tuple[SomeMember, ...]]:
        """A moment at which every device was off, and the devices that are not off any more.

        The proofs lie before the moment and the readings after it.
        """
        if len(steps) == 1:
            step = steps[0]
            return step.read_off_ns or step.finished_ns, ()
        readings = await asyncio.gather(*(c.status(deadline_ns) for c in self.clients))
        lit = (
            c for c, (_, power) in zip(self.clients, readings, strict=True) if power != Power.OFF
        )
        return min(asked_ns for asked_ns, _ in readings), tuple(lit)

    def _tell(self, client: SomeMember, tell: TellDevice) -> Tell:
        def heard(progress: Progress) -> None:
            if progress.happened is Happened.READ and progress.text == Power.OFF:
                self._read_off.add(client.settings.name)
            elif progress.happened in _CONTRARY:
                self._read_off.discard(client.settings.name)
            tell(client.settings, progress)

        return heard


def _unproved(steps: tuple[DeviceStep, ...], *, again: bool) -> FenceReport:
    """The end without a proof; `again`: every device had been proved off before."""
    ordered = again or any(step.outcome is not FenceOutcome.FAILED for step in steps)
    outcome = FenceOutcome.UNKNOWN if ordered else FenceOutcome.FAILED
    unproved = (step for step in steps if not step.confirmed)
    detail = "; ".join(f"{step.device}: {step.outcome}: {step.detail}" for step in unproved)
    return FenceReport(outcome, detail, None, steps)
