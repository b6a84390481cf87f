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
        source = SOURCE.read_text().strip()
    except OSError:
        source = ""
    if source in SLOW:
        text = f"the kernel has given up its fast clock and uses {source}"
        yield warning("clock source", text, "see dmesg for why tsc was found unstable")
    elif source:
        yield ok("clock source", f"{source}; no decision depends on the time of day")
    synchronised = _synchronised()
    if synchronised is None:
        yield unknown("time of day", "the kernel does not tell whether it is synchronised")
    elif synchronised:
        yield ok("time of day", "synchronised")
    else:
        text = "not synchronised: logs of the two nodes will not fit, certificates may be refused"
        yield warning("time of day", text, "give it a time server (systemd-timesyncd, chrony)")


def _synchronised() -> bool | None:
    """What adjtimex says. Source: adjtimex(2)."""
    timex = ctypes.create_string_buffer(TIMEX_BYTES)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(timex) < 0:
        return None
    status = ctypes.c_int.from_buffer(timex, STATUS_OFFSET).value
    return not status & STA_UNSYNC
