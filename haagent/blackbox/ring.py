# SPDX-License-Identifier: GPL-2.0-or-later
"""The directory of segments: numbered files, of which the oldest go when there are too many.

A closed segment in which nothing happened is renamed to `NUMBER.quiet.box`. At most half of the
ring is quiet segments as soon as there are others: so a failover is still there after weeks of
heartbeats, and the last hours are there whole.
"""

from __future__ import annotations

import errno
import os
from itertools import count
from pathlib import Path

from haagent.blackbox import SUFFIX
from haagent.blackbox.segment import SegmentWriter

SEGMENT_BYTES = 256 << 10
"""About six minutes of heartbeats: what `explain` reads to tell of one failover."""
FREE_BYTES_MIN = 64 << 20
"""Left free on the disk for what matters more: the term of a takeover is written there too."""
QUIET = f".quiet{SUFFIX}"


class Ring:
    """One node's segments.

    Args:
        directory: Made if it is missing; its parent must exist.
        bytes_max: Limit for all segments together.
    """

    def __init__(self, directory: Path, bytes_max: int) -> None:
        self.directory = directory
        self._bytes_max = bytes_max
        self._numbers: count[int] | None = None

    def open(self, header: dict[str, object]) -> SegmentWriter:
        """A new segment, after making room for it.

        Raises:
            OSError: the disk is full, nearly full or failing.
        """
        self.directory.mkdir(mode=0o700, exist_ok=True)
        if self._numbers is None:
            newest = max((number_of(path) for path in segments_in(self.directory)), default=0)
            self._numbers = count(newest + 1)
        self._make_room()
        disk = os.statvfs(self.directory)
        if disk.f_bavail * disk.f_frsize < FREE_BYTES_MIN:
            text = f"less than {FREE_BYTES_MIN >> 20} MiB are free"
            raise OSError(errno.ENOSPC, text, str(self.directory))
        number = next(self._numbers)
        return SegmentWriter(self.directory / f"{number:08}{SUFFIX}", {"number": number, **header})

    @staticmethod
    def close(writer: SegmentWriter, *, eventful: bool) -> None:
        """End a segment.

        Raises:
            OSError: it keeps its name, which costs only room.
        """
        writer.close()
        if not eventful:
            writer.path.rename(writer.path.with_name(writer.path.stem + QUIET))

    def _make_room(self) -> None:
        """Remove the oldest quiet segment while those are more than half, else the oldest one."""
        sizes = {path: path.stat().st_size for path in segments_in(self.directory)}
        while sizes and sum(sizes.values()) > self._bytes_max - SEGMENT_BYTES:
            quiet = [path for path in sizes if path.name.endswith(QUIET)]
            told = [path for path in sizes if not path.name.endswith(QUIET)]
            spare = 2 * sum(sizes[path] for path in quiet) > self._bytes_max or not told
            oldest = (quiet if spare else told)[0]
            oldest.unlink()
            del sizes[oldest]


def segments_in(directory: Path) -> list[Path]:
    """The segments of a ring, oldest first."""
    found = [path for path in directory.glob(f"*{SUFFIX}") if path.name.partition(".")[0].isdigit()]
    return sorted(found, key=number_of)


def number_of(path: Path) -> int:
    """Of a segment, by its name."""
    return int(path.name.partition(".")[0])
