# SPDX-License-Identifier: GPL-2.0-or-later
"""One PostgreSQL server as a resource: primary where the group is held, hot standby elsewhere.

start() promotes and returns when a write was made: what is started after it, such as the address,
never leads clients to a server that takes none. stop() ends a primary, since PostgreSQL cannot
demote one; a standby harms nobody and is left. stand_by() makes a standby of whatever is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from haagent.bugs import die_of_bugs
from haagent.postgres import asking, follow
from haagent.postgres.asking import Role, Standing
from haagent.postgres.comeback import ComeBack
from haagent.postgres.durability import SyncKeeper
from haagent.postgres.errors import SqlError
from haagent.postgres.layout import PostgresSettings
from haagent.postgres.leader import Leader
from haagent.postgres.position import Position
from haagent.postgres.server import Server
from haagent.postgres.sql import Sql
from haagent.resources import Condition, Reading, ResourceError, Times

ASK_S = 2.0
START_ASK_S = 5.0
"""A server that does not answer a takeover for so long is killed and started anew."""
POLL_S = 0.02
"""Between two looks at a promotion: what it costs the clients at most."""
STREAM_S = 10.0
"""A standby that was just started connects at once, one that was refused tries again after 5 s."""
STREAM_POLL_S = 0.1
POSITION_EVERY_S = 0.25
"""What is written between two looks adds to what `max_lag` lets be lost."""
POSITION_S = 1.0
CHECKPOINT_S = 600.0
REFUSALS = 3
"""Tries in a row, though the histories agree, until the log that is needed counts as not kept."""

log = structlog.get_logger()


class PostgresResource:
    """See `Resource` and `StandbyResource` for what each method promises."""

    def __init__(self, settings: PostgresSettings) -> None:
        """Nothing is run or asked yet."""
        self._settings = settings
        self._server = Server(settings)
        identity = follow.identity(settings)
        self._sql = Sql(follow.local_conninfo(settings), identity)
        self._watching = Sql(follow.local_conninfo(settings), identity)
        self._slow = Sql(follow.local_conninfo(settings), identity)
        """For what may take minutes: nobody else waits behind it."""
        self._peer = Sql(f"{follow.peer_conninfo(settings)} dbname=postgres", identity)
        self._back = ComeBack(settings, self._server, self._peer, self._returned)
        self.sync = SyncKeeper(settings) if settings.durability == "sync" else None
        self._tidying: asyncio.Task[None] | None = None
        self._timeline = 0
        """The highest one that this server, since it was started, was seen to receive."""
        self._refused = 0
        """How often in a row it did not receive although nothing speaks against it."""
        self._leader = Leader(self._server, settings.layout.data, self._leader_ended)
        self.on_change: Callable[[str], None] | None = None
        """Called on the loop, with the resource's name, when the server's leader has ended."""
        self.on_return: Callable[[], None] = lambda: None
        """Called on the loop when the long way back has led there."""

    @property
    def name(self) -> str:
        """Unique in its group."""
        return self._settings.name

    @property
    def times(self) -> Times:
        """Limits and interval."""
        return self._settings.times

    async def start(self) -> None:
        """Have it take writes.

        Raises:
            ResourceError: It does not; something of it may run.
        """
        deadline_s = _now_s() + self.times.start_s
        await self._back.end()
        if why := await self._unusable():
            raise ResourceError(f"its data cannot be served: {why}")
        role = await self._role(START_ASK_S)
        if role is None:
            await self._server.kill()  # What does not answer its own superuser serves nobody.
            await self._server.start(deadline_s - _now_s())
            role = await self._role()
        try:
            if role is not Role.PRIMARY:
                await self._promote(deadline_s)
            await asking.write(self._sql, max(0.1, deadline_s - _now_s()))
            await self._forget_waiting()
        except SqlError as error:
            raise ResourceError(f"it takes no writes: {error}") from error
        await self._leader.watch()
        if self.sync is not None:
            self.sync.begin()
        self._tidying = asyncio.create_task(self._after_promotion())
        self._tidying.add_done_callback(die_of_bugs)

    async def stop(self) -> None:
        """End it, unless it is a standby, which is left.

        Raises:
            ResourceError: Something of it is left.
        """
        await self._end_tidying()
        if self._back.works or await self._role() is Role.STANDBY:
            return
        await self._stop_server()

    async def retire(self) -> None:
        """End it, whatever it is.

        Raises:
            ResourceError: Something of it is left.
        """
        await self._end_tidying()
        await self._back.end()
        await self._stop_server()

    async def stand_by(self) -> None:
        """Make it a standby, from whatever it is.

        Raises:
            ResourceError: It is none, or not yet: what takes long goes on beside this.
        """
        if self._back.works:
            raise ResourceError(f"not yet a standby: {self._back.progress}")
        await self.stop()
        if why := await self._unusable():
            self._set_out(why)
        if await self._role() is not Role.STANDBY:
            try:
                await self._start_standby()
            except OSError as error:  # Nothing speaks against the data: no long way back.
                raise ResourceError(f"its disk refuses: {error.strerror}") from error
            except ResourceError as error:
                log.warning("postgresql.no_standby", of=self.name, reason=str(error))
                self._set_out(str(error))
        await self._follow()

    async def monitor(self) -> Reading:
        """ACTIVE takes a write; STANDBY receives, as far as there is a primary."""
        if self._back.works:
            return Reading(Condition.STOPPED, self._back.progress)
        try:
            own = await asking.standing(self._sql, self.times.monitor_s)
            if own.role is Role.PRIMARY:
                await asking.write(self._sql, self.times.monitor_s)
                await self._leader.watch()
                return Reading(Condition.ACTIVE, self._described_primary(own))
        except SqlError as error:
            if not await self._server.processes():
                return Reading(Condition.STOPPED, self._back.failure)
            return Reading(Condition.FAILED, f"it does not answer as it should: {error}")
        return await self._standby_reading(own)

    async def position(self) -> int | None:
        """How fresh its data is; None if nobody can tell, as of a server that does not run."""
        if self._back.works or await self._unusable():
            return None
        try:
            own = await asking.standing(self._watching, POSITION_S)
        except SqlError:
            return None
        known = self._position(own)
        return None if known is None else known.number

    async def close(self) -> None:
        """Hang up; the server stays as it is."""
        await self._end_tidying()
        await self._back.end()
        for sql in (self._sql, self._watching, self._slow, self._peer):
            sql.close()
        self._leader.forget()
        self._server.close()

    # Towards the primary's role.

    async def _promote(self, deadline_s: float) -> None:
        begun_s = _now_s()
        await asking.promote(self._sql, ASK_S)
        while (await asking.standing(self._sql, ASK_S)).role is not Role.PRIMARY:
            if _now_s() > deadline_s:
                raise SqlError(f"not promoted after {self.times.start_s:g} s")
            await asyncio.sleep(POLL_S)
        log.info("postgresql.promoted", of=self.name, took_ms=round(1000 * (_now_s() - begun_s)))

    async def _after_promotion(self) -> None:
        """What a returning peer needs, and no client waits for."""
        try:
            await asking.keep_slot(self._sql, self._settings.slot, ASK_S)
            if self.sync is not None:
                # A checkpointer at work would not hear that commits wait no longer.
                await self.sync.settled()
            # pg_rewind goes by the control file, which tells of a new timeline only then.
            await self._slow.ask("CHECKPOINT", limit_s=CHECKPOINT_S)
        except SqlError as error:
            log.warning("postgresql.not_tidied", of=self.name, reason=str(error))

    async def _end_tidying(self) -> None:
        if self.sync is not None:
            await self.sync.end()
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.wait({self._tidying})
            self._tidying = None

    async def _forget_waiting(self) -> None:
        """Asynchronous now: nothing waits any more for what was configured before."""
        ours = {follow.waits_for(self._settings.peer), follow.waits_for(follow.GATE)}
        names = await asking.setting(self._sql, follow.NAMES, ASK_S)
        if self.sync is None and names in ours:
            await asking.order(self._sql, follow.NAMES, "", ASK_S)

    # Towards the standby's.

    async def _start_standby(self) -> None:
        """Start it as a standby of the peer, or have it become one that runs.

        Raises:
            ResourceError: It does not start.
            OSError: Its settings could not be written.
        """
        self._timeline = 0
        values = follow.standby_settings(self._settings)
        if not await self._server.processes():
            configure = partial(follow.configure, self._settings, values, standby=True)
            await self._server.on_disk(configure)
            await self._server.start(self.times.start_s)
        await self._leader.watch()

    async def _returned(self) -> None:
        await self._start_standby()
        self.on_return()

    async def _follow(self) -> None:
        """See that it receives from the peer, if that is primary; else there is nothing to follow.

        Raises:
            ResourceError: It does not, or not yet.
        """
        try:
            values = follow.standby_settings(self._settings)
            await asking.alter(self._sql, values, ASK_S)
            await asking.drop_slot(self._sql, self._settings.slot, ASK_S)
            own, primary, apart = await self._received()
        except SqlError as error:
            raise ResourceError(f"the standby does not answer: {error}") from error
        if primary is None or (_receives(own, primary) and not apart):
            return
        if reason := await self._why_not(own, primary, apart=apart):
            raise ResourceError(reason)
        self._set_out("its history is not the primary's")

    async def _received(self) -> tuple[Standing, Standing | None, bool]:
        """What it and the primary are once it receives, never will, or has had the time to.

        And whether they are parted: for moments, a server that is receives as well.
        """
        until_s = _now_s() + STREAM_S
        while True:
            own, primary = await asking.standing(self._sql, ASK_S), await self._primary()
            if primary is None:
                return own, None, False
            apart = await self._parted(own, primary)
            if apart or _receives(own, primary) or _now_s() > until_s:
                return own, primary, apart
            await asyncio.sleep(STREAM_POLL_S)

    async def _primary(self) -> Standing | None:
        """The peer's server, if that is primary and says so."""
        try:
            theirs = await asking.standing(self._peer, ASK_S)
        except SqlError:
            return None
        return theirs if theirs.role is Role.PRIMARY else None

    async def _why_not(self, own: Standing, primary: Standing, *, apart: bool) -> str:
        """Why it does not receive, if time may help; "" if only another way back does."""
        mine, theirs = self._position(own), primary.position
        if mine is None or theirs is None:
            return "nobody can tell how far its data is"
        if own.system != primary.system:
            return "the peer's server is another database; see docs/resources/postgresql.md"
        if mine > theirs:
            return f"its data ({mine}) are newer than the primary's ({theirs}): it is left alone"
        if apart:
            log.warning("postgresql.diverged", of=self.name, own=str(mine), primary=str(theirs))
            return ""
        self._refused += 1
        if self._refused >= REFUSALS:
            self._refused = 0
            return ""
        return f"it does not receive, though it could; see {self._settings.layout.log}"

    async def _parted(self, own: Standing, primary: Standing) -> bool:
        """Whether it has what is no part of the primary's history, though that is the newer one.

        Raises:
            SqlError: The primary does not tell its history.
        """
        mine, theirs = self._position(own), primary.position
        if mine is None or theirs is None or own.system != primary.system or mine > theirs:
            return False
        if mine.timeline == theirs.timeline:
            return await asking.began_apart(self._sql, self._peer, theirs.timeline, ASK_S)
        left = await asking.history(self._peer, theirs.timeline, ASK_S)
        return not follow.follows(mine, theirs, left)

    def _set_out(self, why: str) -> None:
        """Begin the long way back.

        Raises:
            ResourceError: Always: it is no standby yet.
        """
        self._back.begin()
        raise ResourceError(f"not yet a standby, and on the long way back: {why}")

    async def _standby_reading(self, own: Standing) -> Reading:
        primary = await self._primary()
        if primary is None:
            return Reading(Condition.STANDBY, f"{_described(own)}, no primary to follow")
        if not _receives(own, primary):
            why = self._back.failure or "it does not receive from the peer"
            return Reading(Condition.FAILED, why)
        self._refused = 0
        mine = self._position(own)
        if mine is None or primary.position is None:
            return Reading(Condition.STANDBY, _described(own))
        behind = max(0, primary.position.log - mine.log)
        lag = f"streaming, timeline {mine.timeline}, {behind} bytes behind"
        return Reading(Condition.STANDBY, lag)

    # What it is.

    def _described_primary(self, own: Standing) -> str:
        if self.sync is None:
            return _described(own)
        return f"{_described(own)}, commits {self.sync.state}"

    async def _role(self, limit_s: float = ASK_S) -> Role | None:
        """What it says that it is; None if it does not answer."""
        try:
            return (await asking.standing(self._sql, limit_s)).role
        except SqlError:
            return None

    def _position(self, own: Standing) -> Position | None:
        if own.position is None:
            return None
        if own.role is Role.PRIMARY:
            return own.position
        if own.streams:
            self._timeline = max(self._timeline, own.position.timeline)
        return Position(max(self._timeline, own.position.timeline), own.position.log)

    async def _stop_server(self) -> None:
        self._leader.forget()
        for sql in (self._sql, self._watching, self._slow):
            sql.close()
        await self._server.stop(self.times.stop_s)

    async def _unusable(self) -> str:
        return await self._server.on_disk(partial(follow.unusable, self._settings))

    def _leader_ended(self) -> None:
        if self.on_change is not None:
            self.on_change(self.name)


def _receives(own: Standing, primary: Standing) -> bool:
    """Whether a standby gets what the primary writes now.

    A diverged one is sent the end of its old timeline over and over, which is streaming as well.
    """
    if not own.streams or own.position is None or primary.position is None:
        return False
    return own.position.timeline == primary.position.timeline


def _described(own: Standing) -> str:
    return f"{own.role.value}, {own.position}" if own.position else own.role.value


def _now_s() -> float:
    return asyncio.get_running_loop().time()
