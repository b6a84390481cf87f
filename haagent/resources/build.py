# SPDX-License-Identifier: GPL-2.0-or-later
"""From the settings of a group to the objects that carry it. Reads files: before the loop runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from haagent.config.settings import (
    PROBE_NAME,
    CommandSettings,
    CommandTarget,
    GroupPlan,
    HttpTarget,
    ProbeSettings,
    ResourceSettings,
    SystemdSettings,
    TcpTarget,
    VipSettings,
)
from haagent.postgres.durability import SyncKeeper
from haagent.postgres.layout import PostgresSettings
from haagent.postgres.resource import POSITION_EVERY_S as POSTGRES_POSITION_EVERY_S
from haagent.postgres.resource import PostgresResource
from haagent.probes import Probe
from haagent.probes.command import CommandProbe
from haagent.probes.http import SUCCESS, HttpProbe
from haagent.probes.resource import ProbedResource, ProbeResource
from haagent.probes.stream import tls_context
from haagent.probes.tcp import TcpProbe
from haagent.resources import Resource, Times
from haagent.resources.command import CommandResource
from haagent.resources.ocf import OcfResource
from haagent.resources.ocf_settings import OcfSettings
from haagent.resources.pid1 import Systemd
from haagent.resources.systemd import SystemdResource
from haagent.resources.vip import VipResource
from haagent.vip.holder import ClaimTimes, VipHolder

POSITION_EVERY_S = 1.0
"""A standby that is too old by so much is noticed so late."""

Reporter = CommandResource | OcfResource | PostgresResource


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the resources of every group share; each opened before, and closed after them."""

    holder: VipHolder
    systemd: Systemd


@dataclass(frozen=True, slots=True)
class Parts:
    """The resources of one group, and what else is to be done with them."""

    resources: tuple[Resource, ...]
    """In the order of their start: for `GroupRunner`."""
    probe: Probe | None
    """How a client meets the service. A takeover's evidence has one of its own (edges), which waits
    less."""
    ocf: tuple[OcfResource, ...]
    """Of those that OCF agents run."""
    standby: tuple[OcfResource | PostgresResource, ...]
    """Those that run on both nodes, as far as nothing else has to run before them."""
    sync: tuple[SyncKeeper, ...]
    """Those whose commits wait for the peer."""
    reporter: Reporter | None
    """Which of them says how fresh the data is."""

    async def prepare(self) -> None:
        """Get what a first start would otherwise wait for; never raises."""
        for resource in self.ocf:
            await resource.prepare()

    @property
    def position_every_s(self) -> float:
        """How often position() is worth asking: a heartbeat carries the newest."""
        own = isinstance(self.reporter, PostgresResource)
        return POSTGRES_POSITION_EVERY_S if own else POSITION_EVERY_S

    async def position(self) -> int | None:
        """How fresh the data is here; None if nobody can tell."""
        return None if self.reporter is None else await self.reporter.position()


def build(
    plan: GroupPlan,
    surroundings: Surroundings,
    *,
    on_times: Callable[[ClaimTimes], None],
    look: Callable[[str], None],
) -> Parts:
    """Make the resources of a group; nothing of them is started or asked yet.

    Args:
        plan: Which ones.
        surroundings: What they are made with.
        on_times: Called on the loop when addresses were claimed, with when that had got how far.
        look: Called on the loop with the name of a resource that gave a sign of its change:
            `GroupRunner.look`.

    Raises:
        EdgeError: A certificate that the probe needs cannot be read, or the like.
    """
    probe = None if plan.probe is None else make_probe(plan.name, plan.probe)
    resources: list[Resource] = []
    ocf: list[OcfResource] = []
    standing_by: dict[str, OcfResource | PostgresResource] = {}
    reporters: list[Reporter] = []
    for settings in plan.resources:
        about = plan.probe is not None and plan.probe.about == settings.name
        interval_s = plan.probe.interval_s if plan.probe is not None and about else None
        made = _resource(_looked_at(settings, interval_s), surroundings, on_times)
        if isinstance(made, SystemdResource | PostgresResource):
            made.on_change = look
        if isinstance(made, OcfResource):
            ocf.append(made)
        if isinstance(made, OcfResource | PostgresResource):
            standing_by[made.name] = made
        if _reports(settings) and isinstance(made, Reporter):
            reporters.append(made)
        resources.append(ProbedResource(made, probe) if probe is not None and about else made)
    if plan.probe is not None and probe is not None and not plan.probe.about:
        resources.append(ProbeResource(PROBE_NAME, probe, _alone(plan.probe)))
    # The operator's own command is asked before an agent's promotion score.
    reporters.sort(key=lambda one: isinstance(one, OcfResource))
    standby = tuple(_standing_by(standing_by, plan.resources))
    databases = (one for one in standing_by.values() if isinstance(one, PostgresResource))
    sync = tuple(one.sync for one in databases if one.sync is not None)
    reporter = next(iter(reporters), None)
    return Parts(tuple(resources), probe, tuple(ocf), standby, sync, reporter)


