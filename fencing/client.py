# SPDX-License-Identifier: GPL-2.0-or-later
"""The parent's side of one device: its worker kept alive and warm, its readiness known."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fencing import DeviceSettings, FenceOutcome, Power
from fencing.identity import same
from fencing.process import WorkerLostError, WorkerProcess
from fencing.worker import Message

CHECK_LIMIT_S = 15.0
"""The slowest check that can still succeed: silent session 1 s, logon 6 s, two answers of 3 s."""
ON_LIMIT_S = 10.0
"""A BMC that ordered power on says so within seconds; the agent tries again anyway."""
PREEMPT_S = 0.5
"""An order waits so long for a check in progress: a warm one takes milliseconds, a longer one
hangs at the device, and then a new worker is faster (0.2 s)."""
OVERRUN_S = 0.25
"""The worker keeps the deadline itself; so much later it is killed."""
RESTART_FIRST_S = 1.0
RESTART_MAX_S = 30.0
"""Pauses before a worker that died is started again; they double."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What the last check of a device said, i.e. whether it would work now."""

    device: str
    level: int
    ready: bool
    power: Power
    checked_monotonic_ns: int | None
    """When the last check ended, or was about to ask for the power if it read it."""
    detail: str
    """Why it is not ready, for the operator; "" if it is."""
    identity: UUID | None
    """The machine the device last answered for, bytes in the device's order."""
    identity_ok: bool | None
    """Whether that is the expected machine; None if either is not known."""


@dataclass(frozen=True, slots=True)
class DeviceStep:
    """One device's part in a fence; all moments are monotonic."""

    device: str
    level: int
    outcome: FenceOutcome
    detail: str
    started_ns: int
    finished_ns: int
    ordered_ns: int | None = None
    """When the order was about to leave; None if it did not, or nobody can tell."""
    read_off_ns: int | None = None
    """When the query was about to leave that completed the proof."""


