# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the programs of a resource: each within its limit, and nothing of it left behind after that.

A program leads a process group of its own. When its limit has passed, or whoever waits is
cancelled, the whole group gets SIGTERM and, after `GRACE_S`, SIGKILL, and is waited for. What a
program leaves running when it ends by itself lives on: that is how a service is started.

A process in the kernel's hands (a dead disk, a hung NFS server) survives SIGKILL, and may still
finish what it was about, such as a mount, much later. While there is such a survivor no other
program is run for the resource: nobody can say then that it is stopped (S7).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from haagent.resources import ResourceError
from haagent.resources.output import TAIL_LINES, Allowance, Lines, PipeReader
from haagent.resources.process_table import living
from haagent.resources.spawn import PATH, Child, spawn, spawn_apart

HELD_S = 1.0
"""What a program left running may hold its output for so long without a word about it."""
GRACE_S = 2.0
"""Between SIGTERM and SIGKILL: for a program that is too late anyway, to tidy up after itself."""
KILLED_S = 2.0
"""SIGKILL takes effect at once, except in the kernel's uninterruptible sleep."""
ENDING_S = GRACE_S + KILLED_S
"""What it takes at most to end a program that has overrun its limit."""
GROUP_POLL_S = 0.02
GROUP_LOOK_S = 0.25
"""To read all of /proc takes milliseconds, and is needed only to tell zombies from the living."""
ANSWER_BYTES_MAX = 1 << 20
"""Of an output that is read instead of logged; the longest OCF meta-data are 60 KB."""
ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8"}
"""All that a program is given beside what its caller adds."""

log = structlog.get_logger()


class ProgramError(ResourceError):
    """A program did not run to its end; the text says why."""


class TimedOutError(ProgramError):
    """It was ended because its limit had passed."""


class StuckError(ProgramError):
    """SIGKILL did not end it, or an earlier one of the same resource."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how its output is to be taken."""

    argv: tuple[str, ...]
    """Not for a shell, unless the first is one. Looked up in PATH if it has no slash."""
    action: str
    """A word for the log: start, stop, monitor, hook."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to ENVIRONMENT; nothing of the agent's own is inherited."""
    lives_on: bool = False
    """It may leave children that go on writing: their output is logged for as long as they live."""
    quiet: bool = False
    """Its lines are logged as debug only: for what is run every few seconds."""
    answers: bool = False
    """Its stdout is an answer to be read, not lines for the log."""
    find: Callable[[], str] | None = None
    """Says which program argv[0] stands for, on the thread that loads it: the disk may hang. Raises
    OSError, or the ResourceError that run() is to raise."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A program has run to its end."""

    status: int
    """Exit status; of one that died of a signal, that signal's negative number."""
    answer: str = ""
    """Its stdout, at most ANSWER_BYTES_MAX, if `answers` was set."""
    tail: tuple[str, ...] = ()
    """The last lines of what was for the log, oldest first, both streams."""

    def __str__(self) -> str:
        """How it ended and its last word, for an error text."""
        if self.status < 0:
            how = f"killed by {_signal_name(-self.status)}"
        else:
            how = f"exit status {self.status}"
        return f"{how}: {self.tail[-1]}" if self.tail else how


