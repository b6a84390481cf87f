# SPDX-License-Identifier: GPL-2.0-or-later
"""A fence under the eyes of one who writes everything down: `python fence_witness.py FILE [kill]`.

It fences node alpha with the devices of FILE, gives the power back, and prints all that a program
or its operator could see of it: every value and its JSON, logs with the tracebacks of exceptions,
the library's debug logs, and the command lines and environments of all processes that came of it.
With `kill` every worker is killed as soon as an order is about to leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import traceback
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import structlog

from fencing import DeviceSettings
from fencing.config.tables import TableError, load_fences
from fencing.levels import Fence
from fencing.verify import Happened, Progress

ON_LIMIT_S = 1.0
"""The power is given back only to see what an order that fails leaves behind."""


def main() -> None:
    """Load, fence, tell."""
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(default=repr),
        ]
    )
    try:
        devices = load_fences(Path(sys.argv[1]))["alpha"]
    except TableError as error:
        # With what every function on the way held, as a careless logger would.
        kept = traceback.TracebackException.from_exception(error, capture_locals=True)
        tell("refused", "".join(kept.format()))
        structlog.get_logger().exception("refused")
        return
    tell("devices", devices)
    asyncio.run(fence(devices, kill="kill" in sys.argv[2:]), debug=True)


async def fence(devices: tuple[DeviceSettings, ...], *, kill: bool) -> None:
    """One fence and the power back."""

    def heard(device: DeviceSettings, progress: Progress) -> None:
        tell("step", (device, progress))
        processes = descendants()
        for process in processes:
            for name in ("cmdline", "environ"):
                tell(name, seen(process, name))
        if kill and progress.happened is Happened.ORDERED:
            for process in processes:
                os.kill(process, signal.SIGKILL)

    fences = Fence(devices, on_readiness=lambda readiness: tell("readiness", readiness))
    await fences.start()
    try:
        tell("checked", await fences.checked())
        for process in descendants():
            tell("cmdline", seen(process, "cmdline"))
            tell("environ", seen(process, "environ"))
        report = await fences.off(heard)
        tell("outcome", report.outcome.value)
        tell("report", report)
        with contextlib.suppress(TimeoutError):  # Being given up is one more way to fail.
            async with asyncio.timeout(ON_LIMIT_S):
                tell("on", await fences.on(heard))
        tell("fence", vars(fences))
    finally:
        await fences.close()


def tell(what: str, value: object) -> None:
    """Print a value as it shows itself, and as JSON."""
    sys.stdout.write(f"{what}: {value!r}\n{what}: {value}\n")
    if is_dataclass(value) and not isinstance(value, type):
        sys.stdout.write(f"{what}: {json.dumps(asdict(value), default=str)}\n")
    sys.stdout.flush()


def seen(process: int, name: str) -> str:
    """What anybody can read of a process; "" if it has ended."""
    try:
        return Path(f"/proc/{process}/{name}").read_text(errors="replace")
    except OSError:
        return ""


def descendants() -> list[int]:
    """Every process that came of this one."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        fields = seen(int(path.name), "stat").rpartition(") ")[2].split()
        if fields:
            parents[int(path.name)] = int(fields[1])
    found: list[int] = []
    wanted: list[Any] = [os.getpid()]
    while wanted:
        parent = wanted.pop()
        children = [child for child, of in parents.items() if of == parent]
        found += children
        wanted += children
    return found


if __name__ == "__main__":
    main()
