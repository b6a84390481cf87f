# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether commits wait for the standby: what the core's rule (S11) is carried out by.

It works for as long as the group is held here. The core is told, again and again, whether commits
wait for a peer that has all of them; only with the core's leave, and only if nothing else was told
since, are they let go. Whatever is done by halves leaves them waiting.

`synchronous_standby_names` takes effect when the checkpointer has read it, which nothing tells. So
before the peer is called complete, commits are made to wait for a name that nobody bears, until one
of ours is seen to wait; then they wait for the peer, and when it has ours, it has all before it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from haagent.bugs import die_of_bugs
from haagent.postgres import asking
from haagent.postgres.errors import SqlError
from haagent.postgres.follow import GATE, NAMES, identity, local_conninfo, waits_for
from haagent.postgres.layout import PostgresSettings
from haagent.postgres.sql import Sql

LOOK_S = 0.25
TELL_EVERY_S = 2.0
"""Again though nothing has changed: the core begins anew with each try to start the group."""
ASK_S = 3.0
STUCK_S = 2.0
"""A standby that takes so long to write what it was sent counts as gone."""
GATE_S = 30.0
"""A checkpoint under way may hold up the checkpointer; commits go on meanwhile."""
FULL_S = 10.0
"""For the peer to write what it lacked, while commits already wait for it."""
POLL_S = 0.01
LOCK = "7072"
"""Of an advisory lock: the keeper of an agent that died may still have an order under way."""
_HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
_TAKE = "SELECT pg_try_advisory_lock($1::bigint)"

log = structlog.get_logger()


