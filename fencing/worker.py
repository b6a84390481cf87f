# SPDX-License-Identifier: GPL-2.0-or-later
"""One device's own process: `python -m fencing.worker`, JSON lines on stdin and stdout.

The first line is the device's settings, password included: it must not be seen in argv or the
environment. Each further line is a request, answered by one line before the next is read:

| request | answer |
|---|---|
| {"op": "check"} | power, asked_ns, identity (or null) |
| {"op": "status"} | power, asked_ns |
| {"op": "identify"} | identity (or null) |
| {"op": "off", "deadline_ns", "off_settle_s", "expect"} | the fields of OffResult |
| {"op": "on", "deadline_ns"} | ok, detail |

A device that fails a reading answers {"error": words for the operator}. Moments are
CLOCK_MONOTONIC, which is the same for all processes. When stdin ends, in the midst of an order
too, or on SIGTERM, the worker logs out of the device and ends: a killed parent leaves neither a
process nor a session.
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
from types import FrameType, TracebackType
from typing import Any, BinaryIO
from uuid import UUID

from fencing import Device, DeviceSettings, FenceError, Secret
from fencing.drivers import find
from fencing.verify import MonotonicClock, OffRule, power_off, power_on

Message = dict[str, Any]
_STDIN = 0


def settings_line(settings: DeviceSettings) -> bytes:
    """The first line a worker is given. It holds the password: for its stdin and nothing else."""
    return message_line(
        {
            "driver": settings.driver,
            "address": settings.address,
            "user": settings.user,
            "password": b64encode(settings.password.reveal()).decode(),
            "options": dict(settings.options),
        }
    )


def message_line(message: Message) -> bytes:
    """One message as a line of ASCII."""
    return json.dumps(message).encode() + b"\n"


def main() -> None:
    """Serve one device until stdin ends."""
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
        _refuse(requests, answers, str(error))
        return
    try:
        try:
            for line in requests:
                answers.write(message_line(_answer(device, json.loads(line))))
                answers.flush()
        finally:
            _ignore_signals()  # One that strikes before this line still ends in close().
    finally:
        device.close()


def _device(settings: Message) -> Device:
    password = Secret(b64decode(settings["password"]))
    new_device = find(settings["driver"])
    return new_device(settings["address"], settings["user"], password, settings["options"])


def _refuse(requests: BinaryIO, answers: BinaryIO, reason: str) -> None:
    """Answer everything with the reason why there is no device."""
    for line in requests:
        request = json.loads(line)
        refusal: Message = {"error": reason}
        if request["op"] == "off":
            refusal = {"outcome": "failed", "detail": reason, "ordered_ns": None}
            refusal["read_off_ns"] = None
        elif request["op"] == "on":
            refusal = {"ok": False, "detail": reason}
        answers.write(message_line(refusal))
        answers.flush()


def _answer(device: Device, request: Message) -> Message:
    operation = request["op"]
    if operation == "off":
        expected = request["expect"]
        rule = OffRule(
            deadline_ns=request["deadline_ns"],
            off_settle_s=request["off_settle_s"],
            expect_identity=None if expected is None else UUID(expected),
        )
        result = power_off(device, rule, MonotonicClock())
        return {
            "outcome": result.outcome,
            "detail": result.detail,
            "ordered_ns": result.ordered_ns,
            "read_off_ns": result.read_off_ns,
        }
    if operation == "on":
        ok, detail = power_on(device, request["deadline_ns"], MonotonicClock())
        return {"ok": ok, "detail": detail}
    answer: Message = {}
    try:
        if operation in ("check", "status"):
            answer["asked_ns"] = time.monotonic_ns()
            answer["power"] = device.status()
        if operation in ("check", "identify"):
            identity = device.identify()
            answer["identity"] = None if identity is None else str(identity)
    except FenceError as error:
        return {"error": str(error)}
    return answer


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
