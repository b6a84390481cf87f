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
from fencing.drivers import DRIVERS, cuts_power
from fencing.findings import Finding, Trouble
from fencing.process import WorkerLostError, WorkerProcess
from fencing.race import Orders, confirmed, first_confirmed, soon
from fencing.readiness import Readiness, judged, unchecked, unready
from fencing.verify import Tell, nobody
from fencing.worker import Message

LOAD_LIMIT_S = 60.0
"""A worker's start and its libraries: 0.2 s, but 20 s were seen on a server without free time
(sushy). One that is given up early begins anew and would never be ready."""
CHECK_LIMIT_S = 15.0
"""The slowest check that can still succeed: silent session 1 s, logon 6 s, two answers of 3 s."""
STATUS_LIMIT_S = 10.0
"""One reading, in a new session if need be."""
LINE_LIMIT_S = 30.0
"""Either of them over a serial line: a console may take 15 s to refuse a login (CyberPower)."""
ON_LIMIT_S = 10.0
"""The least time for a power-on, where the device's own deadline is shorter: machines are slower
to come on than to go off."""
WARM_BUDGET_S = 1.0
"""The warm session has so long to read off, then a new worker with a new session is asked too.

Source: pyghmi needs up to 30 s to notice that a session has died (measured)."""
PREEMPT_S = 0.5
"""An order waits so long for a check in progress: a warm one takes milliseconds, a longer one
hangs at the device, and then a new worker is faster (0.2 s)."""
PREEMPT_LINE_S = 5.0
"""The same where one line serves one worker: a check takes 3 s at 9600 baud, and a new worker
would have to wait for the log-out and for a console that refuses a login so soon after it."""
OVERRUN_S = 0.25
"""The worker keeps the deadline itself; so much later it is given up."""
DEAD_SPEAK_NS = 1_000_000_000
"""A machine heard so long after it was read off was not off: frames may be late, not so late."""
LOGIN_PAUSE_MAX_S = 900.0
"""Pauses after a refused login double up to this: BMCs lock an account after a few of them."""
RESTART_FIRST_S = 1.0
RESTART_MAX_S = 30.0
"""Pauses before a worker that died is started again; they double."""


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
    first_off_ns: int | None = None
    """When the query was about to leave that first read off."""
    read_off_ns: int | None = None
    """When the query was about to leave that completed the proof."""
    evidence: str = ""
    """What the device saw besides its switch."""

    @property
    def confirmed(self) -> bool:
        """Whether this device was proved off."""
        return self.outcome is FenceOutcome.CONFIRMED_OFF


