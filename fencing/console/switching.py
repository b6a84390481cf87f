# SPDX-License-Identifier: GPL-2.0-or-later
"""Off, on and cycle: one node's power switched, whatever interrupts it."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

from fencing import FenceOutcome
from fencing.console.course import Course
from fencing.console.daemon import Answer, Daemon
from fencing.console.exits import Exit
from fencing.console.interruption import Interruption
from fencing.console.order import Order, Verb
from fencing.console.selection import Selection
from fencing.console.site import Site
from fencing.level import FenceReport
from fencing.levels import Fence, PowerReport
from fencing.lock import FenceLock, LockedError, lock_path
from fencing.readiness import Readiness


class Switching:
    """One command that switches; what is known of it at any moment, and how it ended."""

    def __init__(
        self, order: Order, selection: Selection, site: Site, daemon: Daemon, course: Course
    ) -> None:
        self._order = order
        self._selection = selection
        self.node = selection.node
        self._site = site
        self._daemon = daemon
        self._course = course
        self._fence = Fence(
            selection.devices, on_readiness=_unheard, hedge_after_s=site.hedge_after_s
        )
        self._begun = False
        """Whether from now on something may have been ordered."""
        self._locked = ""
        """Who kept us from beginning."""
        self._interrupted = False
        self.report: FenceReport | None = None
        """How *off* ended."""
        self.answer: Answer | None = None
        """What the daemon said to the proof."""
        self._powering = False
        self._given: PowerReport | None = None

    async def run(self) -> tuple[Exit, str]:
        """Switch, and leave no worker behind; how it ended, in a number and in words."""
        work = asyncio.create_task(self._switch())
        with Interruption(work, lambda: self._begun, self._course.note):
            await asyncio.wait({work})
            await self._fence.close()
        self._interrupted = work.cancelled()
        if not self._interrupted:
            work.result()
        return self._ending()

    @property
    def ordered(self) -> bool:
        """Whether anything may have been ordered."""
        if self._interrupted:
            return self._begun
        if self._order.verb is Verb.ON:
            return bool(self._course.ordered)
        return self.report is not None and self.report.outcome is not FenceOutcome.FAILED

    @property
    def proves(self) -> bool:
        """Whether the node is proved off, and not only some of what feeds it."""
        if self.report is None or not self.report.proof:
            return False
        return not self._selection.missing(self.report.proof[0].level)

    async def _switch(self) -> None:
        async with AsyncExitStack() as turn:
            if not await self._take_turn(turn):
                return
            self._begun = True
            if self._order.verb.cuts and not await self._off():
                return
            if self._order.verb is Verb.CYCLE:
                self._course.note(f"the power stays off for {self._order.hold_s:g} s")
                await asyncio.sleep(self._order.hold_s)
            if self._order.verb.gives:
                await self._on()

    async def _take_turn(self, turn: AsyncExitStack) -> bool:
        """One fence at a time per node: wait for whoever has it, and say who that is."""
        if self._site.control_socket is None:
            return True
        path = lock_path(self._site.control_socket, self.node)
        lock, wait_s = FenceLock(path, f"console, {_who()}"), self._order.lock_wait_s
        try:
            await turn.enter_async_context(lock.held(self._order.verb, 0.0))
        except LockedError as error:
            self._course.note(f"waiting, at most {wait_s:g} s: {error}")
        else:
            return True
        try:
            await turn.enter_async_context(lock.held(self._order.verb, wait_s))
        except LockedError as error:
            self._locked = str(error)
            return False
        self._course.note("it is our turn")
        return True

    async def _off(self) -> bool:
        """Cut the power and offer the proof; whether there is one."""
        self._course.begin("off")
        first = " and ".join(device.name for device in self._selection.levels[0])
        self._course.note(f"{self.node}: the power is cut, by {first} first")
        report = self.report = await self._fence.off(self._course.tell)
        if report.outcome is not FenceOutcome.CONFIRMED_OFF:
            return False
        self._course.note(f"{self.node}: {self._proved(report)}")
        if self.proves:
            offer = asyncio.to_thread(self._daemon.offer, self.node, report)
            self.answer = await offer
            if self.answer is not None:
                self._course.note(self.answer.message)
        return True

    async def _on(self) -> None:
        self._course.begin("on")
        self._powering = True
        self._course.note("giving the power back, after any order to cut it that may come late")
        self._given = await self._fence.on(self._course.tell)

    def _proved(self, report: FenceReport) -> str:
        names = " and ".join(step.device for step in report.proof)
        level = report.proof[0].level
        missing = ", ".join(sorted(self._selection.missing(level)))
        if missing:
            return f"{names} read off; without {missing} of level {level} that proves nothing"
        return f"proved off, by {names} (level {level})"

    def _ending(self) -> tuple[Exit, str]:
        node = self.node
        if self._interrupted:
            return Exit.INTERRUPTED, f"{node}: interrupted: {self._what_may_happen()}"
        if self._locked:
            return Exit.NOT_ORDERED, f"{node}: nothing was ordered: {self._locked}"
        if self.report is not None and self.report.outcome is not FenceOutcome.CONFIRMED_OFF:
            return self._unproved(self.report)
        if self._given is not None and not self._given.ok:
            return self._not_on(self._given)
        ended = [] if self.report is None else [self._proved(self.report)]
        ended += [] if self.answer is None else [self.answer.message]
        ended += [] if self._given is None else ["read back on"]
        refused = self.answer is not None and self.answer.accepted is False
        partial = self.report is not None and not self.proves
        code = Exit.ATTENTION if refused or partial else Exit.DONE
        return code, f"{node}: {'; '.join(ended)}"

    def _unproved(self, report: FenceReport) -> tuple[Exit, str]:
        node = self.node
        if report.outcome is FenceOutcome.FAILED:
            return Exit.NOT_ORDERED, f"{node}: nothing was ordered: {report.detail}"
        text = "not proved off, it may be off or go off yet"
        if self._order.verb is Verb.CYCLE:
            text += ", and was not ordered on"
        return Exit.UNPROVED, f"{node}: {text}: {report.detail}"

    def _not_on(self, given: PowerReport) -> tuple[Exit, str]:
        node = self.node
        if self.report is not None:
            text = f"{self._proved(self.report)}, and NOT READ ON again"
            return Exit.STILL_OFF, f"{node}: {text}: {given.detail}"
        if self._course.ordered:
            return Exit.UNPROVED, f"{node}: ordered on, and NOT READ ON: {given.detail}"
        return Exit.NOT_ORDERED, f"{node}: nothing was ordered: {given.detail}"

    def _what_may_happen(self) -> str:
        """The truth about the power after an interruption."""
        if not self._begun:
            return "nothing was ordered"
        orders = ", ".join(f"{name} at {s:.1f} s" for name, s in self._course.ordered.items())
        given = f"an order {self._course.what} was given ({orders})"
        if not orders:
            given = f"an order {self._course.what} may have been given"
        proved = "" if self.report is None else f"{self._proved(self.report)}; "
        if self._powering:
            return f"{proved}{given}; it was not read on"
        if self.report is not None and self.report.proof:
            return f"{proved}it stays off until somebody orders it on"
        return f"{given}; it may be carried out yet, and nothing proves it"


def _who() -> str:
    """For whoever waits for us; name service is not asked, it may be what hangs."""
    names = (os.environ.get(name) for name in ("SUDO_USER", "LOGNAME", "USER"))
    return next((name for name in names if name), f"uid {os.getuid()}")


def _unheard(readiness: Readiness) -> None:
    """Nobody asks for the readiness while the power is switched."""
