# SPDX-License-Identifier: GPL-2.0-or-later
"""One row carried out: a whole fence of emulated hardware, and all that was seen of it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from structlog.testing import capture_logs

from fencing import DeviceSettings, FenceOutcome
from fencing.level import FenceReport
from fencing.levels import Fence
from fencing.lock import FenceLock
from fencing.readiness import Readiness
from fencing.verify import Progress

from .case import Act, Case, Rig
from .leftovers import ENDS_S, adopt_orphans, descendants, end_strays, open_files

JUDGED_S = 60.0
"""A check of a silent device takes its logon and its answers, which the cases keep short; the rest
is for a busy machine. What is waited for is an event: nobody waits so long in vain."""
PLENTY_S = 60.0
"""Thirty times what any such row takes."""
LATE_S = 12.0
"""The longest time after which a machine of the cases goes off late, and more."""
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Finding:
    """What `status` says of a device: the name, the words, the remedy."""

    code: str
    text: str
    blocks: bool
    remedy: str


@dataclass(frozen=True, slots=True)
class Run:
    """All that was seen of one row."""

    name: str
    outcome: FenceOutcome
    detail: str
    seconds: float
    deadline_s: float
    waited_s: float
    """So long the attempt waited for a processor that others had,"""
    pressed_s: float
    """and so long anybody on this machine did."""
    ran_before: bool
    """Whether the machine had power before the attempt,"""
    ran: bool
    """at the moment of the answer,"""
    ran_later: bool
    """and in the end."""
    orders: int
    """How many orders to cut the power arrived."""
    findings: tuple[Finding, ...]
    killed: int
    """How many of our workers had to be killed, and so could not log out."""
    died: int
    """How many of our workers ended by themselves, which is a bug of ours."""
    sessions: int
    """How many sessions the device still holds."""
    left: tuple[str, ...]
    """What was left: processes, open files, a line or a lock that is not free."""
    folder: str
    """Where the hardware was, for whoever makes the words stable."""


def carry_out(case: Case) -> Run:
    """Carry out one row in this process, which must have nothing else to do."""
    adopt_orphans()
    with TemporaryDirectory(prefix="fault-") as folder:
        files, processes = open_files(), {process.pid for process in descendants()}
        attempt = _Attempt(case, Path(folder))
        with ExitStack() as hardware:
            attempt.rig = hardware.enter_context(case.build(Path(folder)))
            emulators = {process.pid for process in descendants()}
            with capture_logs() as logs:
                asyncio.run(attempt.fence())
            own = attempt.rig.own_sessions()
            left = end_strays(processes | emulators, own)
            case.heal(attempt.rig)
            if case.goes_off_later:
                _becomes(lambda: not attempt.rig.runs(), LATE_S)
            ran_later = attempt.rig.runs()
            killed = sum(log["event"] == "fence.worker_killed" for log in logs)
            sessions = _fewest_sessions(attempt.rig, killed)
            left += () if attempt.rig.line_free() else ("the serial line is not free",)
        left += tuple(sorted(open_files() - files))
        left += () if attempt.lock_is_free() else ("the lock is not free",)
        return Run(
            name=case.name,
            outcome=attempt.report.outcome,
            detail=attempt.report.detail,
            seconds=attempt.seconds,
            deadline_s=attempt.deadline_s,
            waited_s=attempt.waited_s,
            pressed_s=attempt.pressed_s,
            ran_before=attempt.ran_before,
            ran=attempt.ran,
            ran_later=ran_later,
            orders=attempt.rig.orders(),
            findings=attempt.findings,
            killed=killed,
            died=sum(log["event"] == "fence.worker_died" for log in logs),
            sessions=sessions,
            left=left,
            folder=folder,
        )


class _Attempt:
    """The fence of one row, from its start to its close."""

    rig: Rig[Any]
    report: FenceReport

    def __init__(self, case: Case, folder: Path) -> None:
        self._case = case
        self._lock_path = folder / "lock"
        self._steps = list(case.steps)
        self._news = asyncio.Event()
        self.seconds = 0.0
        self.deadline_s = 0.0
        self.waited_s = self.pressed_s = 0.0
        self.ran_before = self.ran = True
        self.findings: tuple[Finding, ...] = ()

    async def fence(self) -> None:
        """Start it, break the hardware, attempt, see what is said of it, close it."""
        case, rig = self._case, self.rig
        if case.before is not None:
            case.before(rig)
        devices = rig.devices
        if case.ends_well:
            devices = tuple(replace(device, deadline_s=PLENTY_S) for device in devices)
        fence = rig.fence = Fence(
            devices,
            on_readiness=self._hear,
            lock=FenceLock(self._lock_path, "fault table"),
            last_heard_ns=time.monotonic_ns if case.heard else lambda: None,
        )
        self.deadline_s = max(device.deadline_s for device in devices)
        await fence.start()
        try:
            await self._warm(fence)
            await self._attempt(fence)
            if case.before is None:
                await self._judged_again(fence)
            self.findings = _findings(fence.readiness)
        finally:
            await fence.close()

    def lock_is_free(self) -> bool:
        """Whether somebody else could fence this machine now."""
        descriptor = os.open(self._lock_path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    async def _warm(self, fence: Fence) -> None:
        async with asyncio.timeout(JUDGED_S):
            await fence.checked()
        if self._case.before is None:
            await self._ready(fence)
        if self._case.before is not None and self._case.heard:
            await self._until(lambda: _implausible(fence))
        rested = await asyncio.to_thread(_becomes, self.rig.line_free, JUDGED_S)
        assert rested, "the driver does not let go of its line"
        if self._case.strike is not None:
            self._case.strike(self.rig)

    async def _ready(self, fence: Fence) -> None:
        """Check anew until it is ready: an answer may come too late on a busy machine."""
        try:
            async with asyncio.timeout(JUDGED_S):
                while not all(one.ready for one in fence.readiness):
                    self._news.clear()
                    fence._recheck()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(fence.readiness) from None

    async def _attempt(self, fence: Fence) -> None:
        self.ran_before = self.rig.runs()
        began_s, waited_s, pressed_s = time.monotonic(), _waited_s(), _pressed_s()
        self.report = await fence.off(self._step)
        self.seconds = time.monotonic() - began_s
        self.waited_s, self.pressed_s = _waited_s() - waited_s, _pressed_s() - pressed_s
        self.ran = self.rig.runs()

    async def _judged_again(self, fence: Fence) -> None:
        """Wait until every device was checked after the attempt."""
        attempted_ns = time.monotonic_ns()

        def judged() -> bool:
            checked = [one.checked_monotonic_ns for one in fence.readiness]
            return all(at_ns is not None and at_ns > attempted_ns for at_ns in checked)

        await self._until(lambda: _implausible(fence) if self._case.heard else judged())

    async def _until(self, wanted: Callable[[], bool]) -> None:
        """Return as soon as what is known of the devices is as wanted."""
        async with asyncio.timeout(JUDGED_S):
            while not wanted():
                self._news.clear()
                await self._news.wait()

    def _hear(self, readiness: Readiness) -> None:
        del readiness
        self._news.set()

    def _step(self, device: DeviceSettings, progress: Progress) -> None:
        del device
        if self._steps and progress.happened is self._steps[0][0]:
            act: Act = self._steps.pop(0)[1]
            act(self.rig)


def _waited_s() -> float:
    """How long this thread was ready to run and had to wait, since its start."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def _pressed_s() -> float:
    """How long somebody had to wait for a processor, since the boot; 0 if the kernel is mute."""
    try:
        shown = Path("/proc/pressure/cpu").read_text()
    except OSError:
        return 0.0
    return int(shown.partition("total=")[2].split()[0]) / 1e6


def _implausible(fence: Fence) -> bool:
    return any(one.code == "implausible" for one in _findings(fence.readiness))


def _findings(readiness: tuple[Readiness, ...]) -> tuple[Finding, ...]:
    found = (finding for one in readiness for finding in one.findings)
    return tuple(
        Finding(one.trouble.code, one.text, one.trouble.blocks, one.trouble.remedy) for one in found
    )


def _fewest_sessions(rig: Rig[Any], expected: int) -> int:
    """How many sessions are left; a log-out that nobody waits for may still be on its way."""
    _becomes(lambda: rig.sessions() <= expected, ENDS_S)
    return rig.sessions()


def _becomes(true: Callable[[], bool], limit_s: float) -> bool:
    """Whether it is true in time; emulators tell nobody."""
    end_s = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > end_s:
            return False
        time.sleep(_POLL_S)
    return True
