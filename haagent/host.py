# SPDX-License-Identifier: GPL-2.0-or-later
"""What this machine is, and what it grants a process that must not be late."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from contextlib import suppress
from pathlib import Path
from uuid import UUID

REALTIME_PRIORITY = 50
"""In the middle of SCHED_RR, as corosync and keepalived are run: below kernel threads that the
network needs, above everything ordinary."""
PROMPT_PRIORITY = 1
"""Above everything ordinary, below the loop."""
GARBAGE_OBJECTS = 20_000
"""New objects between two collections: about a minute of heartbeats, which leave no cycles."""
STACK_BYTES = 1 << 19
"""Of each thread: with all memory locked, the usual 8 MiB would be resident for nothing."""
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_PR_SET_DUMPABLE = 4


def boot_id() -> str:
    """A name for this boot of the machine.

    Source: proc(5), /proc/sys/kernel/random/boot_id.
    """
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def boottime_ns() -> int:
    """Monotonic, and it goes on while the machine is suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def system_uuid() -> bytes:
    """The SMBIOS system UUID, 16 bytes as its text reads; zeros when the machine has none."""
    try:
        return UUID(Path("/sys/class/dmi/id/product_uuid").read_text().strip()).bytes
    except (OSError, ValueError):
        return bytes(16)


def leave_no_core() -> None:
    """Let no core dump of this process hold the passwords that it knows, however it dies.

    Not by its limits, which what it starts would inherit: a database may well want its core.
    Source: prctl(2), PR_SET_DUMPABLE.
    """
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def be_punctual() -> tuple[str, ...]:
    """Ask for realtime scheduling and locked memory, and stop the garbage collector's long walks.

    Returns:
        What was refused, a line each: the agent runs without it, only less punctually.
    """
    refused = []
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)
    try:
        # Threads and fence workers made from now on are ordinary ones.
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(REALTIME_PRIORITY))
    except OSError as error:
        refused.append(f"realtime scheduling: {error.strerror}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        refused.append(f"locked memory: {os.strerror(ctypes.get_errno())}")
    return tuple(refused)


def be_prompt() -> None:
    """Have this thread, which is not the loop's, never wait behind ordinary processes.

    It holds the interpreter's lock now and then, and the loop has to wait for that. Where realtime
    scheduling is refused, the loop has none either (be_punctual says so).
    """
    with suppress(OSError):
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(PROMPT_PRIORITY))
