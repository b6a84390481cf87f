# SPDX-License-Identifier: GPL-2.0-or-later
"""The long way back: a server that cannot stream is rewound, or copied anew, from the primary.

In this order, each at most once for one place where the histories parted, and each for a bounded
time. It runs beside the group: whoever starts the group ends it first. While it works on the data,
and after it was ended in the middle of that, a marker says that these are no data at all.

Never on the node that holds the newest data: what is older by `Position` is the only thing that is
ever overwritten, and only from a server that is primary at this moment.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from haagent.bugs import die_of_bugs
from haagent.postgres import asking, follow
from haagent.postgres.asking import Role, Standing
from haagent.postgres.errors import SqlError
from haagent.postgres.layout import PostgresSettings
from haagent.postgres.position import Position
from haagent.postgres.server import CLEAN, Server
from haagent.postgres.sql import Sql
from haagent.resources import ResourceError

REWIND_S = 3600.0
REBUILD_S = 24 * 3600.0
"""A terabyte over a gigabit takes about three hours."""
RECOVER_S = 1800.0
ASK_S = 3.0
CHECKPOINT_S = 120.0
"""Until then a new primary must have written its first checkpoint, which pg_rewind goes by."""
CHECKPOINT_POLL_S = 0.5
REBUILD_PAUSE_S = 300.0
"""Between two copies of everything, should the first one not have helped."""

log = structlog.get_logger()


class ComeBack:
    """What goes on for one server; at most one way back at a time."""

    def __init__(
        self,
        settings: PostgresSettings,
        server: Server,
        peer: Sql,
        start: Callable[[], Awaitable[None]],
    ) -> None:
        """Nothing is begun yet.

        Args:
            settings: Of this node's server.
            server: Its programs.
            peer: How to ask the primary.
            start: Starts this server as a standby, once its data is fit for it.
        """
        self._settings = settings
        self._server = server
        self._peer = peer
        self._start = start
        self._task: asyncio.Task[None] | None = None
        self._rewound: Position | None = None
        """Of the primary's history that was tried already."""
        self._rebuilt_s: float | None = None
        self.progress = ""
        """What is being done, for the operator; "" for nothing."""
        self.failure = ""
        """Why the last one did not get there; "" if it did."""

    @property
    def works(self) -> bool:
        """Whether it is under way."""
        return self._task is not None and not self._task.done()

    def begin(self) -> None:
        """Set out, unless it is under way."""
        if not self.works:
            self._task = asyncio.create_task(self._work())
            self._task.add_done_callback(die_of_bugs)

    async def end(self) -> None:
        """Stop working on the data; returns when nothing of it is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        self.progress = ""

    async def _work(self) -> None:
        self.failure = ""
        try:
            await self._bring_back()
        except (ResourceError, SqlError, OSError) as error:
            self.failure = str(error)
            log.warning("postgresql.not_back", of=self._settings.name, reason=self.failure)
        finally:
            self.progress = ""

    async def _bring_back(self) -> None:
        primary = await self._primary()
        if not await self._unusable():
            await self._not_newer(primary)
            if await self._rewind(primary):
                return
        await self._rebuild(primary)

    async def _not_newer(self, primary: Standing) -> None:
        """Refuse where this node's data are the newest, whatever keeps its server from running."""
        assert primary.position is not None
        own = (await self._server.control()).position
        if own > primary.position:
            text = f"its data ({own}) are newer than the primary's ({primary.position})"
            remedy = "`haagent postgres setup --overwrite` gives them up"
            raise ResourceError(f"{text}: left alone; {remedy}")

    async def _primary(self) -> Standing:
        """The peer, which must be primary now."""
        theirs = await asking.standing(self._peer, ASK_S)
        if theirs.role is not Role.PRIMARY or theirs.position is None:
            raise ResourceError("the peer is no primary: nothing is overwritten")
        return theirs

    async def _rewind(self, primary: Standing) -> bool:
        """Take back what only this server has; whether that was tried and done."""
        assert primary.position is not None
        if self._rewound is not None and self._rewound.timeline == primary.position.timeline:
            return False
        if (await self._server.control()).position.timeline == primary.position.timeline:
            return False  # It compares the timelines' numbers, and would do nothing and succeed.
        await self._checkpointed(primary.position.timeline)
        await self._server.stop(self._settings.times.stop_s)
        self._rewound = primary.position  # Not before: nothing was tried till now.
        try:
            await self._recovered()
        except ResourceError as error:
            log.warning("postgresql.not_rewound", of=self._settings.name, reason=str(error))
            return False
        # What cannot be done shows before anything is touched.
        for dry in (("--dry-run",), ()):
            self._tell(" ".join(("pg_rewind", *dry)))
            if not dry:
                await self._mark("pg_rewind was not finished")
            words = ["-D", str(self._settings.layout.data), "--no-ensure-shutdown", *dry]
            words += ["--source-server", f"{follow.peer_conninfo(self._settings)} dbname=postgres"]
            done = await self._server.run("rewind", "pg_rewind", *words, limit_s=REWIND_S)
            if done.status != 0:
                log.warning("postgresql.not_rewound", of=self._settings.name, reason=str(done))
                return False
        await self._server.on_disk(partial(follow.unmark, self._settings))
        await self._start()
        log.info("postgresql.rewound", of=self._settings.name)
        return True

    async def _recovered(self) -> None:
        """Replay what a crash left, which pg_rewind asks for."""
        if (await self._server.control()).state not in CLEAN:
            self._tell("replays what a crash left")
            bare = partial(follow.configure, self._settings, {}, standby=False)
            await self._server.on_disk(bare)
            await self._server.recover(RECOVER_S)

    async def _checkpointed(self, timeline: int) -> None:
        """Wait until the primary's control file is of its timeline."""
        self._tell("waits for the primary's first checkpoint")
        try:
            async with asyncio.timeout(CHECKPOINT_S):
                # The server offers nothing to wait for.
                while (await asking.standing(self._peer, ASK_S)).checkpoint_timeline < timeline:  # noqa: ASYNC110
                    await asyncio.sleep(CHECKPOINT_POLL_S)
        except TimeoutError:
            raise ResourceError("the primary does not write its first checkpoint") from None

    async def _rebuild(self, primary: Standing) -> None:
        """Copy everything from the primary."""
        reason = await self._unusable() or "it cannot stream, and pg_rewind does not help"
        if self._settings.rebuild != "auto":
            raise ResourceError(
                f"{reason}; `haagent postgres setup` on this node copies it from the peer"
                ' (rebuild = "auto" would do it by itself)'
            )
        loop = asyncio.get_running_loop()
        if self._rebuilt_s is not None and loop.time() < self._rebuilt_s + REBUILD_PAUSE_S:
            raise ResourceError(f"{reason}; it was copied anew only now, and waits")
        await self._same_database(primary)
        await copy_anew(self._settings, self._server, self._peer, self._copying)
        await self._start()
        log.info("postgresql.rebuilt", of=self._settings.name)

    async def _same_database(self, primary: Standing) -> None:
        """Refuse where this node's data is of another database than the primary's."""
        if await self._unusable():
            return
        own = await self._server.control()
        if own.system != primary.system:
            text = "this is another database than the peer's, or damaged beyond telling"
            raise ResourceError(f"{text}; `haagent postgres setup --overwrite` gives it up")

    async def _copying(self, copy: Awaitable[None]) -> None:
        """Carry a copy out, and tell how far it is."""
        self._rebuilt_s = asyncio.get_running_loop().time()
        self._tell("pg_basebackup")

        async def tell() -> None:
            done = await asking.backup_bytes(self._peer, ASK_S)
            if done is not None:
                self.progress = (
                    f"pg_basebackup: {100 * done[0] // done[1]} % of {done[1] >> 20} MiB"
                )

        await asking.beside(copy, tell)

    async def _unusable(self) -> str:
        return await self._server.on_disk(partial(follow.unusable, self._settings))

    async def _mark(self, why: str) -> None:
        await self._server.on_disk(partial(follow.mark_unusable, self._settings, why))

    def _tell(self, what: str) -> None:
        self.progress = what
        log.info("postgresql.comes_back", of=self._settings.name, by=what)


