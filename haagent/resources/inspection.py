# SPDX-License-Identifier: GPL-2.0-or-later
"""What this machine says to a configuration: for check-config and doctor.

The configuration is the same on both nodes, the machines may not be: units, agents and programs are
looked for where the question is asked. What cannot be asked refuses nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from fencing.config import duration
from fencing.config.problems import ABSENT, HIDDEN, Problem, join
from haagent.config.group_checks import short_budget
from haagent.config.group_plans import stop_sum_s
from haagent.config.settings import (
    CommandSettings,
    CommandTarget,
    Configuration,
    GroupPlan,
    HttpTarget,
    ResourceSettings,
    SystemdSettings,
    VipSettings,
)
from haagent.errors import EdgeError
from haagent.postgres.inspection import objections as objections_to
from haagent.postgres.layout import PostgresSettings
from haagent.probes.pattern import PatternError, check_pattern
from haagent.probes.stream import tls_context
from haagent.resources import ResourceError
from haagent.resources.boot import enabled_state, objections
from haagent.resources.ocf import META_DATA_LIMIT_S, OcfResource, clashes
from haagent.resources.ocf_agent import DIRECTORY, OCF_ROOT, Agent
from haagent.resources.ocf_metadata import problems, read
from haagent.resources.ocf_notes import NotesError
from haagent.resources.ocf_settings import OcfSettings
from haagent.resources.pid1 import Systemd
from haagent.resources.units import RefusedError, Way
from haagent.witness.build import make_gateway
from haagent.witness.settings import EtcdSettings


@dataclass(frozen=True, slots=True)
class Machine:
    """What is asked; other than the system's own are for tests."""

    systemd: Way
    ocf_root: Path = OCF_ROOT
    ocf_directory: Path = DIRECTORY


async def inspect(configuration: Configuration, machine: Machine | None = None) -> list[Problem]:
    """Everything that speaks against carrying this configuration's groups on this machine.

    Nothing is started, stopped or changed. Never raises for what cannot be asked.

    Args:
        configuration: Of this node.
        machine: None: the one that this runs on.
    """
    if machine is not None:
        return [problem async for problem in _problems(configuration, machine)]
    systemd = Systemd()
    systemd.open()
    try:
        return [problem async for problem in _problems(configuration, Machine(systemd))]
    finally:
        await systemd.close()


async def _problems(configuration: Configuration, machine: Machine) -> AsyncIterator[Problem]:
    for problem in _programs(configuration):
        yield problem
    agents: list[OcfResource] = []
    for group in configuration.groups:
        async for problem in _units(group, machine):
            yield problem
        ocf = {
            one.name: OcfResource(one, directory=machine.ocf_directory, root=machine.ocf_root)
            for one in group.resources
            if isinstance(one, OcfSettings)
        }
        for settings in group.resources:
            if isinstance(settings, OcfSettings):
                where = _where(group, settings.name)
                async for problem in _agent(settings, ocf[settings.name], where, machine):
                    yield problem
        budget_ns = configuration.pair.timing.stop_budget_ns
        if text := short_budget(group.name, _stop_s(group, ocf), budget_ns):
            # The agents' own advice, where the file says nothing, is known only here.
            yield Problem("timing.stop_budget", duration.render(budget_ns), text)
        agents += ocf.values()
        for one in group.resources:
            if isinstance(one, PostgresSettings):
                async for problem in _server_unit(group, one, machine):
                    yield problem
                async for objection in objections_to(one):
                    where = _where(group, one.name, *filter(None, (objection.key,)))
                    yield Problem(where, objection.value, objection.text, objection.refuses)
        async for problem in _probe(group):
            yield problem
    for problem in _witnesses(configuration):
        yield problem
    for text in clashes(agents):
        yield Problem("group", ABSENT, text)


def _witnesses(configuration: Configuration) -> Iterator[Problem]:
    """Certificates that cannot be used: without them the agent would not run."""
    for plan in configuration.witnesses:
        if isinstance(plan.target, EtcdSettings):
            try:
                make_gateway(plan.target, plan.timeout_s)
            except EdgeError as error:
                yield Problem(join("witness", plan.name), HIDDEN, str(error), refuses=True)


def _where(group: GroupPlan, *keys: str) -> str:
    path = ("group", group.name, "resource", keys[0], *keys[1:])
    return join(*path)


def _stop_s(group: GroupPlan, ocf: dict[str, OcfResource]) -> float:
    def one_s(settings: ResourceSettings) -> float:
        match settings:
            case VipSettings():
                return 0.0
            case OcfSettings():
                return ocf[settings.name].times.stop_s
            case _:
                return settings.times.stop_s

    command = group.probe is not None and isinstance(group.probe.target, CommandTarget)
    return stop_sum_s(map(one_s, group.resources), programs=command)


