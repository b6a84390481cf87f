# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes another configuration in while the agent runs: whole, or not at all.

What an agent can go by without a restart is in haagent.config.difference. If anything else
differs too, all of it is refused: half a configuration is none that somebody wrote, and its hash
would be that of another one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import structlog

from haagent import confinement
from haagent.bugs import die_of_bugs
from haagent.config import Configuration, ConfigurationError, load
from haagent.config.difference import difference
from haagent.core.state import State
from haagent.durable import DurableError, keep
from haagent.edges import Edges
from haagent.errors import EdgeError
from haagent.evidence import Probes
from haagent.hooks import Hooks
from haagent.log import set_level
from haagent.notify import Notifier

log = structlog.get_logger()
UNTIL_OPENED = " confined until: systemctl daemon-reload, systemctl restart haagent"


class RefusedError(Exception):
    """The new configuration is not taken in; the lines say why."""

    def __init__(self, *lines: str, is_bad: bool = False) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.is_bad = is_bad
        """The file itself is at fault: no agent would start with it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a node's configuration comes from."""

    path: Path
    node: str | None
    """As the node of this name; None: the host name decides."""

    def read(self) -> Configuration:
        """What it says now; blocks. ConfigurationError: it is refused."""
        return load(self.path, self.node)

    def keep(self) -> None:
        """Make it durable, and the files beside it; blocks. DurableError: it may not be."""
        keep(self.path.parent)

    def keep_aside(self) -> None:
        """The same where nobody can wait for a disk: in a thread, and what fails is logged."""

        def work() -> None:
            try:
                self.keep()
            except DurableError as error:
                log.warning("config.not_durable", reason=str(error))

        Thread(target=work, name="keep", daemon=True).start()


@dataclass(slots=True)
class Reload:
    """Reads the file again when it is asked to.

    Raises nothing: why a configuration was refused goes to the log, to systemd, and to who asked.
    """

    configuration: Configuration
    """What the agent goes by now."""
    source: Source
    state: Callable[[], State]
    """Gives the newest one."""
    edges: Edges
    hooks: Hooks
    adopt: Callable[[Configuration], None]
    """Goes by this one from now on, in what the edges and hooks have not to do with."""
    notifier: Notifier
    ended: Callable[[], None]
    """Called after each try."""
    refused: str = ""
    """Why the file that lies there now was refused; "" if it was not."""
    _at_work: bool = field(default=False, init=False)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set, init=False)

    def begin(self) -> None:
        """SIGHUP: nobody waits for an answer."""
        task = asyncio.get_running_loop().create_task(self.answer(dry_run=False))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(die_of_bugs)

    async def answer(self, *, dry_run: bool) -> Mapping[str, object]:
        """Do it, or only say what would be done; the reply to who asked."""
        if self._at_work:
            return _reply("another reload is under way", ok=False)
        self._at_work = True
        if not dry_run:
            self.notifier.reloading(time.monotonic_ns())
        try:
            return await self._reload(dry_run=dry_run)
        except RefusedError as error:
            if not dry_run:
                self.refused = error.lines[0]
                log.warning("config.refused", findings=error.lines)
            return _reply(str(error), ok=False, bad=error.is_bad)
        finally:
            self._at_work = False
            if not dry_run:
                self.notifier.ready()
                self.ended()

    async def _reload(self, *, dry_run: bool) -> Mapping[str, object]:
        new, probes = await self._prepared(dry_run=dry_run)
        found = difference(self.configuration, new)
        if found.restart:
            raise RefusedError(f"needs a restart: {', '.join(found.restart)}; nothing was changed")
        if self.state().stopping is not None:
            raise RefusedError("this agent is about to end")
        if reason := self.edges.refuses(new):
            raise RefusedError(reason)
        if not dry_run:
            try:
                self.edges.reconfigure(new, probes)
            except EdgeError as error:
                raise RefusedError(str(error)) from error
            self.hooks.reconfigure(new.hooks)
            set_level(new.log.level)
            self.adopt(new)
            self.configuration, self.refused = new, ""
            digest = new.pair.configuration_hash.hex()
            log.info("config.reloaded", changed=found.live, hash=digest)
            for warning in new.warnings:
                log.warning("config.warning", finding=warning)
        words = "would change" if dry_run else "changed"
        said = f"{words}: {', '.join(found.live)}" if found.live else "nothing has changed"
        view = self.state().view
        agrees = view is None or view.body.configuration_hash == new.pair.configuration_hash
        if not agrees:
            said += "; the other node has another configuration: until both agree, nothing is taken"
            said += " over by itself"
        hampered = confinement.hampered_by_it(new)
        if hampered and confinement.no_new_privileges():
            # The unit was opened for no program when this agent was started: these came later.
            said += f"; {hampered} run{UNTIL_OPENED}"
            if not dry_run:
                log.warning("config.confined", programs=hampered)
        return _reply(said, ok=True, changed=found.live, agrees=agrees)

    async def _prepared(self, *, dry_run: bool) -> tuple[Configuration, Probes]:
        """What the file says, with everything that is read from the disk for it."""

        def prepare() -> tuple[Configuration, Probes]:
            new = self.source.read()
            probes = Probes.of(new.groups)
            if not dry_run:
                # Of what an agent goes by, the next one must find more than an empty file.
                self.source.keep()
            return new, probes

        # A thread of its own: the one for the record must never wait for a file of somebody else's.
        executor = ThreadPoolExecutor(1, "reload")
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, prepare)
        except ConfigurationError as error:
            raise RefusedError(*error.errors, is_bad=True) from error
        except EdgeError as error:
            is_bad = not isinstance(error, DurableError)
            raise RefusedError(str(error), is_bad=is_bad) from error
        finally:
            executor.shutdown(wait=False)


def _reply(message: str, *, ok: bool, **data: object) -> Mapping[str, object]:
    return {"ok": ok, "message": message, "data": data}