class Programs:
    """Everything that is run for one resource, probe or hook."""

    def __init__(self, owner: str) -> None:
        """Nothing is run yet; `owner` is the name that every line in the log gets."""
        self._owner = owner
        self._allowance = Allowance()
        self._survivors: list[_Execution] = []
        self._kept: list[PipeReader] = []

    async def run(self, program: Program, limit_s: float) -> Finished:
        """Run one program to its end; several may run at a time.

        Args:
            program: What to run.
            limit_s: For the whole run. Ending it may take ENDING_S more.

        Raises:
            TimedOutError: It was too slow; nothing of its process group is left.
            StuckError: It, or an earlier one, cannot be ended, and may still do what it was to do.
            ProgramError: It could not be started.
            ResourceError: What `find` of the program raised.
        """
        await self._refuse_survivors()
        try:
            execution = _Execution(self._owner, program, self._allowance)
        except OSError as error:
            raise ProgramError(f"{program.action}: {error.strerror}") from error
        try:
            async with asyncio.timeout(limit_s):
                status = await asyncio.shield(execution.status)
        except TimeoutError:
            await _undisturbed(self._end(execution))
            reason = f"{program.action}: no end after {limit_s:g} s{execution.last_line()}"
            if execution in self._survivors:
                raise StuckError(f"{reason}; and SIGKILL does not end it") from None
            raise TimedOutError(f"{reason}; it was killed") from None
        except asyncio.CancelledError:
            await _undisturbed(self._end(execution))
            raise
        self._part(execution)
        return Finished(status, execution.answer(), tuple(execution.tail))

    def close(self) -> None:
        """Let go of the output of what lives on; it dies of SIGPIPE if it writes again."""
        for reader in self._kept:
            reader.close()
        self._kept.clear()

    async def _refuse_survivors(self) -> None:
        for execution in tuple(self._survivors):
            if left := await execution.survivors():
                raise StuckError(f"an earlier program cannot be ended: {left}")
            if execution in self._survivors:
                self._survivors.remove(execution)

    async def _end(self, execution: _Execution) -> None:
        await execution.end()
        if left := await execution.survivors():
            self._survivors.append(execution)
            log.error("program.stuck", of=self._owner, action=execution.program.action, left=left)
        execution.finish_output()

    def _part(self, execution: _Execution) -> None:
        """It ended by itself: keep or close the pipes that its children still hold."""
        held = execution.finish_output(keep=execution.program.lives_on)
        if held:
            # Their predecessors are of a service that was stopped since.
            self.close()
            self._kept = held
            asyncio.get_running_loop().call_later(
                HELD_S, self._tell_held, held, execution.program.action
            )

    def _tell_held(self, held: list[PipeReader], action: str) -> None:
        """Not of a daemon that lets go of it a moment after its start has ended, as most do."""
        if held is self._kept and not all(reader.closed for reader in held):
            log.warning(
                "program.output_held",
                of=self._owner,
                action=action,
                hint="what it left running writes here: it will be hit by SIGPIPE when the agent"
                " ends; redirect its output",
            )