async def _units(group: GroupPlan, machine: Machine) -> AsyncIterator[Problem]:
    resources = [one for one in group.resources if isinstance(one, SystemdSettings)]
    for one in resources:
        where = _where(group, one.name, "unit")
        companions = {other.unit for other in resources} - {one.unit}
        try:
            found = await objections(machine.systemd, one.unit, one.times, companions)
        except EdgeError as error:
            known = "refused" if isinstance(error, RefusedError) else "could not be asked"
            yield Problem(where, one.unit, f"systemd {known}: {error}", refuses=False)
            continue
        for objection in found:
            text = f"{objection.text}; {objection.remedy}"
            yield Problem(where, one.unit, text, refuses=objection.refuses)


async def _server_unit(
    group: GroupPlan, settings: PostgresSettings, machine: Machine
) -> AsyncIterator[Problem]:
    """A unit that somebody enabled starts the server whatever Debian's start.conf says."""
    unit = settings.layout.unit
    try:
        state = await enabled_state(machine.systemd, unit)
    except EdgeError:
        return  # Where nobody can tell, start.conf is looked at all the same.
    if state == "enabled":
        text = "systemd starts it at boot, on both nodes and before the agent decides"
        yield Problem(_where(group, settings.name), unit, f"{text}; systemctl disable {unit}")


async def _agent(
    settings: OcfSettings, resource: OcfResource, where: str, machine: Machine
) -> AsyncIterator[Problem]:
    """What is refused is wrong on every machine; what the agent says of this one is a warning."""
    program = Agent(settings, directory=machine.ocf_directory, root=machine.ocf_root)
    try:
        ended = await program.run("meta-data", META_DATA_LIMIT_S)
        found = problems(read(ended.answer), settings.parameters)
    except NotesError as error:
        text = f"could not be asked: {error}; ask as root"
        yield Problem(f"{where}.agent", settings.agent, text, refuses=False)
        return
    except (ResourceError, ValueError) as error:
        yield Problem(f"{where}.agent", settings.agent, str(error))
        return
    finally:
        program.close()
    for text in found:
        yield Problem(f"{where}.parameters", HIDDEN, text)
    if not found:
        for text in await resource.validate():
            refuses = text.endswith("cannot be promotable")
            yield Problem(where, settings.agent, f"on this node: {text}", refuses=refuses)
    await resource.close()


async def _probe(group: GroupPlan) -> AsyncIterator[Problem]:
    if group.probe is None or not isinstance(group.probe.target, HttpTarget):
        return
    target, where = group.probe.target, join("group", group.name, "probe")
    if target.pattern:
        try:
            await check_pattern(target.pattern)
        except PatternError as error:
            yield Problem(f"{where}.pattern", target.pattern, str(error))
    if target.ca_file is not None:
        try:
            tls_context(target.ca_file)
        except EdgeError as error:
            yield Problem(f"{where}.ca_file", str(target.ca_file), str(error))


def _programs(configuration: Configuration) -> Iterator[Problem]:
    """Programs that are not here, which the other node may have all the same."""
    for group in configuration.groups:
        for one in group.resources:
            if isinstance(one, CommandSettings):
                commands = one.commands
                for key in ("start", "stop", "monitor", "position"):
                    argv: tuple[str, ...] | None = getattr(commands, key)
                    if argv is not None:
                        where = _where(group, one.name, key)
                        yield from _program(where, argv, needed=key == "stop")
        if group.probe is not None and isinstance(group.probe.target, CommandTarget):
            yield from _program(
                join("group", group.name, "probe", "command"), group.probe.target.argv
            )
    for occasion, hook in configuration.hooks.items():
        yield from _program(f"hooks.{occasion.value}", hook.argv)
    for receiver in configuration.alerts:
        if isinstance(receiver.target, tuple):
            yield from _program(join("alert", receiver.name, "command"), receiver.target)


def _program(where: str, argv: tuple[str, ...], *, needed: bool = False) -> Iterator[Problem]:
    """A node that can do everything but stop its service would have to be powered off for it (S7).

    Args:
        where: The key.
        argv: Its value.
        needed: Refuse the configuration if it is not here.
    """
    path, why = Path(argv[0]), "; without it this node is powered off to stop it" if needed else ""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        text = f"{error.strerror}; install it on both nodes, or name another{why}"
        yield Problem(where, argv[0], text[0].lower() + text[1:], refuses=needed)
        return
    if not stat.S_ISREG(mode) or not os.access(path, os.X_OK):
        text = f"no program; chmod +x it, on both nodes{why}"
        yield Problem(where, argv[0], text, refuses=needed)
    elif mode & stat.S_IWOTH:
        text = "anybody could change it, and it is run as root; chmod o-w it"
        yield Problem(where, argv[0], text)
