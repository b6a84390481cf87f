# SPDX-License-Identifier: GPL-2.0-or-later
"""One thing that switches a server's power, through the project's drivers in a worker process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import UUID

from fencing import DeviceSettings, FenceOutcome, Power
from fencing.worker import PROGRESS, Message, message_line, settings_line
from hil.processes import end, spawn

ANSWER_LIMIT_S = 60.0
"""A driver keeps its own, shorter limits; a worker that overruns this is killed."""


class DeviceError(RuntimeError):
    """It gave no answer that could be used; the message is for the operator."""


class PowerDevice:
    """A BMC or a PDU, in a session of our own; safe between threads, one question at a time."""

    def __init__(self, device: DeviceSettings, directory: Path) -> None:
        self.name = device.name
        self._device = device
        self._log = directory / f"{device.name}.log"
        self._turn = threading.Lock()
        self._worker: subprocess.Popen[str] | None = None

    def status(self) -> Power:
        """Read the power.

        Raises:
            DeviceError: It cannot be read.
        """
        return Power(self._ask({"op": "status"})["power"])

    def identity(self) -> UUID | None:
        """The system UUID of the machine behind it, as it tells; None if it does not.

        Raises:
            DeviceError: It does not answer.
        """
        told = self._ask({"op": "check"})["identity"]
        return None if told is None else UUID(told)

    def off(self) -> None:
        """Order off and read the proof.

        Raises:
            DeviceError: It is not proved off.
        """
        request = {"op": "off", "deadline_ns": self._deadline_ns(), "off_settle_s": 0.0}
        answer = self._ask({**request, "expect": None})
        if answer["outcome"] != FenceOutcome.CONFIRMED_OFF:
            raise DeviceError(f"{self.name}: not off: {answer['detail']}")

    def on(self) -> None:
        """Order on.

        Raises:
            DeviceError: It does not come on.
        """
        answer = self._ask({"op": "on", "deadline_ns": self._deadline_ns()})
        if not answer["ok"]:
            raise DeviceError(f"{self.name}: not on: {answer['detail']}")

    def close(self) -> None:
        """Log out."""
        with self._turn:
            self._end()

    def _deadline_ns(self) -> int:
        return time.monotonic_ns() + round(self._device.deadline_s * 1e9)

    def _ask(self, request: Message) -> Message:
        with self._turn:
            if self._worker is None or self._worker.poll() is not None:
                self._end()
                self._worker = self._start()
            guard = threading.Timer(ANSWER_LIMIT_S, self._worker.kill)
            guard.start()
            try:
                answer = _asked(self._worker, request)
            except OSError as error:
                raise DeviceError(f"{self.name}: its worker ended, see {self._log}") from error
            finally:
                guard.cancel()
        if "error" in answer:
            raise DeviceError(f"{self.name}: {answer['error']}")
        return answer

    def _start(self) -> subprocess.Popen[str]:
        with self._log.open("ab") as log:
            worker = spawn([sys.executable, "-m", "fencing.worker"], stderr=log)
        assert worker.stdin is not None
        worker.stdin.write(settings_line(self._device).decode())
        return worker

    def _end(self) -> None:
        if self._worker is not None:
            end(self._worker)
            self._worker = None


def _asked(worker: subprocess.Popen[str], request: Message) -> Message:
    """Put one request and return its answer; what comes before are steps of it.

    Raises:
        OSError: The worker ended.
    """
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(message_line(request).decode())
    worker.stdin.flush()
    while line := worker.stdout.readline():
        if not line.startswith(PROGRESS.decode()):
            answer: Message = json.loads(line)
            return answer
    raise BrokenPipeError("the worker ended")
