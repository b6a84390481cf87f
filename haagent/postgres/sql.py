# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks one server, on a thread of its own, and never for longer than it may take.

A server can hang in every way: frozen, out of disk, out of connections. So libpq is used without
blocking calls (`psycopg.pq`): each wait has an end, after which the connection is dropped. The loop
only ever waits for the thread's word.

Peer authentication goes by the user of whoever connects. The kernel keeps that per thread, so only
this thread becomes the server's user; nothing else of the agent does.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from haagent.postgres.errors import Row, SqlError, SqlTimeoutError

if TYPE_CHECKING:
    from psycopg import pq

CONNECT_OPTIONS = "connect_timeout=3 application_name=haagent"
LATE_S = 1.0
"""The thread keeps its own limit; one that is this late has found a way to block after all."""
_SETRES = {"x86_64": (117, 119), "aarch64": (147, 149)}
"""Numbers of setresuid and setresgid. Source: linux, asm/unistd_64.h and asm-generic/unistd.h."""
_UNCHANGED = -1


@dataclass(frozen=True, slots=True)
class Identity:
    """The user and group that a thread is to be."""

    user: int
    group: int


@dataclass(frozen=True, slots=True)
class _Question:
    statement: str
    values: tuple[str | None, ...]
    deadline_s: float
    tell: Callable[[list[Row] | SqlError], None]


class Sql:
    """One connection at a time, made when it is needed and again after it broke."""

    def __init__(self, conninfo: str, identity: Identity | None = None) -> None:
        """Nothing is connected yet.

        Args:
            conninfo: As libpq takes it; no host name in it, which would be looked up.
            identity: Who connects; None: this process's user.
        """
        self._conninfo = f"{conninfo} {CONNECT_OPTIONS}"
        self._identity = identity
        self._session: _Session | None = None

    async def ask(self, statement: str, *values: str | None, limit_s: float) -> list[Row]:
        """The rows that a statement brings, all values as text.

        Args:
            statement: With $1, $2, ... for the values.
            values: As text.
            limit_s: For all of it, the connection included.

        Raises:
            SqlTimeoutError: No answer in time; what was asked may still be done.
            SqlError: The server said no, or is not there.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Row] | SqlError] = loop.create_future()

        def settle(result: list[Row] | SqlError) -> None:
            if not answer.done():
                answer.set_result(result)

        def tell(result: list[Row] | SqlError) -> None:
            try:
                loop.call_soon_threadsafe(settle, result)
            except RuntimeError:
                return  # The loop has ended: nobody waits any more.

        deadline_s = time.monotonic() + limit_s
        if self._session is None:
            self._session = _Session(self._conninfo, self._identity)
        self._session.put(_Question(statement, values, deadline_s, tell))
        try:
            async with asyncio.timeout(limit_s + LATE_S):
                result = await answer
        except TimeoutError:
            raise SqlTimeoutError(f"no answer after {limit_s:g} s") from None
        if isinstance(result, SqlError):
            raise result
        return result

    def close(self) -> None:
        """Hang up once what was asked is answered; a later question connects anew."""
        if self._session is not None:
            self._session.put(None)
            self._session = None


class _Session:
    """A thread and its connection, which nobody else touches."""

    def __init__(self, conninfo: str, identity: Identity | None) -> None:
        from haagent.postgres import libpq  # noqa: PLC0415  # only where a server is asked

        self._libpq = libpq
        self._conninfo = conninfo
        self._identity = identity
        self._questions: SimpleQueue[_Question | None] = SimpleQueue()
        self._connection: pq.abc.PGconn | None = None
        threading.Thread(target=self._run, name="sql", daemon=True).start()

    def put(self, question: _Question | None) -> None:
        """Ask, after all that was asked before; None: hang up."""
        self._questions.put(question)

    def _run(self) -> None:
        try:
            _become(self._identity)
            refused = None
        except OSError as error:
            refused = SqlError(f"cannot become the server's user: {error.strerror}")
        while (question := self._questions.get()) is not None:
            question.tell(refused or self._answer(question))
        self._hang_up()

    def _answer(self, question: _Question) -> list[Row] | SqlError:
        if time.monotonic() >= question.deadline_s:
            return SqlTimeoutError("no answer in time")
        fresh = self._connection is None
        try:
            if self._connection is None:
                self._connection = self._libpq.connect(self._conninfo, question.deadline_s)
            return self._libpq.ask(
                self._connection, question.statement, question.values, question.deadline_s
            )
        except SqlTimeoutError as error:
            self._hang_up()
            return error
        except SqlError as error:
            if self._connection is not None and not self._libpq.is_lost(self._connection):
                return error
            self._hang_up()
            # The server was restarted since the last question: this one has not been asked yet.
            return error if fresh else self._answer(question)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.finish()
            self._connection = None


def _become(identity: Identity | None) -> None:
    """Make this thread, and it alone, the server's user.

    Raises:
        OSError: It may not.
    """
    if identity is None or (os.geteuid(), os.getegid()) == (identity.user, identity.group):
        return
    set_user, set_group = _SETRES[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    for number, value in ((set_group, identity.group), (set_user, identity.user)):
        if libc.syscall(number, _UNCHANGED, value, _UNCHANGED) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