class SyncKeeper:
    """Sees to it that commits wait for the peer whenever it receives, while the group is held."""

    def __init__(self, settings: PostgresSettings) -> None:
        """Nothing is begun yet."""
        self._settings = settings
        self._sql = Sql(local_conninfo(settings), identity(settings))
        conninfo = local_conninfo(settings, waits=True)
        self._commit = Sql(conninfo, identity(settings))
        """Its commits wait as those of any client do."""
        self._task: asyncio.Task[None] | None = None
        self._attempt = 0
        self._complete = False
        self._told_s = 0.0
        self._sealed = False
        """Commits were seen to wait for the peer, and it had them all then."""
        self._guarded = False
        """Commits were seen to wait, and we have not let them go since."""
        self._leave: int | None = None
        """The reading that the core has answered."""
        self._seen: tuple[int, float] = (0, 0.0)
        """How far the peer was, and since when."""
        self.told: Callable[[int, bool], None] = lambda _attempt, _complete: None
        """Called on the loop with the number of a reading, and whether commits wait for a peer that
        has them all; not while commits go on alone."""
        self.alone = False
        """Commits do not wait, as far as was seen."""

    @property
    def state(self) -> str:
        """How commits are, for the operator: "commits ..."."""
        if self.alone:
            return f"go on without {self._settings.peer}"
        if self._complete:
            return f"are on {self._settings.peer} as well"
        return f"wait for {self._settings.peer}"

    def begin(self) -> None:
        """The group is held here from now on."""
        if self._task is None:
            self._task = asyncio.create_task(self._work())
            self._task.add_done_callback(die_of_bugs)

    async def end(self) -> None:
        """It is let go: nothing more is begun, and commits stay as they are."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        self._leave = None
        self._attempt += 1  # The next reading is another one, whatever it says.
        self._told_s = 0.0
        self._sealed = self._complete = self._guarded = self.alone = False
        for sql in (self._sql, self._commit):
            sql.close()

    async def settled(self) -> None:
        """Wait until commits go on, alone or on the peer as well; or until all is ended."""
        while self._task is not None and not (self.alone or self._complete):  # noqa: ASYNC110  # rare
            await asyncio.sleep(LOOK_S)

    def commit_alone(self, attempt: int, *, risk: bool) -> None:
        """The core's leave, for that reading and no other."""
        self._leave = attempt
        say = log.error if risk else log.info
        say("postgresql.may_commit_alone", of=self._settings.name, risk=risk)

    async def _work(self) -> None:
        while True:
            try:
                if await self._lock():
                    await self._look()
            except SqlError as error:  # The server's health is looked at elsewhere.
                log.debug("postgresql.sync_unread", of=self._settings.name, reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def _lock(self) -> bool:
        """Be the only one who changes it; whoever was before us ends with his connection."""
        if (await self._sql.ask(_HELD, limit_s=ASK_S)) == [("1",)]:
            return True
        self._sealed = False
        return await self._sql.ask(_TAKE, LOCK, limit_s=ASK_S) == [("t",)]

    async def _look(self) -> None:
        receives = await self._receives()
        names = await asking.setting(self._sql, NAMES, ASK_S)
        if names != waits_for(self._settings.peer):
            self._sealed = False
            if self._complete:  # Somebody else changed it: commits may have gone on without.
                self._tell(complete=False)
        if self._guarded and not names:
            names = waits_for(self._settings.peer)
            log.error("postgresql.commits_let_go_by_hand", of=self._settings.name)
            await asking.order(self._sql, NAMES, names, ASK_S)
        self._guarded = bool(names)
        self.alone = not names
        if receives and not self._sealed:
            await self._seal()
        elif names:
            self._tell(complete=receives)
            if not receives and self._leave == self._attempt:
                await self._open()

    def _tell(self, *, complete: bool) -> None:
        """The same reading again has the same number: it may be answered at any time."""
        now_s = time.monotonic()
        if complete != self._complete or not self._attempt:
            self._attempt += 1
            log.info("postgresql.sync", of=self._settings.name, complete=complete)
        elif now_s < self._told_s + TELL_EVERY_S:
            return
        self._complete, self._told_s = complete, now_s
        self.told(self._attempt, complete)

    async def _receives(self) -> bool:
        """Whether the peer gets what is written, and writes it."""
        own, peer = await asking.flushed(self._sql, self._settings.peer, ASK_S)
        if peer is None:
            return False
        now_s = time.monotonic()
        if peer > self._seen[0] or peer >= own:
            self._seen = (peer, now_s)
        return now_s - self._seen[1] < STUCK_S

    async def _open(self) -> None:
        """Let commits wait no longer."""
        self._guarded = False
        await asking.order(self._sql, NAMES, "", ASK_S)
        self.alone = True
        log.warning("postgresql.commits_alone", of=self._settings.name)

    async def _seal(self) -> None:
        """Have commits wait, first for nobody, then for the peer, and see that it has them all."""
        self._attempt += 1  # Leave that was given before is for what was before.
        self._complete = False
        await asking.order(self._sql, NAMES, waits_for(GATE), ASK_S)
        waiting: asyncio.Task[None] | None = None
        try:
            waiting = await self._waiting_commit()
            await asking.order(self._sql, NAMES, waits_for(self._settings.peer), ASK_S)
            if waiting is None:
                return  # The next look tries again; commits wait for the peer meanwhile.
            async with asyncio.timeout(FULL_S):
                await waiting
        except TimeoutError:
            return
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.wait({waiting})
        self._sealed = True
        self._tell(complete=True)

    async def _waiting_commit(self) -> asyncio.Task[None] | None:
        """A commit of ours that was seen to wait; None if commits do not wait in time."""
        ((session,),) = await self._commit.ask("SELECT pg_backend_pid()", limit_s=ASK_S)
        until_s = time.monotonic() + GATE_S
        while time.monotonic() < until_s:
            commit = asyncio.create_task(
                asking.write(self._commit, GATE_S + FULL_S, asking.SYNC_ROW)
            )
            while not commit.done():
                await asyncio.wait({commit}, timeout=POLL_S)
                if await asking.waits(self._sql, session or "", ASK_S):
                    return commit
            await commit
            await asyncio.sleep(POLL_S)
        return None
