# SPDX-License-Identifier: GPL-2.0-or-later
"""All devices that cut one node's power, by levels: the package's door for agent and console.

Levels are tried in order. The next one starts when the one before has failed, or beside it when
that has not read off within `hedge_after`; the first whole level that is proved off wins and the
others are given up. What a given-up order may still do late is waited for before the power is
given back: so no order of ours can switch off what was switched on again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from uuid import UUID

from fencing import DeviceSettings, FenceOutcome
from fencing.client import DeviceClient
from fencing.drivers import cuts_power
from fencing.findings import Finding, Trouble
from fencing.level import FenceReport, Level, TellDevice, nobody
from fencing.lock import FenceLock, LockedError
from fencing.readiness import Readiness

ON_STAGGER_S = 0.5
"""Between two outlets or supplies that are switched on: their inrush currents do not add up."""


@dataclass(frozen=True, slots=True)
class PowerReport:
    """How giving the power back ended."""

    ok: bool
    """Every device concerned was read on."""
    detail: str


class Fence:
    """The devices of one node. Nothing here blocks or raises for a dead device.

    Args:
        devices: At least one.
        on_readiness: Called in the loop with every new judgement of a device.
        hedge_after_s: A level that has not read off by then gets the next one beside it.
        lock: Held while the power is switched; None if nobody else could.
        last_heard_ns: When the node was last heard, monotonic; None if nobody listens.
        settle_s: How long a device must read off; as its settings say if left out.
    """

    def __init__(  # noqa: PLR0913  # by keyword, and all but two have a default
        self,
        devices: Sequence[DeviceSettings],
        *,
        on_readiness: Callable[[Readiness], None],
        hedge_after_s: float = 2.0,
        lock: FenceLock | None = None,
        last_heard_ns: Callable[[], int | None] = lambda: None,
        settle_s: Callable[[DeviceSettings], float] = lambda device: device.off_settle_s,
    ) -> None:
        assert devices, "a fence needs a device"
        ascending = sorted(devices, key=lambda device: device.level)
        self._on_readiness = on_readiness
        self._hedge_after_s = hedge_after_s
        self._lock = lock
        self._client = partial(
            DeviceClient,
            on_readiness=self._readied,
            last_heard_ns=last_heard_ns,
            settle_s=settle_s,
        )
        self._identity: UUID | None = None
        self._late_ns = 0
        """Until then a device that is no longer ours may still carry an order out."""
        self._replacing: set[asyncio.Task[None]] = set()
        self._used: frozenset[str] = frozenset()
        self._arrange([self._client(device) for device in ascending])

    def _arrange(self, clients: list[DeviceClient]) -> None:
        """Have these, levels ascending."""
        self._clients = clients
        by_level = groupby(clients, key=lambda client: client.settings.level)
        self._levels = [Level(tuple(of_level)) for _, of_level in by_level]
        self._deadline_s = sum(level.deadline_s for level in self._levels)

    async def start(self) -> None:
        """Begin to start workers and to warm their sessions, all in the background."""
        for client in self._clients:
            client.start()

    async def close(self) -> None:
        """Log every session out and end every worker, in about a second."""
        if self._replacing:
            await asyncio.wait(self._replacing)
        await asyncio.gather(*(client.close() for client in self._clients))

    def reconfigure(self, devices: Sequence[DeviceSettings], hedge_after_s: float) -> None:
        """Go on with these; what stays as it was keeps its session. Not within off() or on().

        Args:
            devices: At least one.
            hedge_after_s: As at first.
        """
        assert devices, "a fence needs a device"
        self._hedge_after_s = hedge_after_s
        gone = [client for client in self._clients if client.settings not in devices]
        kept = {client.settings.name: client for client in self._clients if client not in gone}
        ascending = sorted(devices, key=lambda device: device.level)
        clients = [kept.get(device.name) or self._client(device) for device in ascending]
        new = [client for client in clients if client not in kept.values()]
        self._late_ns = max(self._late_ns, *(client.late_until_ns for client in gone), 0)
        self._arrange(clients)
        self._used &= {device.name for device in devices}
        for client in new:
            if self._identity is not None:
                client.expect_identity(self._identity)
        task = asyncio.create_task(_replace(gone, new))
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    @property
    def readiness(self) -> tuple[Readiness, ...]:
        """What is known of each device, levels ascending."""
        return tuple(client.readiness for client in self._clients)

    async def checked(self) -> tuple[Readiness, ...]:
        """The first judgement of every device, as soon as there is one of each."""
        return tuple(await asyncio.gather(*(client.checked() for client in self._clients)))

    def expect_identity(self, identity: UUID) -> None:
        """Hold every device to the machine that the peer says it is."""
        self._identity = identity
        for client in self._clients:
            client.expect_identity(identity)

    async def off(self, tell: TellDevice = nobody) -> FenceReport:
        """Cut the power with one level or another, until a whole level is read off (S3).

        All devices of a level are ordered at once and all must be proved off. Cancelling ends
        the workers concerned, so that nothing of the attempt happens later; new ones start.

        Args:
            tell: Hears every step of every device.

        Returns:
            CONFIRMED_OFF, FAILED if no device can have been given an order, else UNKNOWN.
        """
        try:
            async with self._alone("off"):
                return await self._off(tell)
        except LockedError as error:
            return FenceReport(FenceOutcome.FAILED, f"not begun: {error}", None, ())
        finally:
            self._recheck()

    async def on(self, tell: TellDevice = nobody) -> PowerReport:
        """Give the power back, with the devices that the last off() used, or with all.

        First every order to cut it is waited for that was given up and may still be carried out.
        Levels descend, because an outlet feeds the BMC that is asked afterwards.
        """
        try:
            async with self._alone("on"):
                await self._late_orders()
                return await self._on(tell)
        except LockedError as error:
            return PowerReport(ok=False, detail=f"not begun: {error}")
        finally:
            self._recheck()

    async def _off(self, tell: TellDevice) -> FenceReport:
        waiting = list(self._levels)
        running: dict[asyncio.Task[FenceReport], Level[DeviceClient]] = {}
        reports: list[FenceReport] = []
        used: set[str] = set()
        try:
            while waiting or running:
                if waiting and not any(level.promising for level in running.values()):
                    level = waiting.pop(0)
                    used |= level.names
                    self._used = frozenset(used)
                    running[asyncio.create_task(level.off(tell))] = level
                done, _ = await asyncio.wait(
                    running,
                    timeout=self._hedge_after_s if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    level, report = running.pop(task), task.result()
                    reports.append(report)
                    if report.outcome is FenceOutcome.CONFIRMED_OFF:
                        return _told(report, reports)
                    if report.outcome is FenceOutcome.FAILED:
                        used -= level.names  # Nothing was switched, so nothing is given back.
                        self._used = frozenset(used)
        finally:
            await _give_up(running)
        return _unproved(reports)

    async def _late_orders(self) -> None:
        late_ns = max(self._late_ns, *(client.late_until_ns for client in self._clients))
        await asyncio.sleep(max(late_ns - time.monotonic_ns(), 0) / 1e9)

    async def _on(self, tell: TellDevice) -> PowerReport:
        reasons = []
        for level in reversed(self._levels):
            # Whom a disk knows, it registers: nobody but the node itself may let it in.
            powers = [c for c in level.clients if cuts_power(c.settings)]
            wanted = [c for c in powers if not self._used or c.settings.name in self._used]
            orders = [level.on_after(i * ON_STAGGER_S, c, tell) for i, c in enumerate(wanted)]
            for client, (ok, detail) in zip(wanted, await asyncio.gather(*orders), strict=True):
                if not ok:
                    reasons.append(f"{client.settings.name}: {detail}")
        return PowerReport(ok=not reasons, detail="; ".join(reasons))

    def _recheck(self) -> None:
        for client in self._clients:
            client.recheck()

    def _alone(self, what: str) -> contextlib.AbstractAsyncContextManager[None]:
        if self._lock is None:
            return contextlib.nullcontext()
        return self._lock.held(what, self._deadline_s)

    def _readied(self, readiness: Readiness) -> None:
        """A device was judged: compare it with the others, then pass it on."""
        self._compare()
        self._on_readiness(readiness)

    def _compare(self) -> None:
        """Find entries that are one piece of hardware: together they prove less than they say."""
        for client in self._clients:
            own = client.readiness
            twins = [
                other.readiness
                for other in self._clients
                if other is not client and own.mark and other.readiness.mark == own.mark
            ]
            client.mark_twins(tuple(_twin(own, twin) for twin in twins))


def _twin(own: Readiness, twin: Readiness) -> Finding:
    trouble = Trouble.SAME_DEVICE if own.level == twin.level else Trouble.SHARED_DEVICE
    return Finding(trouble, f"the same device as {twin.device} ({own.mark})")


async def _replace(gone: Sequence[DeviceClient], new: Sequence[DeviceClient]) -> None:
    """Warm the new ones once the others have let go: both may be on one serial line."""
    await asyncio.gather(*(client.close() for client in gone))
    for client in new:
        client.start()


async def _give_up(running: dict[asyncio.Task[FenceReport], Level[DeviceClient]]) -> None:
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


def _told(winner: FenceReport, reports: Sequence[FenceReport]) -> FenceReport:
    """The proof, with the steps of the levels that ended before it."""
    steps = tuple(step for report in reports for step in report.steps)
    return FenceReport(winner.outcome, "", winner.read_off_monotonic_ns, steps)


def _unproved(reports: Sequence[FenceReport]) -> FenceReport:
    steps = tuple(step for report in reports for step in report.steps)
    ordered = any(report.outcome is not FenceOutcome.FAILED for report in reports)
    outcome = FenceOutcome.UNKNOWN if ordered else FenceOutcome.FAILED
    details = "; ".join(report.detail for report in reports)
    return FenceReport(outcome, details, None, steps)