class DeviceClient:
    """One device. Nothing here blocks, however dead the device is."""

    def __init__(
        self,
        settings: DeviceSettings,
        on_readiness: Callable[[Readiness], None],
        last_heard_ns: Callable[[], int | None],
        settle_s: Callable[[DeviceSettings], float],
    ) -> None:
        self.settings = settings
        self._parallel = DRIVERS[settings.driver].parallel
        self._on_readiness = on_readiness
        self._last_heard_ns = last_heard_ns
        self._settle_s = settle_s
        self._expected = settings.expect_identity
        self._worker: WorkerProcess | None = None
        self._job: asyncio.Task[Message] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._closing = False
        self._checked = asyncio.Event()
        self.late_until_ns = 0
        """Until then an order to cut the power may still be carried out, although given up."""
        self._twins: tuple[Finding, ...] = ()
        self.readiness = unchecked(settings)

    def start(self) -> None:
        """Warm the device in the background, and check it from then on."""
        assert self._watch is None, "already started"
        self._watch = asyncio.create_task(self._keep_warm(), name=f"fence {self.settings.name}")
        self._watch.add_done_callback(_raise_bug)

    async def checked(self) -> Readiness:
        """The judgement of the first check, as soon as there is one."""
        await self._checked.wait()
        return self.readiness

    def expect_identity(self, identity: UUID) -> None:
        """From now on only a device that answers for this machine, or for none, is used.

        What the settings say outranks it: some BMCs have an identity of their own.
        """
        if self.settings.expect_identity is not None:
            return
        self._expected = identity
        self._publish(self.readiness)

    async def off(self, tell: Tell = nobody, deadline_ns: int | None = None) -> DeviceStep:
        """Fence with this device, within its deadline and OVERRUN_S.

        The warm worker is asked at once, and a second one beside it if that has not read off in
        WARM_BUDGET_S. Cancelling ends both: nothing of the attempt is sent afterwards.
        """
        started_ns = time.monotonic_ns()
        own_end_ns = started_ns + round(self.settings.deadline_s * 1e9)
        deadline_ns = own_end_ns if deadline_ns is None else min(deadline_ns, own_end_ns)
        request = {
            "op": "off",
            "deadline_ns": deadline_ns,
            "off_settle_s": self._settle_s(self.settings),
            "expect": None if self._expected is None else str(self._expected),
        }
        answers = await self._race(request, deadline_ns, tell)
        steps = [self._step(answer, started_ns) for answer in answers]
        return next((step for step in steps if step.confirmed), None) or _merged(steps)

    async def status(self, deadline_ns: int) -> tuple[int, Power]:
        """One reading now: when its query was about to leave, and what it said.

        A device that says nothing until the deadline, or for longer than a reading may take,
        reads UNKNOWN.
        """
        asked_ns = time.monotonic_ns()
        limit_s = STATUS_LIMIT_S if self._parallel else LINE_LIMIT_S
        deadline_ns = min(deadline_ns, asked_ns + round(limit_s * 1e9))
        try:
            answer = await self._order({"op": "status"}, deadline_ns, nobody)
        except WorkerLostError:
            return asked_ns, Power.UNKNOWN
        if "error" in answer:
            return asked_ns, Power.UNKNOWN
        return answer["asked_ns"], Power(answer["power"])

    async def on(self, tell: Tell = nobody) -> tuple[bool, str]:
        """Order power on: (True, "") if it was then read on, else the reason."""
        limit_s = max(ON_LIMIT_S, self.settings.deadline_s)
        deadline_ns = time.monotonic_ns() + round(limit_s * 1e9)
        try:
            answer = await self._order({"op": "on", "deadline_ns": deadline_ns}, deadline_ns, tell)
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

    def recheck(self) -> None:
        """Check now: the power was switched, or that was tried."""
        self._wake.set()

    def mark_twins(self, findings: tuple[Finding, ...]) -> None:
        """Say that other entries are the same hardware as this one; () if none is."""
        if self._twins != findings:
            self._twins = findings
            self._publish(self.readiness)

    async def _keep_warm(self) -> None:
        """Check now, whenever it is asked for, and every `check_every_s`."""
        restart_s, refused_s = RESTART_FIRST_S, self.settings.check_every_s
        while True:
            self._wake.clear()
            try:
                await self._check()
                restart_s = RESTART_FIRST_S
                if any(seen.trouble is Trouble.LOGIN_REFUSED for seen in self.readiness.seen):
                    pause_s = refused_s
                    refused_s = max(min(2 * refused_s, LOGIN_PAUSE_MAX_S), pause_s)
                else:
                    pause_s = refused_s = self.settings.check_every_s
            except WorkerLostError as error:
                finding = Finding(Trouble.UNREACHABLE, str(error))
                self._publish(unready(self.settings, finding))
                pause_s, restart_s = restart_s, min(2 * restart_s, RESTART_MAX_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    async def _check(self) -> None:
        while self._job is not None:
            await asyncio.wait({self._job})
        limit_s = CHECK_LIMIT_S if self._parallel else LINE_LIMIT_S
        answer = await self._run(self._load_and_check(limit_s))
        self._publish(self._plausible(judged(self.settings, answer)))

    async def _load_and_check(self, limit_s: float) -> Message:
        await (await self._present_worker()).load(LOAD_LIMIT_S)
        return await self._ask({"op": "check"}, limit_s, nobody)

    def _plausible(self, readiness: Readiness) -> Readiness:
        """Say so if the machine spoke between two readings that both said off."""
        before, heard_ns = self.readiness, self._last_heard_ns()
        if not cuts_power(self.settings):
            return readiness
        if (
            readiness.power is Power.OFF is before.power
            and before.checked_monotonic_ns is not None
            and heard_ns is not None
            and heard_ns > before.checked_monotonic_ns + DEAD_SPEAK_NS
        ):
            text = "it reads off, and the machine was heard since"
            return replace(readiness, seen=(*readiness.seen, Finding(Trouble.IMPLAUSIBLE, text)))
        return readiness

    def _publish(self, readiness: Readiness) -> None:
        """Complete it with the judgement of the identity, keep it and tell it."""
        if self._closing:
            return  # That a worker ends is no news now.
        self.readiness = replace(readiness, expected=self._expected, twins=self._twins)
        if readiness.checked_monotonic_ns is not None:
            self._checked.set()
        self._on_readiness(self.readiness)

    async def _race(self, request: Message, deadline_ns: int, tell: Tell) -> list[Message]:
        """What the warm worker and, if it was needed, the one beside it answered."""
        warm_orders, cold_orders = Orders(tell), Orders(tell)
        asking = self._order(request, deadline_ns, warm_orders.heard)
        warm = asyncio.create_task(self._answered(asking))
        racing, proved = {warm}, False
        try:
            if self._parallel and not await soon(warm, warm_orders, WARM_BUDGET_S):
                asking = self._ask_beside(request, deadline_ns, cold_orders.heard)
                racing.add(asyncio.create_task(self._answered(asking)))
            answers = await first_confirmed(racing)
            proved = any(map(confirmed, answers))
            return answers
        finally:
            for task in racing:
                task.cancel()
            await asyncio.wait(racing)
            late_ns = [orders.late_ns(proved=proved) for orders in (warm_orders, cold_orders)]
            patience_ns = round(self.settings.deadline_s * 1e9)
            until_ns = (moment_ns + patience_ns for moment_ns in late_ns if moment_ns is not None)
            self.late_until_ns = max((self.late_until_ns, *until_ns))

    async def _answered(self, asking: Coroutine[Any, Any, Message]) -> Message:
        """Its answer; a lost worker is one too."""
        try:
            return await asking
        except WorkerLostError as error:
            outcome = FenceOutcome.UNKNOWN if error.was_asked else FenceOutcome.FAILED
            return {"outcome": outcome, "detail": str(error)}

    async def _ask_beside(self, request: Message, deadline_ns: int, tell: Tell) -> Message:
        """Have a new worker carry it out, whatever the warm one is doing."""
        worker = await WorkerProcess.start(self.settings)
        try:
            limit_s = (deadline_ns - time.monotonic_ns()) / 1e9 + OVERRUN_S
            return await worker.ask(request, limit_s, tell)
        finally:
            self._dismiss(worker)

    async def _order(self, request: Message, deadline_ns: int, tell: Tell) -> Message:
        """Have one order carried out, at the cost of whatever else the worker is doing."""
        patience_s = PREEMPT_S if self._parallel else PREEMPT_LINE_S
        while (job := self._job) is not None:
            left_s = max((deadline_ns - time.monotonic_ns()) / 1e9, 0.0)
            await asyncio.wait({job}, timeout=min(patience_s, left_s))
            job.cancel()
            await asyncio.wait({job})
        limit_s = (deadline_ns - time.monotonic_ns()) / 1e9 + OVERRUN_S
        return await self._run(self._ask(request, limit_s, tell))

    async def _run(self, asking: Coroutine[Any, Any, Message]) -> Message:
        """Be the one job that the worker has; cancelling it ends a worker that was asked.

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
            self._dismiss_dead()
        if job.cancelled():
            raise WorkerLostError("given up for a more urgent order", was_asked=True)
        return job.result()

    async def _ask(self, request: Message, limit_s: float, tell: Tell) -> Message:
        return await (await self._present_worker()).ask(request, limit_s, tell)

    async def _present_worker(self) -> WorkerProcess:
        """The one there is, or a new one, loaded or not."""
        self._dismiss_dead()
        if self._worker is None:
            self._worker = await WorkerProcess.start(self.settings)
        return self._worker

    def _dismiss_dead(self) -> None:
        if self._worker is not None and not self._worker.alive:
            self._dismiss_worker()

    def _dismiss_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            self._dismiss(worker)

    def _dismiss(self, worker: WorkerProcess) -> None:
        """Let a worker end on its own time; a new one need not wait for it."""
        ending = asyncio.create_task(worker.close())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _ended(self) -> None:
        if self._ending:
            await asyncio.wait(self._ending)

    def _step(self, answer: Message, started_ns: int) -> DeviceStep:
        return DeviceStep(
            device=self.settings.name,
            level=self.settings.level,
            outcome=FenceOutcome(answer["outcome"]),
            detail=answer["detail"],
            started_ns=started_ns,
            finished_ns=time.monotonic_ns(),
            ordered_ns=answer.get("ordered_ns"),
            first_off_ns=answer.get("first_off_ns"),
            read_off_ns=answer.get("read_off_ns"),
            evidence=answer.get("evidence", ""),
        )


def _merged(steps: list[DeviceStep]) -> DeviceStep:
    """Two workers without a proof, as one: an order of either may have been carried out."""
    worst = next((step for step in steps if step.outcome is FenceOutcome.UNKNOWN), steps[0])
    ordered = [step.ordered_ns for step in steps if step.ordered_ns is not None]
    details = dict.fromkeys(step.detail for step in steps)
    return replace(worst, detail="; ".join(details), ordered_ns=min(ordered) if ordered else None)


def _raise_bug(task: asyncio.Task[None]) -> None:
    """Let the loop's exception handler hear of a bug at once, not when the task is collected."""
    if not task.cancelled():
        task.result()
