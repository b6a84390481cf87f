# SPDX-License-Identifier: GPL-2.0-or-later
"""The write-ahead logs of both servers, compared: who committed what, where, and when.

A promotion begins a new timeline, so in each of them one server alone may write. What a lost server
wrote last is gone once it was rewound: therefore its log is copied at each boot, before anything
runs there.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from haagent.postgres.follow import forks
from haagent.postgres.position import log_position
from hil.database import PROGRAMS, ask
from hil.processes import run

if TYPE_CHECKING:
    from hil.lab import Lab
    from hil.machine import Machine

LOG = "pg/data/pg_wal"
SEGMENT_BYTES = 16 << 20
_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
_COMMIT = re.compile(r"tx: +(\d+), lsn: ([0-9A-F/]+),.* desc: COMMIT ([-0-9]+ [0-9:.]+)")


@dataclass(slots=True)
class Left:
    """The end of a timeline that the next one does not have."""

    commits: list[tuple[int, float]] = field(default_factory=list)
    """How far beyond, in bytes, each was made, and when, Unix seconds."""

    def size(self, before_s: float = inf) -> int:
        """Bytes of log up to the last commit there, or the last one before a time."""
        return max((far for far, when_s in self.commits if when_s < before_s), default=0)


@dataclass(slots=True)
class _Timeline:
    first: str
    last: str
    """Wall times of commits."""
    places: dict[int, tuple[str, str]] = field(default_factory=dict)
    """By position, who committed there and when."""


class Logs:
    """What was committed since `begin`, as each log has it that was read."""

    def __init__(self, lab: Lab) -> None:
        """From now on, logs are kept at each boot."""
        self._lab = lab
        self._timelines: dict[int, _Timeline] = {}
        self._forks: dict[int, int] = {}
        self._kept: list[Path] = []
        self._from = 0
        self._from_s = 0.0
        for machine in lab.machines.values():
            machine.before_boot = partial(self._keep, machine)

    def begin(self, active: Machine) -> None:
        """Forget what was read, except when each timeline was written."""
        self._from = log_position(ask(active, "SELECT pg_current_wal_flush_lsn()"))
        self._from_s = time.time()
        while self._kept:
            shutil.rmtree(self._kept.pop())
        for timeline in self._timelines.values():
            timeline.places.clear()

    def judge(self) -> Left:
        """Read all logs; return what the present history has left behind since `begin`.

        Raises:
            AssertionError: Two servers wrote at one place, or at one time.
        """
        logs = [machine.disk / LOG for machine in self._lab.machines.values()]
        before = set(self._forks)
        for folder in (*self._kept, *logs):
            self._read(folder)
        ordered = sorted(self._timelines.items())
        for (older, old), (newer, new) in pairwise(ordered):
            told = f"timeline {older} was written at {old.last}, {newer} from {new.first} on"
            assert old.last < new.first, told
        left = Left()
        for number in self._forks.keys() - before:
            timeline, end = self._timelines.get(number), self._forks[number]
            places = timeline.places.items() if timeline else ()
            left.commits += [(at - end, _seconds(when)) for at, (_, when) in places if at >= end]
        return left

    def _keep(self, machine: Machine) -> None:
        """Copy what was written since `begin`."""
        source = machine.disk / LOG
        if not self._from or not source.is_dir():
            return
        copy = machine.disk.with_name(f"pg_wal.{machine.boots}")
        copy.mkdir()
        for file in source.iterdir():
            fresh = file.is_file() and file.stat().st_mtime >= self._from_s - 1
            if fresh or file.suffix == ".history":
                shutil.copy2(file, copy)
        self._kept.append(copy)

    def _read(self, folder: Path) -> None:
        histories = sorted(folder.glob("*.history"))
        left = forks(histories[-1].read_text("utf-8")) if histories else {}
        for number, end in left.items():
            assert self._forks.setdefault(number, end) == end, f"two ends of timeline {number}"
        for segment_of, place, who, when in _commits(folder, self._from):
            # The first segment of a timeline begins with a copy of the one before.
            number = min((n for n, end in left.items() if place < end), default=segment_of)
            timeline = self._timelines.setdefault(number, _Timeline(when, when))
            timeline.first, timeline.last = min(timeline.first, when), max(timeline.last, when)
            there = timeline.places.setdefault(place, (who, when))
            assert there == (who, when), f"two commits at {place:X} of timeline {number}"


def _commits(folder: Path, from_place: int) -> Iterator[tuple[int, int, str, str]]:
    """Timeline of the segment, position, transaction and time of each commit there."""
    begins: dict[int, int] = {}
    for file in folder.iterdir():
        if match := _SEGMENT.fullmatch(file.name):
            timeline, high, low = (int(part, 16) for part in match.groups())
            begin = (high << 32) + low * SEGMENT_BYTES
            if begin + SEGMENT_BYTES > from_place:
                begins[timeline] = min(begin, begins.get(timeline, begin))
    for timeline, begin in begins.items():
        place = max(begin, from_place)
        words = ["-p", str(folder), "-t", str(timeline), "-r", "Transaction"]
        words += ["-s", f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"]
        # It ends with an error always, at the end of what was written.
        told = run([str(PROGRAMS / "pg_waldump"), *words], check=False).stdout
        for who, where, when in _COMMIT.findall(told):
            yield timeline, log_position(where), who, when


def _seconds(when: str) -> float:
    return time.mktime(time.strptime(when[:19], "%Y-%m-%d %H:%M:%S")) + float(f"0{when[19:]}")
