# SPDX-License-Identifier: GPL-2.0-or-later
"""All devices that cut one node's power, by levels: the package's door for the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from fencing import DeviceSettings, FenceOutcome
from fencing.client import DeviceClient, DeviceStep, Readiness


@dataclass(frozen=True, slots=True)
class FenceReport:
    """How a fence ended, and each device's part in it."""

    outcome: FenceOutcome
    detail: str
    """Why it is not confirmed, device by device; "" if it is."""
    read_off_monotonic_ns: int | None
    """A moment since which the whole level is off: that of the last device's last query."""
    steps: tuple[DeviceStep, ...]


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
    """

    def __init__(
        self, devices: Sequence[DeviceSettings], *, on_readiness: Callable[[Readiness], None]
    ) -> None:
        assert devices, "a fence needs a device"
        ascending = sorted(devices, key=lambda device: device.level)
        self._clients = [DeviceClient(device, on_readiness) for device in ascending]
        self._used: frozenset[str] = frozenset()

    async def start(self) -> None:
        """Begin to start workers and to warm their sessions, all in the background."""
        for client in self._clients:
            client.start()

    async def close(self) -> None:
        """Log every session out and end every worker, in about a second."""
        await asyncio.gather(*(client.close() for client in self._clients))

    @property
    def readiness(self) -> tuple[Readiness, ...]:
        """What is known of each device, levels ascending."""
        return tuple(client.readiness for client in self._clients)

    def expect_identity(self, identity: UUID) -> None:
        """Hold every device to the machine that the peer says it is."""
        for client in self._clients:
            client.expect_identity(identity)

    async def off(self) -> FenceReport:
        """Cut the power, level after level, until one level is read off (S3).

        All devices of a level are ordered at once and all must be proved off. Cancelling kills
        the workers concerned, so that nothing of the attempt happens later; new ones start.

        Returns:
            CONFIRMED_OFF, FAILED if no device can have been given an order, else UNKNOWN.
        """
        steps: tuple[DeviceStep, ...] = ()
        ordered: frozenset[str] = frozenset()
        for level in self._levels():
            self._used = ordered.union(client.settings.name for client in level)
            done = tuple(await asyncio.gather(*(client.off() for client in level)))
            steps += done
            ordered = ordered.union(s.device for s in done if s.outcome is not FenceOutcome.FAILED)
            self._used = ordered
            if all(step.outcome is FenceOutcome.CONFIRMED_OFF for step in done):
                moment_ns = max(step.read_off_ns or step.finished_ns for step in done)
                return FenceReport(FenceOutcome.CONFIRMED_OFF, "", moment_ns, steps)
        outcome = FenceOutcome.UNKNOWN if ordered else FenceOutcome.FAILED
        unproved = (step for step in steps if step.outcome is not FenceOutcome.CONFIRMED_OFF)
        detail = "; ".join(f"{step.device}: {step.outcome}: {step.detail}" for step in unproved)
        return FenceReport(outcome, detail, None, steps)

    async def on(self) -> PowerReport:
        """Give the power back, with the devices that the last off() used, or with all.

        Levels descend, because an outlet feeds the BMC that is asked afterwards.
        """
        reasons = []
        for level in reversed(self._levels()):
            wanted = [c for c in level if not self._used or c.settings.name in self._used]
            answers = await asyncio.gather(*(client.on() for client in wanted))
            for client, (ok, detail) in zip(wanted, answers, strict=True):
                if not ok:
                    reasons.append(f"{client.settings.name}: {detail}")
        return PowerReport(ok=not reasons, detail="; ".join(reasons))

    def _levels(self) -> list[list[DeviceClient]]:
        by_level = groupby(self._clients, key=lambda client: client.settings.level)
        return [list(level) for _, level in by_level]
