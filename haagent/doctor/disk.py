# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk under the state directory: a takeover waits until the new term is safely on it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from haagent.doctor import Line, Subject, bad, ok, unknown, warning
from haagent.durable import sync

TRIES = 5
SLOW_S = 0.1
"""A tenth of the default dead_after, added to every takeover."""
FREE_BYTES_MIN = 64 << 20
"""For record, history and black box, with room for a careless neighbour."""
FORGETFUL = {"tmpfs", "ramfs", "overlay", "squashfs"}
"""What is there is gone after a boot, or was never writable."""


def look(subject: Subject) -> Iterator[Line]:
    """What it is, what is free, and how long a durable write takes."""
    folder = subject.configuration.state_dir
    if not folder.is_dir():
        text = f"{folder} is not there yet; the agent's unit makes it"
        yield unknown("disk", text)
        return
    kind = filesystem(folder, Path("/proc/self/mounts").read_text())
    if kind in FORGETFUL:
        text = f"{folder} is on {kind}, which forgets the term when the machine is switched off"
        yield bad("disk", text, "point [agent] state_dir to a disk")
    about = os.statvfs(folder)
    free = about.f_bavail * about.f_frsize
    if free < FREE_BYTES_MIN or (about.f_files and not about.f_favail):
        yield warning("disk", f"{folder}: {free >> 20} MiB are free", "make room, or move it")
    try:
        worst_s = max(_durable_write_s(folder) for _ in range(TRIES))
    except OSError as error:
        text = f"{folder}: a durable write fails: {error.strerror}"
        if isinstance(error, PermissionError):
            yield unknown("disk", text, "ask as root")
        else:
            yield bad("disk", f"{text}; so would every takeover", "free the disk, or repair it")
        return
    text = f"{folder}: a durable write takes {worst_s * 1e3:.1f} ms at worst of {TRIES}"
    if worst_s > SLOW_S:
        yield warning("disk", f"{text}; a takeover waits for it", "put state_dir on a faster disk")
    else:
        yield ok("disk", text)


def filesystem(folder: Path, mounts: str) -> str:
    """The type of what is mounted where the folder is.

    Args:
        folder: Absolute.
        mounts: As /proc/self/mounts has it; of two mounts in one place the later is on top.
    """
    found = ("", "")
    real = folder.resolve()
    for line in mounts.splitlines():
        _, place, kind, *_rest = line.split()
        place = place.encode().decode("unicode_escape")
        if real.is_relative_to(place) and len(place) >= len(found[0]):
            found = (place, kind)
    return found[1]


def _durable_write_s(folder: Path) -> float:
    """As haagent.durable does it: file, fsync, rename, fsync of the folder."""
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as scratch:
        fresh, kept = Path(scratch, "new"), Path(scratch, "record")
        began_s = time.monotonic()
        with fresh.open("wb") as file:
            file.write(bytes(1024))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(kept)
        sync(Path(scratch))
        return time.monotonic() - began_s