class DeviceClient:
    """One device. Nothing here blocks, however dead the device is."""

    def __init__(self, settings: DeviceSettings, on_readiness: Callable[[Readiness], None]) -> None:
        self.settings = settings
        self._on_readiness = on_readiness
        self._expected = settings.expect_identity
        self._worker: WorkerProcess | None = None
        self._job: asyncio.Task[Message] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._closing = False
        self.readiness = Readiness(
            device=settings.name,
            level=settings.level,
            ready=False,
            power=Power.UNKNOWN,
            checked_monotonic_ns=None,
            detail="not checked yet",
            identity=None,
            identity_ok=None,
        )

    def start(self) -> None:
        """Warm the device in the background, and check it from then on."""
        assert self._watch is None, "already started"
        self._watch = asyncio.create_task(self._keep_warm(), name=f"fence {self.settings.name}")
        self._watch.add_done_callback(_raise_bug)

    def expect_identity(self, identity: UUID) -> None:
        """From now on only a device that answers for this machine, or for none, is used.

        What the settings say outranks it: some BMCs have an identity of their own.
        """
        if self.settings.expect_identity is not None:
            return
        self._expected = identity
        self._publish(self.readiness)

    async def off(self) -> DeviceStep:
        """Fence with this device, within its deadline and OVERRUN_S.

        Cancelling kills the worker: nothing of the attempt is sent afterwards.
        """
        started_ns = time.monotonic_ns()
        deadline_ns = started_ns + round(self.settings.deadline_s * 1e9)
        request = {
            "op": "off",
            "deadline_ns": deadline_ns,
            "off_settle_s": self.settings.off_settle_s,
            "expect": None if self._expected is None else str(self._expected),
        }
        ordered_ns = read_off_ns = None
        try:
            answer = await self._order(request, deadline_ns)
            outcome, detail = FenceOutcome(answer["outcome"]), answer["detail"]
            ordered_ns, read_off_ns = answer["ordered_ns"], answer["read_off_ns"]
        except WorkerLostError as error:
            outcome = FenceOutcome.UNKNOWN if error.was_asked else FenceOutcome.FAILED
            detail = str(error)
        return DeviceStep(
            device=self.settings.name,
            level=self.settings.level,
            outcome=outcome,
            detail=detail,
            started_ns=started_ns,
            finished_ns=time.monotonic_ns(),
            ordered_ns=ordered_ns,
            read_off_ns=read_off_ns,
        )

    async def on(self) -> tuple[bool, str]:
        """Order power on: (True, "") if it was then read on, else the reason."""
        deadline_ns = time.monotonic_ns() + round(ON_LIMIT_S * 1e9)
        try:
            answer = await self._order({"op": "on", "deadline_ns": deadline_ns}, deadline_ns)
        except WorkerLostError as error:
            return False, str(error)
        return answer["ok"], answer["detail"]

    async def close(self) -> None:
        """Log out and end the worker, in bounded time; an order in progress ends as UNKNOWN."""
        self._closing = True
        self._dismiss_worker()
        await self._ended()
        for task in (self._watch, self._job):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        self._dismiss_worker()  # One that was being started.
        await self._ended()

    async def _keep_warm(self) -> None:
        """Check now, after every order, and every `check_every_s`."""
        restart_s = RESTART_FIRST_S
        while True:
            self._wake.clear()
            try:
                await self._check()
                pause_s, restart_s = self.settings.check_every_s, RESTART_FIRST_S
            except WorkerLostError as error:
                self._publish(self._unready(str(error)))
                pause_s, restart_s = restart_s, min(2 * restart_s, RESTART_MAX_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    async def _check(self) -> None:
        while self._job is not None:
            await asyncio.wait({self._job})
        answer = await self._run(self._ask({"op": "check"}, CHECK_LIMIT_S))
        if "error" in answer:
            self._publish(self._unready(answer["error"]))
            return
        identity = answer["identity"]
        self._publish(
            replace(
                self.readiness,
                ready=True,
                power=Power(answer["power"]),
                checked_monotonic_ns=answer["asked_ns"],
                detail="",
                identity=None if identity is None else UUID(identity),
            )
        )

    def _unready(self, detail: str) -> Readiness:
        return replace(
            self.readiness,
            ready=False,
            power=Power.UNKNOWN,
            checked_monotonic_ns=time.monotonic_ns(),
            detail=detail,
        )

    def _publish(self, readiness: Readiness) -> None:
        """Complete it with the judgement of the identity, keep it and tell it."""
        if self._closing:
            return  # That a worker ends is no news now.
        identity, expected = readiness.identity, self._expected
        identity_ok = None if identity is None or expected is None else same(identity, expected)
        if identity_ok is False and readiness.ready:
            detail = f"wrong machine: the device answers for {identity}, expected {expected}"
            readiness = replace(readiness, ready=False, detail=detail)
        self.readiness = replace(readiness, identity_ok=identity_ok)
        self._on_readiness(self.readiness)

    async def _order(self, request: Message, deadline_ns: int) -> Message:
        """Have one order carried out, at the cost of whatever else the worker is doing."""
        while (job := self._job) is not None:
            await asyncio.wait({job}, timeout=PREEMPT_S)
            job.cancel()
            await asyncio.wait({job})
        try:
            limit_s = (deadline_ns - time.monotonic_ns()) / 1e9 + OVERRUN_S
            return await self._run(self._ask(request, limit_s))
        finally:
            self._wake.set()

    async def _run(self, asking: Coroutine[Any, Any, Message]) -> Message:
        """Be the one job that the worker has; cancelling it kills the worker.

        Raises:
            WorkerLostError: It gave no answer, e.g. because an order took its place.
        """
        assert self._job is None, "the worker has a job"
        job = self._job = asyncio.create_task(asking)
        try:
            await asyncio.wait({job})
        finally:
            # Only our own cancellation ends the wait before the job.
            job.cancel()
            if not job.done():
                await asyncio.wait({job})
            self._job = None
        if job.cancelled():
            raise WorkerLostError("given up for a more urgent order", was_asked=True)
        return job.result()

    async def _ask(self, request: Message, limit_s: float) -> Message:
        if self._worker is None or not self._worker.alive:
            self._dismiss_worker()
            self._worker = await WorkerProcess.start(self.settings)
        return await self._worker.ask(request, limit_s)

    def _dismiss_worker(self) -> None:
        """Let the worker end on its own time; a new one need not wait for it."""
        if self._worker is not None:
            ending = asyncio.create_task(self._worker.close())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            self._worker = None

    async def _ended(self) -> None:
        if self._ending:
            await asyncio.wait(self._ending)


def _raise_bug(task: asyncio.Task[None]) -> None:
    """Let the loop's exception handler hear of a bug at once, not when the task is collected."""
    if not task.cancelled():
        task.result()
