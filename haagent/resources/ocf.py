# SPDX-License-Identifier: GPL-2.0-or-later
"""An OCF agent as a resource.

What an agent says when it has started or stopped something is never enough: a monitor must say the
same. To be harmless again it must say so as a *repeated* monitor. In a probe (a monitor with
interval 0) most agents count as "not running" what they cannot examine, because a program or a
configuration file is missing; such an answer is believed only of a resource that was never up here.
That it was is remembered in a file of this boot, so it outlives this process.

A promotable resource runs on both nodes. start() promotes it, and stop() demotes it: then it is
STANDBY, and the other node may promote its own. stand_by() brings it there from nothing, and
retire() stops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from haagent.resources import Condition, Reading, ResourceError, Times
from haagent.resources.crm_shim import position
from haagent.resources.ocf_agent import DIRECTORY, OCF_ROOT, Agent
from haagent.resources.ocf_codes import Code, UnfitError, failure, reading_of
from haagent.resources.ocf_metadata import Metadata, problems, read, unique_groups
from haagent.resources.ocf_notes import NotesError
from haagent.resources.ocf_notify import MOMENTS, variables
from haagent.resources.ocf_settings import Limits, OcfSettings

META_DATA_LIMIT_S = 20.0
"""It takes 10 to 40 ms; the 5 s that agents advise are short on a machine under load."""


class OcfResource:
    """One resource that an OCF agent knows how to run.

    Args:
        settings: Which one, by the configuration.
        directory: For notes of all agents; root's alone, and empty after a boot.
        root: Where agents are installed.
    """

    def __init__(
        self, settings: OcfSettings, *, directory: Path = DIRECTORY, root: Path = OCF_ROOT
    ) -> None:
        self._settings = settings
        self._agent: Final = Agent(settings, directory=directory, root=root)
        self._notes: Final = self._agent.notes
        self._metadata: Metadata | None = None
        self._seen_running = False
        self._limits = Limits(settings, None)
        self._log = structlog.get_logger(of=settings.instance)

    @property
    def name(self) -> str:
        """Unique in its group."""
        return self._settings.name

    @property
    def times(self) -> Times:
        """How long start() and stop() take at most, with all actions and monitors in them."""
        return self._limits.times()

    def reconfigure(self, settings: OcfSettings) -> None:
        """Go by other limits and another interval from now on; the rest must be as it was."""
        self._settings = settings
        self._limits = Limits(settings, self._metadata)

    async def prepare(self) -> None:
        """Read the meta-data, for limits that the configuration leaves to the agent.

        Never raises: without them the limits are those of `Times`, and start() tries again.
        """
        if self._metadata is None:
            try:
                await self._learn()
            except ResourceError as error:
                self._log.warning("resource.metadata_unread", why=str(error))

    async def validate(self) -> list[str]:
        """Everything that is wrong with the configuration of this resource, as far as it shows.

        The agent judges by this node too: what is not mounted here may be no mistake at all.
        """
        try:
            metadata = await self._learn()
            found = problems(metadata, self._settings.parameters)
            if self._settings.promotable and not metadata.has("promote", "demote"):
                found.append(f"{self._settings.agent} cannot be promotable")
            if found or not metadata.has("validate-all"):
                return found
            ended = await self._agent.run("validate-all", self._limits.action_s("validate-all"))
        except ResourceError as error:
            return [str(error)]
        if ended.status in (Code.OK, Code.UNIMPLEMENTED):
            return []
        return [str(failure("validate-all", ended))]

    async def monitor(self) -> Reading:
        """Look at it now."""
        return await self._look(self._settings.check_level)

    async def start(self) -> None:
        """Bring it from whatever it is to ACTIVE; a failed one is stopped first.

        Raises:
            UnfitError: It cannot run here until the configuration or the node is changed.
            ResourceError: It is not up, or not seen to be.
        """
        await self.prepare()
        reading = await self._look()
        if reading.condition is Condition.FAILED:
            await self._stop_whole(reading.condition)
            reading = Reading(Condition.STOPPED)
        if reading.condition is Condition.STOPPED:
            await self._start_whole()
            reading = await self._look(self._settings.check_level)
        if self._settings.promotable and reading.condition is Condition.STANDBY:
            await self._act("promote", reading.condition)
            reading = await self._look(self._settings.check_level)
        if reading.condition is not Condition.ACTIVE:
            raise ResourceError(f"it was started, but is {_described(reading)}")

    async def stop(self) -> None:
        """Stop it; a promotable one is only demoted, if that makes it harmless.

        Raises:
            ResourceError: It was not seen stopped (or unpromoted): it may run.
        """
        if not self._settings.promotable and self._notes.may_be_up():
            await self._stop_whole(Condition.ACTIVE)
            return
        reading = await self._look()
        if self._settings.promotable and reading.condition is Condition.ACTIVE:
            await self._try_demote(reading.condition)
            reading = await self._look()
        if reading.condition is not Condition.STANDBY and self._notes.may_be_up():
            await self._stop_whole(reading.condition)

    async def stand_by(self) -> None:
        """Have a promotable one run unpromoted, from whatever it is.

        Raises:
            ResourceError: It is not seen to be STANDBY.
        """
        assert self._settings.promotable, "only a promotable one has such a role"
        await self.prepare()
        await self.stop()
        reading = await self._look()
        if reading.condition is Condition.STOPPED:
            await self._start_whole()
            reading = await self._look()
        if reading.condition is not Condition.STANDBY:
            raise ResourceError(f"it is to stand by, but is {_described(reading)}")

    async def retire(self) -> None:
        """Stop it, in whatever role it is.

        Raises:
            ResourceError: It was not seen stopped: it may run.
        """
        await self.stop()
        if self._notes.may_be_up():
            await self._stop_whole(Condition.STANDBY)

    async def close(self) -> None:
        """Let go of the agent's output; the resource stays as it is."""
        self._agent.close()

    async def position(self) -> int | None:
        """The promotion score that the agent has given this node; None if it has given none.

        A negative one says "not this node": it counts as 0, as data older than all. That of a
        resource which was not seen to run is of another day, and nobody's word.
        """
        if not self._seen_running:
            return None
        try:
            score = position(self._notes.score_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return None if score is None else max(score, 0)

    def unique_values(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        """Values that no other resource of the same agent may have, by agent and parameter names.

        Empty before prepare() or validate() has read the meta-data.
        """
        given = self._settings.parameters
        groups = unique_groups(self._metadata).values() if self._metadata else ()
        return {
            (self._settings.agent, *names): tuple(given.get(name, "") for name in names)
            for names in groups
            if any(name in given for name in names)
        }

    async def _start_whole(self) -> None:
        """Have the agent start it."""
        fresh = not self._notes.may_be_up()
        self._notes.remember_up()
        try:
            await self._act("start", Condition.STOPPED)
        except UnfitError:
            if fresh:
                # Refused: a probe's answer is good enough to see what it did, if anything.
                self._notes.forget_up()
            raise

    async def _stop_whole(self, before: Condition) -> None:
        """Have the agent stop it, and see that it did."""
        try:
            self._notes.remember_up()
        except NotesError as error:
            # Better stopped than noted; that it must be seen by more than a probe is remembered.
            self._log.warning("resource.not_noted", why=str(error))
        if self._settings.promotable and before is Condition.FAILED:
            # It may be promoted: agents refuse to stop it like that.
            await self._try_demote(before)
        await self._act("stop", before)
        reading = await self._look()
        if reading.condition is not Condition.STOPPED:
            raise ResourceError(f"stop ended with 0, but it is {_described(reading)}")
        self._notes.forget_up()

    async def _try_demote(self, before: Condition) -> None:
        """Demote it; should that fail, then it is up to a stop."""
        try:
            await self._act("demote", before)
        except ResourceError as error:
            self._log.warning("resource.demote_failed", why=str(error))

    async def _act(self, action: str, before: Condition) -> None:
        """Run an action that changes the resource, with its notifications."""
        known, settings = self._metadata, self._settings
        notified = settings.promotable and known is not None and known.has("notify")
        moments = MOMENTS[action] if notified else ()
        if "pre" in moments:
            await self._notify("pre", action, before)
        ended = await self._agent.run(action, self._limits.action_s(action))
        if ended.status != Code.OK:
            raise failure(action, ended)
        if "post" in moments:
            await self._notify("post", action, before)

    async def _notify(self, moment: str, action: str, before: Condition) -> None:
        """Tell the agent; what it makes of that changes nothing."""
        instance, node = self._settings.instance, self._settings.node
        told = variables(moment, action, before, instance=instance, node=node)
        try:
            await self._agent.run("notify", self._limits.action_s("notify"), notify=told)
        except ResourceError as error:
            self._log.warning("resource.notify_failed", why=str(error))

    async def _look(self, check_level: int = 0) -> Reading:
        reading = await self._monitor(check_level)
        self._seen_running = reading.condition in {Condition.ACTIVE, Condition.STANDBY}
        return reading

    async def _monitor(self, check_level: int) -> Reading:
        """Run a monitor: as a probe, if nothing of the resource was ever up on this node."""
        probe = not self._notes.may_be_up()
        interval_s = 0.0 if probe else self._limits.interval_s() or Times().interval_s
        level = 0 if probe else check_level
        try:
            ended = await self._agent.run(
                "monitor",
                self._limits.action_s("monitor"),
                interval_s=interval_s,
                check_level=level,
            )
        except UnfitError as error:
            return Reading(Condition.STOPPED if probe else Condition.FAILED, str(error))
        except NotesError as error:
            return Reading(Condition.FAILED, str(error))
        except ResourceError as error:
            reading = Reading(Condition.FAILED, str(error))
        else:
            reading = reading_of(ended, promotable=self._settings.promotable, probe=probe)
        if reading.condition is not Condition.STOPPED:
            try:
                self._notes.remember_up()
            except NotesError as error:
                return Reading(Condition.FAILED, f"{_described(reading)}; and {error}")
        return reading

    async def _learn(self) -> Metadata:
        """Read the meta-data, and from now on go by them."""
        ended = await self._agent.run("meta-data", META_DATA_LIMIT_S)
        if ended.status != Code.OK:
            raise failure("meta-data", ended)
        try:
            self._metadata = read(ended.answer)
        except ValueError as error:
            raise ResourceError(f"{self._settings.agent} gives no meta-data: {error}") from None
        self._limits = Limits(self._settings, self._metadata)
        return self._metadata


def clashes(resources: Sequence[OcfResource]) -> list[str]:
    """Resources that share what their agent wants to be unique, a line for each."""
    found = list[str]()
    holders = dict[tuple[object, ...], str]()
    for resource in resources:
        for names, values in resource.unique_values().items():
            holder = holders.setdefault((names, values), resource.name)
            if holder != resource.name:
                what = ", ".join(names[1:])
                found.append(f"{holder} and {resource.name} have the same {what}")
    return found


def _described(reading: Reading) -> str:
    return f"{reading.condition}: {reading.detail}" if reading.detail else str(reading.condition)
