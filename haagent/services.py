# SPDX-License-Identifier: GPL-2.0-or-later
"""What the groups carry, on this node: resources run, watched and asked how fresh their data is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass

import structlog

from haagent.admission import Admission
from haagent.bugs import die_of_bugs
from haagent.config.settings import PERMISSION_NAME, GroupPlan
from haagent.core.events import Event, GroupLost, PositionRead, StandbyRead, SyncRead
from haagent.errors import EdgeError
from haagent.postgres.resource import PostgresResource
from haagent.probes import Probe
from haagent.resources import Condition, Reading
from haagent.resources.build import Parts, Surroundings, build, reconfigure
from haagent.resources.group import GroupRunner
from haagent.resources.pid1 import Systemd
from haagent.resources.standby import StandbyKeeper
from haagent.resources.vip import VipResource
from haagent.vip import Vip
from haagent.vip.holder import ClaimTimes, VipHolder

FOUND_S = 0.8
"""No heartbeat is sent until this node knows what runs here."""


RETIRE_S = 20.0
"""Once the groups are handed over; what a standby runs harms nobody if it is left. With the time
for leaving it must stay below the unit's TimeoutStopSec=."""

log = structlog.get_logger()


@dataclass(slots=True)
class Service:
    """One group's resources, and who runs them."""

    parts: Parts
    runner: GroupRunner
    keeper: StandbyKeeper
    vips: tuple[Vip, ...]
    stands_by: bool = True
    """Run what a standby keeps running, while the group is not held."""
    rests: bool = False
    """The group was seen stopped, and no start has begun since."""
    shared: bool = False
    """It stands on the shared disks."""
    ready: bool = True
    """What a standby runs of it is as it should be."""


