# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker process seen from its parent: started by exec, asked in turn, killed when it is late."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import cast

import structlog

from fencing import DeviceSettings
from fencing.verify import Happened, Progress, Tell, nobody
from fencing.worker import PROGRESS, Message, message_line, settings_line

CLOSE_LIMIT_S = 1.0
"""To log out is one packet; a worker that needs longer hangs in the device and is killed."""
_HOME = Path(__file__).parent.parent
"""Where `-m` finds the same package that we were imported from."""

_log = structlog.get_logger()


class WorkerLostError(Exception):
    """There is no answer and no worker any more; whether it acted is told by `was_asked`."""

    def __init__(self, reason: str, *, was_asked: bool) -> None:
        super().__init__(reason)
        self.was_asked = was_asked


class WorkerProcess:
    """One `python -m fencing.worker`, from start() to close() or kill()."""

    def __init__(self, device: str, process: Process) -> None:
        self._device = device
        self._process = process
        self._loaded = False
        self._ended = False
        self._closing = False

    @classmethod
    async def start(cls, settings: DeviceSettings) -> WorkerProcess:
        """Exec a worker with an empty environment and hand it the settings over its stdin.

        Raises:
            WorkerLostError: It cannot be started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "fencing.worker"),
                stdin=PIPE,
                stdout=PIPE,
                cwd=_HOME,
                env={},  # Proxies, locales and Python's own switches are none of its business.
                start_new_session=True,  # Ctrl-C at a console is for the parent to decide on.
            )
        except OSError as error:
            raise WorkerLostError(f"no worker: {error.strerror}", was_asked=False) from None
        assert process.stdin is not None
        process.stdin.write(settings_line(settings) + message_line({"op": "load"}))
        return cls(settings.name, process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it was not told to end and did not end by itself, as far as is known."""
        return not self._ended and self._process.returncode is None

    async def load(self, limit_s: float) -> None:
        """Wait until it has loaded its driver; cancelling this leaves it at that.

        Raises:
            WorkerLostError: It has not after `limit_s` and was given up, or it died.
        """
        try:
            async with asyncio.timeout(limit_s):
                await self._loading()
        except TimeoutError:
            self._give_up("it was not loaded")
            reason = f"the worker was not loaded in {limit_s:.1f} s; it was given up"
            raise WorkerLostError(reason, was_asked=False) from None

    async def ask(self, request: Message, limit_s: float, tell: Tell = nobody) -> Message:
        """One request and its answer. After `limit_s` the worker is given up.

        One that is still being loaded is not asked before it is, and goes on loading if that takes
        longer than `limit_s`: a new one would be no faster.

        Given up, as also when this is cancelled, it ends at once and by itself: it sends nothing
        more but its log-out, for a BMC has few slots and a console only one. Whoever asks must
        then close() it, in case it hangs.

        Args:
            request: As fencing.worker lists them.
            limit_s: For the answer and what is left of the loading, seconds.
            tell: Hears every step that the worker reports before its answer.

        Raises:
            WorkerLostError: No answer; the worker has ended, was told to, or is not `loaded` yet.
        """
        try:
            async with asyncio.timeout(limit_s):
                await self._loading()
                line = await self._exchange(message_line(request), tell)
        except TimeoutError:
            if not self._loaded:
                reason = f"the worker was not loaded in {limit_s:.1f} s"
                raise WorkerLostError(reason, was_asked=False) from None
            self._give_up(f"no answer to {request['op']}")
            reason = f"no answer from the worker in {limit_s:.1f} s; it was given up"
            raise WorkerLostError(reason, was_asked=True) from None
        except asyncio.CancelledError:
            if self._loaded:
                self._give_up(f"{request['op']} was given up")
            raise
        self._expect_whole(line, request["op"])
        return cast("Message", json.loads(line))

    async def _loading(self) -> None:
        if not self._loaded:
            assert self._process.stdout is not None
            self._expect_whole(await self._process.stdout.readline(), "load")
            self._loaded = True

    def _expect_whole(self, line: bytes, operation: str) -> None:
        """Of one that dies, the last line is cut short or empty."""
        if not line.endswith(b"\n"):
            self._ended = True
            if not self._closing:
                _log.error("fence.worker_died", device=self._device, during=operation)
            raise WorkerLostError("the worker died", was_asked=self._loaded)

    async def _exchange(self, line: bytes, tell: Tell) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(ConnectionError):  # That it has ended is seen in what it answers.
            stdin.write(line)
            await stdin.drain()
        while (answer := await stdout.readline()).startswith(PROGRESS):
            at_ns, happened, text = json.loads(answer)["progress"]
            tell(Progress(at_ns, Happened(happened), text))
        return answer

    def _give_up(self, reason: str) -> None:
        """Have it end now: the end of its stdin interrupts whatever it does."""
        assert self._process.stdin is not None
        self._ended = self._closing = True
        self._process.stdin.close()
        _log.info("fence.worker_ended", device=self._device, pid=self.pid, reason=reason)

    def kill(self, reason: str) -> None:
        """SIGKILL: for one that hangs. It cannot log out; a BMC forgets it in 60 s."""
        self._ended = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        _log.warning("fence.worker_killed", device=self._device, pid=self.pid, reason=reason)

    async def close(self) -> None:
        """End its stdin, upon which it logs out and ends; after CLOSE_LIMIT_S it is killed.

        One that was killed before is waited for, so that it leaves nothing behind in the loop.
        """
        assert self._process.stdin is not None
        self._closing = True
        self._process.stdin.close()
        if not await self._ends():
            self.kill("it did not log out in time")
            await self._ends()

    async def _ends(self) -> bool:
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._process.wait()
        except TimeoutError:
            return False
        return True
