# SPDX-License-Identifier: GPL-2.0-or-later
"""The peer's power, from this node: off and read back, on again; would that work now?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from fencing import FenceOutcome
from fencing.levels import Fence as FenceLevels
from fencing.lock import FenceLock, lock_path
from fencing.readiness import Readiness, levels_ready
from fencing.settle import SettleTimes, Shot
from haagent.config import Configuration
from haagent.core.events import Event, FenceFinished, FenceReadied, PowerOnFinished
from haagent.outwaiting import Outwaiting
from haagent.witness.panel import Panel

log = structlog.get_logger()


class Shooting:
    """The peer's fence devices, level by level, and the watchdog that stands in for them.

    Args:
        configuration: Of this node.
        panel: The witnesses.
        take: Gets every event, on the loop.
        write: Runs what touches the disk.
        trouble: Why no shot of ours counts, whatever the devices say; "" if it does.
    """

    def __init__(
        self,
        configuration: Configuration,
        panel: Panel,
        take: Callable[[Event], None],
        write: Callable[[Callable[[], None]], asyncio.Future[None]],
        trouble: Callable[[], str],
    ) -> None:
        self._configuration = configuration
        self._take = take
        self._write = write
        self._trouble = trouble
        self.heard_ns: int | None = None
        """When the peer's last authentic frame arrived, monotonic: one read off does not speak."""
        self.settle = SettleTimes(configuration.state_dir / "settle.json")
        peer = configuration.pair.peer
        lock = lock_path(configuration.control_socket, configuration.node_names[peer])
        self._levels = FenceLevels(
            configuration.devices[peer],
            on_readiness=self._readied,
            hedge_after_s=configuration.hedge_after_s,
            lock=FenceLock(lock, "haagent"),
            last_heard_ns=lambda: self.heard_ns,
            settle_s=self.settle.settle_s,
        )
        self.outwaiting = Outwaiting(
            panel, lambda: self.heard_ns, allowed=configuration.watchdog.fence
        )
        self._judged: tuple[bool, str] | None = None

    async def start(self) -> None:
        """Log in to every device; look at it from now on."""
        await self._levels.start()

    async def close(self) -> None:
        """Log out of every device."""
        await self._levels.close()

    @property
    def readiness(self) -> tuple[Readiness, ...]:
        """What is known of each device."""
        return self._levels.readiness

    def reconfigure(self, new: Configuration) -> None:
        """Go on with these devices."""
        self._configuration = new
        self._levels.reconfigure(new.devices[new.pair.peer], new.hedge_after_s)
        self.judge()

    def expect_identity(self, identity: bytes) -> None:
        """The peer said which machine it is: its devices must say the same."""
        self._levels.expect_identity(UUID(bytes=identity))

    async def off(self, attempt: int) -> None:
        """Power the peer off and read it back; or see its own watchdog's time go by."""
        report = await self._levels.off()
        for step in report.steps:
            log.info(
                "fence.device_answered",
                attempt=attempt,
                device=step.device,
                level=step.level,
                outcome=step.outcome.value,
                detail=step.detail,
                evidence=step.evidence,
                ordered_ns=step.ordered_ns,
                read_off_ns=step.read_off_ns,
                took_ms=(step.finished_ns - step.started_ns) / 1e6,
            )
        self.measure_settle(report.proof)
        outcome, detail = report.outcome, report.detail
        read_ns = report.read_off_monotonic_ns
        if outcome is not FenceOutcome.CONFIRMED_OFF:
            gone_ns = await self.outwaiting.gone()
            if gone_ns is not None:
                outcome, read_ns = FenceOutcome.CONFIRMED_OFF, gone_ns
                log.info("fence.outwaited", attempt=attempt, instead_of=detail)
                detail = f"reset by its own watchdog; {detail}"
        self._take(FenceFinished(attempt, outcome, detail, read_ns))

    async def on(self, attempt: int) -> None:
        """Give the peer its power back."""
        report = await self._levels.on()
        self._take(PowerOnFinished(attempt, report.ok, report.detail))

    def measure_settle(self, shots: Sequence[Shot]) -> None:
        """The peer was read off: how much longer was it heard?"""
        devices = self._configuration.devices[self._configuration.pair.peer]
        if self.settle.learn(devices, shots, self.heard_ns):
            self._write(self.settle.save)

    def judge(self) -> None:
        """Tell the core whether a fence would work, if that is news."""
        judged = levels_ready(self.readiness)
        if trouble := self._trouble():
            judged = False, "; ".join(filter(None, (trouble, judged[1])))
        if judged != self._judged:
            self._judged = judged
            self._take(FenceReadied(*judged))

    def _readied(self, readiness: Readiness) -> None:
        log.debug("fence.checked", device=readiness.device, ready=readiness.ready)
        self.judge()
