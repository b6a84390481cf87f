# SPDX-License-Identifier: GPL-2.0-or-later
"""Clocks: the one that the agent decides by, and the one that people read."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

from haagent.doctor import Line, Subject, ok, unknown, warning

SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
SLOW = {"hpet", "acpi_pm", "jiffies", "pit"}
"""Reading one of these costs microseconds, and they may step; a healthy machine uses its tsc."""
STA_UNSYNC = 0x40
"""Source: Linux, include/uapi/linux/timex.h, as the offset of `status` in struct timex."""
STATUS_OFFSET = 40
TIMEX_BYTES = 208


def look(_subject: Subject) -> Iterator[Line]:
    """Both clocks."""
    try:
        name = SOURCE.read_text().strip()
    except OSError:
        yield unknown("clock source", "the kernel does not tell which clock it uses")
    else:
        yield source(name)
    yield time_of_day(kernel_status())


def source(name: str) -> Line:
    """The clock that the kernel reads, by its name."""
    if name in SLOW:
        text = f"the kernel has given up its fast clock and uses {name}"
        return warning("clock source", text, "see dmesg for why tsc was found unstable")
    return ok("clock source", f"{name}; no decision depends on the time of day")


def time_of_day(status: int | None) -> Line:
    """The wall clock, by the kernel's status of it; None if it does not tell."""
    if status is None:
        return unknown("time of day", "the kernel does not tell whether it is synchronised")
    if not status & STA_UNSYNC:
        return ok("time of day", "synchronised")
    text = "not synchronised: logs of the two nodes will not fit, certificates may be refused"
    return warning("time of day", text, "give it a time server (systemd-timesyncd, chrony)")


def kernel_status() -> int | None:
    """What adjtimex says. Source: adjtimex(2)."""
    timex = ctypes.create_string_buffer(TIMEX_BYTES)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(timex) < 0:
        return None
    return ctypes.c_int.from_buffer(timex, STATUS_OFFSET).value