class Services:
    """Every group of this node.

    Args:
        plans: The groups, in their order.
        holder: Opened before, closed after this.
        admission: To the shared disks; as the holder.
        take: Takes what became known as an event.
        note: Takes the group, the name of a moment, and the moment, monotonic ns.
    """

    def __init__(
        self,
        plans: Sequence[GroupPlan],
        holder: VipHolder,
        admission: Admission,
        take: Callable[[Event], None],
        note: Callable[[int, str, int], None],
    ) -> None:
        self._admission = admission
        self._take = take
        self._note = note
        self._holder = holder
        self._systemd = Systemd()
        surroundings = Surroundings(holder, self._systemd)
        self._services = [self._make(i, plan, surroundings) for i, plan in enumerate(plans)]
        self._tasks: list[asyncio.Task[None]] = []

    def _make(self, index: int, plan: GroupPlan, surroundings: Surroundings) -> Service:
        runner: GroupRunner

        def look(name: str) -> None:
            runner.look(name)

        def lost(detail: str) -> None:
            self._take(GroupLost(index, detail))

        def claimed(times: ClaimTimes) -> None:
            self._note(index, "vip_added", times.added_ns)
            if times.announced_ns is not None:
                self._note(index, "announced", times.announced_ns)

        parts = build(plan, surroundings, on_times=claimed, look=look)
        runner = GroupRunner(parts.resources, plan.policy, lost, _kept_by_the_runner)
        keeper: StandbyKeeper
        service: Service

        def changed(ready: bool, detail: str) -> None:  # noqa: FBT001  # a callback
            log.info("standby.changed", group=plan.name, ready=ready, detail=detail)
            service.ready = ready
            self._take(StandbyRead(index, self._able(service), keeper.escaped))

        for sync in parts.sync:
            sync.told = lambda attempt, complete: self._take(SyncRead(index, attempt, complete))
        keeper = StandbyKeeper(parts.standby, changed)
        for resource in parts.standby:
            if isinstance(resource, PostgresResource):
                resource.on_return = keeper.look
        service = Service(parts, runner, keeper, plan.vips, shared=plan.shared_storage)
        return service

    def admission_changed(self) -> None:
        """The peer hands no group to a node that is not let in; a takeover asks for itself."""
        for index, service in enumerate(self._services):
            if service.shared:
                self._take(StandbyRead(index, self._able(service)))

    def shut_out(self, reason: str) -> None:
        """This node was cut off from the shared disks, and may not let itself in again."""
        for index, service in enumerate(self._services):
            if service.shared:
                self._take(GroupLost(index, reason))

    def _able(self, service: Service) -> bool:
        return service.ready and not (service.shared and self._admission.trouble)

    def open(self) -> None:
        """Begin to get ready what a first start would otherwise wait for."""
        self._systemd.open()
        self.admission_changed()
        for index, service in enumerate(self._services):
            self._begin(service.parts.prepare())
            if service.parts.reporter is not None:
                self._begin(self._ask(index, service.parts))

    def reconfigure(self, plans: Sequence[GroupPlan], probes: Sequence[Probe | None]) -> None:
        """Go by other limits, intervals and probes, for the same resources of the same groups."""
        for service, plan, probe in zip(self._services, plans, probes, strict=True):
            reconfigure(service.parts, plan, probe)
            service.runner.reconfigure(plan.policy)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(die_of_bugs)
        self._tasks.append(task)

    async def close(self) -> None:
        """Watch no more, and leave every resource as it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for service in self._services:
            await service.keeper.end()
            await service.runner.close()
        await self._systemd.close()

    async def found(self) -> frozenset[int]:
        """Groups that certainly run here now (ADR 3): all their addresses are here.

        A group without any is looked at whole; what is not certain in time is not found.
        """
        found = await asyncio.gather(*map(self._runs, self._services))
        return frozenset(index for index, runs in enumerate(found) if runs)

    async def _runs(self, service: Service) -> bool:
        try:
            async with asyncio.timeout(FOUND_S):
                if service.vips:
                    return await self._holder.present(service.vips) >= set(service.vips)
                return await service.runner.found()
        except (EdgeError, TimeoutError):
            return False

    async def start(self, group: int) -> None:
        """Start what does not run, in order, and watch over it; a frozen group is only taken up.

        Raises:
            ResourceError: Something did not start, or this node may not write to the shared disks.
        """
        service = self._services[group]
        service.rests = False
        await service.keeper.end()
        if service.runner.mends:
            if service.shared:
                await self._admission.let_in()
            await service.runner.start()
            return
        for resource in service.parts.resources:
            if isinstance(resource, VipResource) and await _is_here(resource):
                await resource.start()  # This only tells who watches over it.
        await service.runner.resume()

    async def stop(self, group: int) -> None:
        """Stop everything, in reverse order, and see that it stopped (S7).

        What a standby keeps running is left, or comes, up.

        Raises:
            ResourceError: Something may still run.
        """
        service = self._services[group]
        service.rests = False
        await service.keeper.end()
        await service.runner.stop()
        service.rests = True
        service.keeper.begin(on=service.stands_by)

    async def retire(self) -> None:
        """This node is left for good: stop what a standby keeps running, as far as that goes."""
        for service in self._services:
            service.rests = False
            await service.keeper.end()
        retiring = (service.runner.retire() for service in self._services)
        try:
            async with asyncio.timeout(RETIRE_S):
                ended = await asyncio.gather(*retiring, return_exceptions=True)
        except TimeoutError:
            log.warning("standby.not_retired", reason=f"not stopped after {RETIRE_S:g} s")
            return
        for failed in ended:
            if failed is not None:
                log.warning("standby.not_retired", reason=str(failed))

    def stand_by(self, group: int, *, on: bool) -> None:
        """While the group is not held here: run what a standby keeps running, or not even that."""
        service = self._services[group]
        service.stands_by = on
        if service.rests:
            service.keeper.begin(on=on)

    def commit_alone(self, group: int, attempt: int, *, risk: bool) -> None:
        """Let the commits of a group wait for the peer no longer (S11), if that is still asked."""
        for keeper in self._services[group].parts.sync:
            keeper.commit_alone(attempt, risk=risk)

    def manage(self, group: int, *, on: bool) -> None:
        """Mend what fails, or only watch it (a frozen group)."""
        service = self._services[group]
        service.runner.manage(on=on)
        service.keeper.mends = on

    @property
    def readings(self) -> tuple[Mapping[str, Reading], ...]:
        """By group: the last look at each of its resources."""
        return tuple(
            {**self._permission(service), **service.keeper.readings, **service.runner.readings}
            for service in self._services
        )

    def _permission(self, service: Service) -> Mapping[str, Reading]:
        return (
            {PERMISSION_NAME: self._admission.reading(rests=service.rests)}
            if service.shared
            else {}
        )

    async def _ask(self, index: int, parts: Parts) -> None:
        """Tell how fresh the data is whenever that changes; not to know is told as well."""
        told: int | None = None
        while True:
            position = await parts.position()
            known = -1 if position is None else position
            if known != told:
                self._take(PositionRead(index, known))
                told = known
            await asyncio.sleep(parts.position_every_s)


async def _is_here(vips: VipResource) -> bool:
    """All of the addresses."""
    return (await vips.monitor()).condition is Condition.ACTIVE


def _kept_by_the_runner(name: str, reading: Reading) -> None:
    """Status asks the runner for its readings; nobody has to be told of each."""
    del name, reading