def reconfigure(parts: Parts, plan: GroupPlan, probe: Probe | None) -> None:
    """Have the resources of a group go by other limits and intervals, and by another probe.

    Args:
        parts: As built by a plan of the same resources, and with a probe at the same place.
        plan: The new one.
        probe: The one that it asks for.
    """
    for resource, settings in zip(parts.resources, plan.resources, strict=False):
        about = plan.probe is not None and plan.probe.about == settings.name
        interval_s = plan.probe.interval_s if plan.probe is not None and about else None
        wanted = _looked_at(settings, interval_s)
        own = resource.resource if isinstance(resource, ProbedResource) else resource
        if isinstance(own, OcfResource) and isinstance(wanted, OcfSettings):
            own.reconfigure(wanted)
        elif isinstance(own, SystemdResource | CommandResource):
            assert isinstance(wanted, SystemdSettings | CommandSettings), wanted
            own.times = wanted.times
    for resource in parts.resources:
        if isinstance(resource, ProbedResource | ProbeResource):
            assert probe is not None, "a probe does not go by a reload"
            resource.ask(probe)
        if isinstance(resource, ProbeResource) and plan.probe is not None:
            resource.times = _alone(plan.probe)


def make_probes(
    plans: Sequence[GroupPlan], timeout_s: float | None = None
) -> Sequence[Probe | None]:
    """The question to each group's service, None where there is none; see `make_probe`."""
    return [
        None if plan.probe is None else make_probe(plan.name, plan.probe, timeout_s)
        for plan in plans
    ]


def make_probe(group: str, settings: ProbeSettings, timeout_s: float | None = None) -> Probe:
    """The question to the service.

    Args:
        group: Whose service it is.
        settings: What is asked.
        timeout_s: Another limit than the one configured, such as that of a takeover's evidence.

    Raises:
        EdgeError: The certificate of its authority cannot be read, or it is no request.
    """
    limit_s = settings.timeout_s if timeout_s is None else timeout_s
    target = settings.target
    match target:
        case TcpTarget():
            return TcpProbe(target.address, target.port, limit_s)
        case HttpTarget():
            return HttpProbe(
                target.address,
                target.port,
                limit_s,
                path=target.target,
                host=target.host,
                statuses=SUCCESS if target.statuses is None else target.statuses,
                text=target.body,
                pattern=target.pattern,
                tls=tls_context(target.ca_file) if target.tls else None,
                server_name=target.server_name,
            )
        case CommandTarget():
            return CommandProbe(f"{group}.{PROBE_NAME}", target.argv, limit_s)
        case _:
            assert_never(target)


def _alone(settings: ProbeSettings) -> Times:
    """Of a probe that is about nothing that haagent starts."""
    interval_s = settings.interval_s or Times().interval_s
    return Times(monitor_s=settings.timeout_s, interval_s=interval_s)


def _looked_at(settings: ResourceSettings, interval_s: float | None) -> ResourceSettings:
    """The resource whose monitor asks the probe is looked at as often as that wants."""
    if interval_s is None:
        return settings
    match settings:
        case OcfSettings():
            return replace(settings, interval_s=interval_s)
        case SystemdSettings() | CommandSettings() | PostgresSettings():
            return replace(settings, times=replace(settings.times, interval_s=interval_s))
        case VipSettings():
            return settings
        case _:
            assert_never(settings)


def _resource(
    settings: ResourceSettings,
    surroundings: Surroundings,
    on_times: Callable[[ClaimTimes], None],
) -> VipResource | SystemdResource | Reporter:
    match settings:
        case VipSettings():
            return VipResource(settings.name, settings.vips, surroundings.holder, on_times)
        case SystemdSettings():
            systemd = surroundings.systemd
            return SystemdResource(settings.name, settings.unit, settings.times, systemd)
        case OcfSettings():
            return OcfResource(settings)
        case PostgresSettings():
            return PostgresResource(settings)
        case CommandSettings():
            return CommandResource(settings.name, settings.commands, settings.times)
        case _:
            assert_never(settings)


def _reports(settings: ResourceSettings) -> bool:
    match settings:
        case CommandSettings():
            return settings.commands.position is not None
        case OcfSettings():
            return settings.promotable
        case PostgresSettings():
            return True
        case _:
            return False


def _standing_by(
    made: Mapping[str, OcfResource | PostgresResource], settings: Sequence[ResourceSettings]
) -> Iterator[OcfResource | PostgresResource]:
    """Those at the head of the group: what comes later may need what only the holder runs."""
    for one in settings:
        if isinstance(one, PostgresSettings) or (isinstance(one, OcfSettings) and one.promotable):
            yield made[one.name]
        elif not isinstance(one, VipSettings):
            return
