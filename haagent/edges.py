# SPDX-License-Identifier: GPL-2.0-or-later
"""Carries effects out and brings their results back as events, each with its attempt (S4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, replace
from functools import partial

import structlog

from haagent.admission import Admission
from haagent.bugs import die_of_bugs
from haagent.config import Configuration
from haagent.core.effects import (
    AbandonFence,
    Announce,
    CommitAlone,
    Fence,
    GatherEvidence,
    Manage,
    Persist,
    PowerOn,
    ProbeVip,
    StandBy,
    StartGroup,
    StopGroup,
)
from haagent.core.events import (
    Event,
    GroupLost,
    GroupStarted,
    GroupStartFailed,
    GroupStopFailed,
    GroupStopped,
    Persisted,
    PersistFailed,
    ReachChanged,
    VipProbed,
    VipProbeFailed,
)
from haagent.core.state import State
from haagent.durable import DurableError, DurableRecord
from haagent.errors import EdgeError
from haagent.evidence import PROBE_WINDOW_S, Evidence, Probes
from haagent.netlink import Netlink
from haagent.reach import Verdict
from haagent.services import Services
from haagent.shooting import Shooting
from haagent.vip import Vip
from haagent.vip.frames import FrameShelf
from haagent.vip.holder import VipHolder
from haagent.vip.prober import VipProber
from haagent.witness.build import make_panel, make_seal

DISK_S = 1.0
"""What a record may take at the end; it says that nothing is held here any more."""

EdgeEffect = (
    GatherEvidence
    | Fence
    | AbandonFence
    | PowerOn
    | Persist
    | ProbeVip
    | StartGroup
    | StopGroup
    | Manage
    | StandBy
    | CommitAlone
    | Announce
)
log = structlog.get_logger()


class Edges:
    """Everything the core can have done, beside heartbeats and replies.

    Args:
        configuration: Of this node.
        netlink: Opened before, closed after this.
        durable: The record's file.
        take: Gets every event, on the loop.
        note: Gets moments that only an edge knows: group, name, monotonic ns.
    """

    def __init__(
        self,
        configuration: Configuration,
        netlink: Netlink,
        durable: DurableRecord,
        take: Callable[[Event], None],
        note: Callable[[int, str, int], None],
    ) -> None:
        self._configuration = configuration
        self._durable = durable
        self._take = take
        self._note = note
        names = [group.name for group in configuration.pair.groups]
        self._vips: tuple[tuple[Vip, ...], ...] = tuple(configuration.vips[n] for n in names)
        everything = [vip for vips in self._vips for vip in vips]
        self._frames = FrameShelf(netlink, everything)
        self.holder = VipHolder(netlink, self._frames, self._vip_lost)
        self._prober = VipProber(netlink, self._frames)
        shared = frozenset(i for i, plan in enumerate(configuration.groups) if plan.shared_storage)
        self.admission = Admission(
            configuration.devices[configuration.pair.me],
            shared,
            lost=self._shut_out,
            changed=self._admission_changed,
        )
        self.services = Services(configuration.groups, self.holder, self.admission, take, note)
        self._evidence = Evidence(configuration, netlink, self._prober, self._reach_changed)
        self.panel = make_panel(configuration)
        self.shooting = Shooting(configuration, self.panel, take, self.write, self._left_out)
        self._disk = ThreadPoolExecutor(1, "disk")
        self._tasks: set[asyncio.Task[None]] = set()
        self._fencing: asyncio.Task[None] | None = None
        self._powering: asyncio.Task[None] | None = None
        """A power-on that still runs would undo the power-off after it."""
        self._working: dict[int, asyncio.Task[None]] = {}
        """The start or stop that a group is in."""

    async def open(self) -> None:
        """Get everything ready that a takeover needs, so that it opens and imports nothing.

        All but the fence workers: see arm().

        Raises:
            EdgeError: no packet sockets, for instance.
        """
        await self._frames.open()
        self.holder.open()
        self._prober.start([vip for vips in self._vips for vip in vips])
        self._evidence.start()
        self.services.open()
        self.panel.start()
        self.admission.start()

    async def arm(self) -> None:
        """Begin to load the fence workers, behind the agent's first turn and its first heartbeat.

        Before, they would take the processor for which both wait, where there are not many.
        """
        await self.shooting.start()

    async def close(self) -> None:
        """Log out of every device, stop announcing; addresses stay as they are."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DISK_S):
                await self.write(lambda: None)  # The last record is behind what was written.
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._evidence.close()
        await self.panel.close()
        await self.services.close()
        await self.admission.close()
        self._prober.close()
        self.holder.close()
        self._frames.close()
        self._disk.shutdown(wait=False, cancel_futures=True)
        await self.shooting.close()

    async def found(self) -> frozenset[int]:
        """Groups that certainly run on this host now."""
        return await self.services.found()

    def carry_out(self, effect: EdgeEffect, held: frozenset[int]) -> None:
        """Begin an effect; its result comes as an event.

        Args:
            effect: What to do.
            held: Groups that this node holds, whose probes say nothing about the peer.
        """
        match effect:
            case GatherEvidence():
                self._spawn(self._gather(effect, held))
            case Fence():
                if self._powering is not None:
                    self._powering.cancel()
                work = self._after(self._powering, self.shooting.off(effect.attempt))
                self._fencing = self._spawn(work)
            case AbandonFence():
                if self._fencing is not None:
                    self._fencing.cancel()
            case PowerOn():
                self._powering = self._spawn(self.shooting.on(effect.attempt))
            case Persist():
                self._spawn(self._persist(effect))
            case ProbeVip():
                self._spawn(self._probe(effect))
            case StartGroup():
                self._replace_work(effect.group, self._start(effect))
            case StopGroup():
                self._replace_work(effect.group, self._stop(effect))
            case Announce():
                self.holder.announce()
            case Manage():
                self.services.manage(effect.group, on=effect.on)
            case StandBy():
                with self._about(effect.group):
                    self.services.stand_by(effect.group, on=effect.on)
            case CommitAlone():
                self.services.commit_alone(effect.group, effect.attempt, risk=effect.risk)

    def observe(self, before: State, state: State) -> None:
        """After each step of the core."""
        self.panel.observe(before, state)
        self.admission.observe(state)

    def write(self, work: Callable[[], None]) -> asyncio.Future[None]:
        """Run something that touches the disk, after everything written before."""
        return asyncio.get_running_loop().run_in_executor(self._disk, work)

    def refuses(self, new: Configuration) -> str:
        """Why the edges cannot go on with another configuration just now; "" if they can."""
        orders = {self._fencing, self._powering} & self._tasks
        if orders and new.devices != self._configuration.devices:
            return "an order to the fence devices is under way; try again when it has ended"
        return ""

    def reconfigure(self, new: Configuration, probes: Probes) -> None:
        """Go on with this one; what it may change is in haagent.config.difference.

        Args:
            new: Which one.
            probes: Of its groups.

        Raises:
            EdgeError: Its references cannot be asked: then nothing was changed.
        """
        self._evidence.reconfigure(new, probes)
        self._configuration = new
        self.panel.take_keys(make_seal(new.cluster, new.keys))
        self.services.reconfigure(new.groups, probes.watching)
        self.admission.reconfigure(new.devices[new.pair.me])
        self.shooting.reconfigure(new)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(die_of_bugs)
        return task

    def _replace_work(self, group: int, work: Coroutine[None, None, None]) -> None:
        """A stop ends the start it finds; two never run side by side for one group."""
        before = self._working.get(group)
        if before is not None:
            before.cancel()
        with self._about(group):
            self._working[group] = self._spawn(self._after(before, work))

    def _about(self, group: int) -> AbstractContextManager[None]:
        """What a task that is begun in here logs, or one that it begins, names the group."""
        name = self._configuration.pair.groups[group].name
        return structlog.contextvars.bound_contextvars(group=name)

    async def _after(
        self, before: asyncio.Task[None] | None, work: Coroutine[None, None, None]
    ) -> None:
        if before is not None:
            await asyncio.wait({before})
        await work

    async def _start(self, effect: StartGroup) -> None:
        try:
            await self.services.start(effect.group)
        except EdgeError as error:
            self._take(GroupStartFailed(effect.group, effect.attempt, str(error)))
        else:
            self._take(GroupStarted(effect.group, effect.attempt))

    async def _stop(self, effect: StopGroup) -> None:
        try:
            await self.services.stop(effect.group)
        except EdgeError as error:
            self._take(GroupStopFailed(effect.group, effect.attempt, str(error)))
        else:
            self._take(GroupStopped(effect.group, effect.attempt))

    async def _probe(self, effect: ProbeVip) -> None:
        try:
            answers = await self._prober.probe(self._vips[effect.group], PROBE_WINDOW_S)
        except EdgeError as error:
            self._take(VipProbeFailed(effect.group, effect.attempt, str(error)))
            return
        answered = answers[0].mac.hex(":") if answers else None
        self._take(VipProbed(effect.group, effect.attempt, answered))

    async def _gather(self, effect: GatherEvidence, held: frozenset[int]) -> None:
        consent, found = await asyncio.gather(
            self.panel.claim(effect.terms), self._evidence.gather(effect.attempt, held)
        )
        serving = found.serving or self.panel.serving
        self._take(replace(found, consent=consent, serving=serving))

    async def _persist(self, effect: Persist) -> None:
        try:
            await self.write(partial(self._durable.store, effect.record))
        except DurableError as error:
            log.warning("record.not_durable", reason=str(error))
            self._take(PersistFailed(effect.attempt, str(error)))
        else:
            self._take(Persisted(effect.attempt))

    def _shut_out(self, reason: str) -> None:
        self.services.shut_out(reason)

    def _left_out(self) -> str:
        """Why no shot of ours counts: a level may ask for a disk that does not let us in."""
        trouble = self.admission.trouble
        return f"this node is not let in: {trouble}" if trouble else ""

    def _admission_changed(self) -> None:
        self.shooting.judge()
        self.services.admission_changed()

    def _reach_changed(self, group: int, verdict: Verdict) -> None:
        name = self._configuration.pair.groups[group].name
        log.info("reach.changed", group=name, **asdict(verdict))
        self._take(ReachChanged(group, verdict.reachable, verdict.doubtful))

    def _vip_lost(self, vip: Vip, reason: str) -> None:
        for index, vips in enumerate(self._vips):
            if vip in vips:
                self._take(GroupLost(index, f"{vip.address}: {reason}"))