async def copy_anew(
    settings: PostgresSettings,
    server: Server,
    peer: Sql,
    carry: Callable[[Awaitable[None]], Awaitable[None]],
) -> None:
    """Replace the data of a server by a copy of the peer's.

    Args:
        settings: Of this node's server.
        server: Its programs.
        peer: Where it is copied from.
        carry: Awaits the copying itself, and may tell of it meanwhile.

    Raises:
        ResourceError: It could not be done. Where it was begun, there are no usable data here;
            where there is no room for it, nothing was touched.
        OSError: The same.
    """
    data = settings.layout.data
    if lies := await server.on_disk(partial(follow.elsewhere, data)):
        raise ResourceError(f"{lies}: copy it by hand")
    needed, room = await _size(peer), await server.on_disk(partial(follow.room, data))
    if needed > room:
        text = f"room for {room >> 20} MiB, and the peer's databases take {needed >> 20} MiB"
        raise ResourceError(f"{data}: {text}; nothing was removed")
    await server.stop(settings.times.stop_s)
    why = "pg_basebackup was not finished"
    await server.on_disk(partial(follow.mark_unusable, settings, why))
    await asyncio.to_thread(_make_room, settings, data)
    words = ["-D", str(data), "-X", "stream", "--checkpoint=fast", "--no-password"]
    words += ["-d", follow.peer_conninfo(settings)]

    async def copying() -> None:
        done = await server.run("copy", "pg_basebackup", *words, limit_s=REBUILD_S)
        if done.status != 0:
            raise ResourceError(f"pg_basebackup: {done}")

    await carry(copying())
    await server.on_disk(partial(follow.unmark, settings))


async def _size(peer: Sql) -> int:
    """What a copy of it needs at least, bytes; 0 where it may not tell."""
    try:
        return await asking.database_bytes(peer, ASK_S)
    except SqlError as error:
        log.info("postgresql.size_unknown", reason=str(error))
        return 0


def _make_room(settings: PostgresSettings, data: Path) -> None:
    if data.exists():
        follow.empty(data)
        return
    data.mkdir(mode=0o700, parents=True)
    shutil.chown(data, settings.user, settings.user)
