# SPDX-License-Identifier: GPL-2.0-or-later
"""What this process has: descendants, orphans among them, and open files. For before and after."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ENDS_S = 2.0
"""What was killed or told to end needs milliseconds; the rest is for a busy machine."""
_SET_CHILD_SUBREAPER = 36
"""From linux/prctl.h."""


def adopt_orphans() -> None:
    """Become the parent of whatever our children leave behind, so that it can be seen."""
    failed = ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    assert not failed, os.strerror(ctypes.get_errno())


@dataclass(frozen=True, slots=True)
class Process:
    """One that runs."""

    pid: int
    parent: int
    session: int

    @property
    def words(self) -> str:
        """Its command line, for whoever has to find out why it is still there."""
        try:
            line = Path(f"/proc/{self.pid}/cmdline").read_text(errors="replace")
        except OSError:
            line = "(it has just ended)"
        return f"process {self.pid}: {line.replace(chr(0), ' ')}"


def descendants() -> Iterator[Process]:
    """Every process that came of this one and runs."""
    children: dict[int, list[Process]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # It has just ended.
        if fields[0] != "Z":
            process = Process(int(path.parent.name), int(fields[1]), int(fields[3]))
            children.setdefault(process.parent, []).append(process)
    wanted = [os.getpid()]
    while wanted:
        for process in children.get(wanted.pop(), ()):
            yield process
            wanted.append(process.pid)


def end_strays(known: Iterable[int], sessions: frozenset[int]) -> tuple[str, ...]:
    """End the processes that do not end by themselves within ENDS_S, and say which they were.

    Args:
        known: Those that are meant to run.
        sessions: Their sessions, whose members are meant to run too.
    """
    known = frozenset(known)
    ours = [p for p in descendants() if p.pid not in known and p.session not in sessions]
    strays = [process for process in ours if not _ends(process.pid)]
    words = tuple(process.words for process in strays)
    for process in strays:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    return words


def open_files() -> frozenset[str]:
    """Every descriptor of this process with what it is open to."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"file {entry.name}: {entry.readlink()}")
        except FileNotFoundError:
            continue  # That of the listing itself.
    return frozenset(found)


def _ends(pid: int) -> bool:
    try:
        ending = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(ending, select.POLLIN)
        return bool(poll.poll(ENDS_S * 1000))
    finally:
        os.close(ending)