class _Execution:
    """One program, from its start to the end of its process group."""

    def __init__(self, owner: str, program: Program, allowance: Allowance) -> None:
        loop = asyncio.get_running_loop()
        self.program = program
        self.status: asyncio.Future[int] = loop.create_future()
        """Its exit status; ProgramError if it did not start."""
        self.status.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._log = log.bind(of=owner, action=program.action)
        self._child: Child | None = None
        self._spawned = asyncio.Event()
        """It runs, or cannot be started."""
        self._doomed = False
        self._answer = bytearray()
        self._readers: list[PipeReader] = []
        sinks = (
            _Answer(self._answer) if program.answers else self._lines(allowance),
            self._lines(allowance),
        )
        write_ends: list[int] = []
        try:
            for sink in sinks:
                write_ends.append(self._pipe(sink))  # noqa: PERF401  # known if a later one fails
            spawn_apart(loop, partial(_start, program, *write_ends), self._started)
        except OSError:
            for descriptor in write_ends:
                os.close(descriptor)
            self.finish_output()
            raise

    def answer(self) -> str:
        """What it wrote to stdout so far, if that is an answer."""
        return self._answer.decode(errors="backslashreplace")

    def last_line(self) -> str:
        """For an error text."""
        return f" (last line: {self.tail[-1]})" if self.tail else ""

    def finish_output(self, *, keep: bool = False) -> list[PipeReader]:
        """Take what there is, then read no more.

        Returns:
            With `keep`, the readers of pipes that somebody still holds; they go on.
        """
        held = []
        for reader in self._readers:
            reader.drain()
            if keep and not reader.closed:
                held.append(reader)
            else:
                reader.close()
        return held

    async def end(self) -> None:
        """SIGTERM, then SIGKILL for the whole group, each with a bounded wait."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await self._spawned.wait()
        self._doomed = True  # Should it come to life later, it is killed at once.
        self._signal(signal.SIGTERM)
        if not await self._group_ends(GRACE_S):
            self._signal(signal.SIGKILL)
            await self._group_ends(KILLED_S)

    async def survivors(self) -> str:
        """What of it still lives, for the operator; "" for nothing."""
        if self._child is None:
            return "" if self.status.done() else f"{self.program.argv[0]} (being loaded)"
        if not self._group_lives():
            return ""
        return await living(self._child.pid)

    def _lines(self, allowance: Allowance) -> Lines:
        show = self._log.debug if self.program.quiet else self._log.info
        return Lines(allowance, lambda line: show("program.said", line=line), self.tail)

    def _pipe(self, sink: Lines | _Answer) -> int:
        """Read one more pipe.

        Returns:
            Its writing end.
        """
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read_end, False)
        self._readers.append(PipeReader(read_end, sink.feed, sink.end))
        return write_end

    def _started(self, result: Child | OSError | ResourceError) -> None:
        self._spawned.set()
        if isinstance(result, OSError):
            reason = f"{self.program.action}: {self.program.argv[0]}: {result.strerror}"
            result = ProgramError(reason)
        if isinstance(result, ResourceError):
            self.status.set_exception(result)
            return
        self._child = result
        asyncio.get_running_loop().add_reader(result.pidfd, self._ended, result)
        if self._doomed:
            self._signal(signal.SIGKILL)

    def _ended(self, child: Child) -> None:
        asyncio.get_running_loop().remove_reader(child.pidfd)
        os.close(child.pidfd)
        _, status = os.waitpid(child.pid, 0)
        self.status.set_result(os.waitstatus_to_exitcode(status))

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._group_lives():
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)

    def _group_lives(self) -> bool:
        """Whether anything of its process group is left, zombies included."""
        assert self._child is not None
        if not self.status.done():
            return True
        try:
            os.killpg(self._child.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        # A number is not given away while a group bears it, and the leader was reaped: if there is
        # a process with this number, then it is somebody else's by now.
        return not Path(f"/proc/{self._child.pid}").exists()

    async def _group_ends(self, limit_s: float) -> bool:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        until_s, look_s = now_s + limit_s, now_s + GROUP_LOOK_S
        while self._child is not None and self._group_lives():
            now_s = loop.time()
            if now_s >= until_s:
                return False
            if not self.status.done():
                await asyncio.wait({self.status}, timeout=min(until_s - now_s, GROUP_LOOK_S))
            elif now_s < look_s:
                await asyncio.sleep(GROUP_POLL_S)
            elif await self.survivors():
                look_s = loop.time() + GROUP_LOOK_S
            else:
                return True
        return True


class _Answer:
    """Keeps what a program answers, as far as it is bounded."""

    def __init__(self, kept: bytearray) -> None:
        self._kept = kept

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        self._kept += data[: ANSWER_BYTES_MAX - len(self._kept)]

    def end(self) -> None:
        """Nothing is left to do."""


def _start(program: Program, stdout: int, stderr: int) -> Child:
    """On a thread of its own; closes the writing ends, which only the program shall hold."""
    environment = {**ENVIRONMENT, **program.environment}
    try:
        name = program.argv[0] if program.find is None else program.find()
        return spawn((name, *program.argv[1:]), environment, stdout=stdout, stderr=stderr)
    finally:
        os.close(stdout)
        os.close(stderr)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # Most of the real-time signals have none.
        return f"signal {number}"


async def _undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Bring it to its end although the caller is cancelled meanwhile; it is bounded.

    Raises:
        CancelledError: The caller was cancelled; not before its end.
    """
    task = asyncio.create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
