# SPDX-License-Identifier: GPL-2.0-or-later
"""One device's own process: `python -m fencing.worker`, JSON lines on stdin and stdout.

The first line is the device's settings, password included: it must not be seen in argv or the
environment. Each further line is a request, answered by one line before the next is read:

| request | answer |
|---|---|
| {"op": "load"} | nothing: it is answered as soon as the driver is loaded |
| {"op": "check"} | power, asked_ns, evidence, identity (or null), mark, findings |
| {"op": "status"} | power, asked_ns, evidence |
| {"op": "off", "deadline_ns", "off_settle_s", "expect"} | the fields of OffResult |
| {"op": "on", "deadline_ns"} | ok, detail |

Before the answer to "off" and "on" come lines {"progress": [at_ns, happened, text]}, one a step.
A device that fails a reading answers {"error": words for the operator, "trouble": its code}.
Moments are CLOCK_MONOTONIC, which is the same for all processes.

When stdin ends, in the midst of an order too, or on SIGTERM, the worker logs out of the device and
ends: a killed parent leaves neither a process nor a session.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import time
from base64 import b64decode, b64encode
from dataclasses import asdict
from types import FrameType, TracebackType
from typing import Any, BinaryIO
from uuid import UUID

from fencing import (
    Device,
    DeviceSettings,
    FenceError,
    FenceOutcome,
    Inspection,
    Secret,
    core_dump,
)
from fencing.drivers import find
from fencing.verify import MonotonicClock, OffResult, OffRule, Progress, power_off, power_on

Message = dict[str, Any]
PROGRESS = b'{"progress"'
"""How a line begins that is a step and not the answer."""
_STDIN = 0

REST_AFTER_S = 2.0
"""A request that follows at once, as the reading of a whole level does, meets the same session:
some consoles refuse a login for 15 s after the last one (measured at CyberPower's)."""
INSPECT_EVERY_S = 300.0
"""What a device tells of itself changes rarely and costs its slow processor several answers."""


def settings_line(settings: DeviceSettings) -> bytes:
    """The first line a worker is given. It holds the password: for its stdin and nothing else."""
    return message_line(
        {
            "name": settings.name,
            "driver": settings.driver,
            "address": settings.address,
            "user": settings.user,
            "password": _encoded(settings.password),
            "kg": None if settings.kg is None else _encoded(settings.kg),
            "off_settle_s": settings.off_settle_s,
            "deadline_s": settings.deadline_s,
            "expect": None if settings.expect_identity is None else str(settings.expect_identity),
            "options": dict(settings.options),
        }
    )


def _encoded(secret: Secret) -> str:
    return b64encode(secret.reveal()).decode()


def message_line(message: Message) -> bytes:
    """One message as a line of ASCII."""
    return json.dumps(message).encode() + b"\n"


def main() -> None:
    """Serve one device until stdin ends."""
    core_dump.forbid()
    sys.excepthook = _report_without_values
    answers = _keep_stdout()
    _end_with_parent()
    requests = sys.stdin.buffer
    settings = requests.readline()
    if not settings:
        return
    try:
        device = _device(json.loads(settings))
    except FenceError as error:
        _refuse(requests, answers, error)
        return
    served = _Served(device, answers)
    try:
        try:
            while line := served.next_request(requests):
                served.answer(json.loads(line))
        finally:
            _ignore_signals()  # One that strikes before this line still ends in close().
    finally:
        device.close()


def _device(settings: Message) -> Device:
    expected = settings["expect"]
    return find(settings["driver"])(
        DeviceSettings(
            name=settings["name"],
            driver=settings["driver"],
            address=settings["address"],
            user=settings["user"],
            password=Secret(b64decode(settings["password"])),
            kg=None if settings["kg"] is None else Secret(b64decode(settings["kg"])),
            off_settle_s=settings["off_settle_s"],
            deadline_s=settings["deadline_s"],
            expect_identity=None if expected is None else UUID(expected),
            options={
                name: tuple(value) if isinstance(value, list) else value
                for name, value in settings["options"].items()
            },
        )
    )


def _refuse(requests: BinaryIO, answers: BinaryIO, error: FenceError) -> None:
    """Answer everything with the reason why there is no device."""
    reason = str(error)
    for line in requests:
        request = json.loads(line)
        refusal = _failure(error)
        if request["op"] == "off":
            refusal = asdict(OffResult(FenceOutcome.FAILED, reason))
        elif request["op"] == "on":
            refusal = {"ok": False, "detail": reason}
        answers.write(message_line(refusal))
        answers.flush()


def _failure(error: FenceError) -> Message:
    return {"error": str(error), "trouble": error.trouble.code}


class _Served:
    """One device and whoever listens to its worker."""

    def __init__(self, device: Device, answers: BinaryIO) -> None:
        self._device = device
        self._answers = answers
        self._inspection: Inspection | None = None
        self._inspected_s = 0.0
        self._answered = False

    def answer(self, request: Message) -> None:
        """Carry out one request and answer it."""
        try:
            answer = self._carry_out(request)
        except FenceError as error:
            answer = _failure(error)
        self._write(answer)
        self._answered = True

    def next_request(self, requests: BinaryIO) -> bytes:
        """Wait for it, b"" when stdin ends; the device rests if it takes long to come.

        A request is only sent when the one before was answered, so none waits in the buffer, but
        for the first: it may have come with the settings.
        """
        if self._answered and not select.select([requests], (), (), REST_AFTER_S)[0]:
            self._device.rest()
        return requests.readline()

    def _carry_out(self, request: Message) -> Message:
        match request["op"]:
            case "off":
                expected = request["expect"]
                rule = OffRule(
                    deadline_ns=request["deadline_ns"],
                    off_settle_s=request["off_settle_s"],
                    expect_identity=None if expected is None else UUID(expected),
                )
                return asdict(power_off(self._device, rule, MonotonicClock(), self._tell))
            case "on":
                deadline_ns = request["deadline_ns"]
                ok, detail = power_on(self._device, deadline_ns, MonotonicClock(), self._tell)
                return {"ok": ok, "detail": detail}
            case "load":
                return {}
            case "check":
                return self._status() | self._inspect()
            case operation:
                assert operation == "status", operation
                return self._status()

    def _status(self) -> Message:
        asked_ns = time.monotonic_ns()
        power = self._device.status()
        return {"asked_ns": asked_ns, "power": power, "evidence": self._device.evidence()}

    def _inspect(self) -> Message:
        now_s = time.monotonic()
        if self._inspection is None or now_s - self._inspected_s > INSPECT_EVERY_S:
            self._inspection, self._inspected_s = self._device.inspect(), now_s
        found = self._inspection
        return {
            "identity": None if found.identity is None else str(found.identity),
            "mark": found.mark,
            "findings": [(finding.trouble.code, finding.text) for finding in found.findings],
        }

    def _tell(self, progress: Progress) -> None:
        self._write({"progress": (progress.at_ns, progress.happened, progress.text)})

    def _write(self, message: Message) -> None:
        self._answers.write(message_line(message))
        self._answers.flush()


def _keep_stdout() -> BinaryIO:
    """Keep stdout for answers, and send what a library prints to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _end_with_parent() -> None:
    """Have SIGIO and SIGTERM unwind whatever is going on, so that `finally` logs out.

    SIGIO tells of stdin's end while the one thread is busy with a device; SIGTERM is what
    systemd sends to the whole unit.
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGIO, _end_if_hung_up)
    fcntl.fcntl(_STDIN, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(_STDIN, fcntl.F_GETFL)
    fcntl.fcntl(_STDIN, fcntl.F_SETFL, flags | os.O_ASYNC)
    _end_if_hung_up(signal.SIGIO, None)  # It may have happened before we listened.


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGIO):
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    _ignore_signals()
    raise SystemExit(0)


def _end_if_hung_up(number: int, frame: FrameType | None) -> None:
    stdin = select.poll()
    stdin.register(_STDIN, select.POLLRDHUP)
    gone = select.POLLHUP | select.POLLRDHUP | select.POLLERR
    if any(events & gone for _, events in stdin.poll(0)):
        _end(number, frame)


def _report_without_values(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Say where a bug struck, without the exception's text, which may hold a secret."""
    del error
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    sys.stderr.write(f"fence worker died of {kind.__name__}: {', '.join(places)}\n")


if __name__ == "__main__":
    main()
