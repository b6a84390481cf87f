# SPDX-License-Identifier: GPL-2.0-or-later
"""The recorder never waits, loses only what it must, and says what it lost."""

from __future__ import annotations

import os
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from blackbox.box_bench import FACTS, MIB, Recorded, failed_over, flush, make_recorder
from haagent.blackbox import RecordingError
from haagent.blackbox import recorder as recording
from haagent.blackbox.entries import Noted
from haagent.blackbox.reading import Segment, kind_of, segments
from haagent.blackbox.recorder import QUEUE_MAX, Recorder
from haagent.blackbox.replay import replay
from haagent.blackbox.ring import QUIET, SEGMENT_BYTES, Ring, segments_in
from haagent.blackbox.segment import SegmentWriter
from haagent.core.effects import Fence
from haagent.core.settings import S

LIMIT_S = 20.0


def wait_until(what: str, holds: object) -> None:
    """Fail if something does not come true in time."""
    assert callable(holds)
    end_s = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end_s, what
        threading.Event().wait(0.01)


def test_a_recording_replays(tmp_path: Path) -> None:
    """Every step of a failover is there, and the core decides it again."""
    bench = Recorded(make_recorder(tmp_path / "box"))
    failed_over(bench)
    bench.recorder.close()
    verdict = replay(segments(tmp_path / "box"))
    assert verdict.difference is None
    assert (verdict.steps, verdict.segments, verdict.lost) == (bench.steps, 1, 0)


def test_what_decides_is_on_the_disk_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill -9 right after a fence order does not take it from the recording."""
    monkeypatch.setattr(recording, "WRITE_EVERY_S", 10 * LIMIT_S)
    bench = Recorded(make_recorder(tmp_path / "box"))
    flush(bench.recorder)
    failed_over(bench)

    def fence_is_there() -> bool:
        try:
            found = [line for one in segments(tmp_path / "box") for line in one.lines]
        except RecordingError:
            return False
        steps = [line for line in found if kind_of(line) == "Stepped"]
        return any(kind_of(effect) == Fence.__name__ for line in steps for effect in line[3])

    wait_until("the order is not written", fence_is_there)
    bench.recorder.close()


def test_segments_replay_alone_and_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each begins with the state before it; together they are one recording without a gap."""
    monkeypatch.setattr(recording, "SEGMENT_BYTES", 2000)
    bench = Recorded(make_recorder(tmp_path / "box"))
    for _ in range(4):
        bench.idle(20)
        flush(bench.recorder)
    bench.recorder.close()
    found = list(segments(tmp_path / "box"))
    assert len(found) >= 3
    assert all(later.follows(one) for one, later in pairwise(found))
    assert replay(found).steps == bench.steps
    assert sum(replay([one]).steps for one in found) == bench.steps


def test_a_state_that_does_not_follow_is_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state at a segment's beginning is held against the one that the steps before led to."""
    monkeypatch.setattr(recording, "SEGMENT_BYTES", 2000)
    bench = Recorded(make_recorder(tmp_path / "box"))
    for _ in range(3):
        bench.idle(20)
        flush(bench.recorder)
    bench.recorder.close()
    first, second, *_ = segments(tmp_path / "box")
    place = next(i for i, line in enumerate(first.lines) if kind_of(line) == "Stepped")
    del first.lines[-1], first.lines[place + 5]
    verdict = replay([first, second])
    assert verdict.difference is not None


class SlowDisk(Ring):
    """A disk that hangs until it is told to go on."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, 64 * MIB)
        self.goes_on = threading.Event()

    def open(self, header: dict[str, object]) -> SegmentWriter:
        """As Ring.open, in its own time."""
        assert self.goes_on.wait(LIMIT_S)
        return super().open(header)


def test_a_disk_that_hangs_costs_a_gap_and_nothing_else(tmp_path: Path) -> None:
    """The queue is bounded; what it cannot take is counted, and the gap stands in the ring."""
    disk = SlowDisk(tmp_path / "box")
    bench = Recorded(Recorder(disk, FACTS))
    bench.idle(QUEUE_MAX / 10)  # Two steps for each of its beats.
    lost = bench.recorder.lost
    assert lost > 0
    disk.goes_on.set()
    flush(bench.recorder)
    bench.idle(1)
    bench.recorder.close()
    before, after = segments(tmp_path / "box")
    assert after.number("lost") == lost == bench.recorder.lost
    assert after.text("why") == "the queue was full"
    verdict = replay([before, after])
    assert verdict.difference is None
    assert verdict.lost == lost
    assert verdict.steps == bench.steps - lost


def test_a_disk_that_fails_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing can be written there is a trouble; once it is mended, recording goes on."""
    monkeypatch.setattr(recording, "RETRY_S", 0.0)
    (tmp_path / "box").write_text("no directory")
    bench = Recorded(make_recorder(tmp_path / "box"))
    bench.idle(1)
    flush(bench.recorder)
    assert bench.recorder.trouble == "File exists"
    assert bench.recorder.lost >= bench.steps
    (tmp_path / "box").unlink()
    bench.idle(1)
    flush(bench.recorder)
    assert not bench.recorder.trouble
    bench.recorder.close()
    (found,) = segments(tmp_path / "box")
    assert found.number("lost") == bench.recorder.lost
    assert found.text("why") == "File exists"
    assert replay([found]).difference is None


def test_no_room_is_taken_from_the_term(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that is nearly full nothing is recorded: a takeover must write there too."""
    disk = os.statvfs(tmp_path)
    monkeypatch.setattr("haagent.blackbox.ring.FREE_BYTES_MIN", disk.f_blocks * disk.f_frsize)
    bench = Recorded(make_recorder(tmp_path / "box"))
    flush(bench.recorder)
    assert "are free" in bench.recorder.trouble
    bench.recorder.close()
    assert segments_in(tmp_path / "box") == []


def test_quiet_segments_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only heartbeats are, the name says so; not where the start or a silence is."""
    monkeypatch.setattr(recording, "SEGMENT_BYTES", 2000)
    bench = Recorded(make_recorder(tmp_path / "box"))
    bench.stopped()
    bench.idle(1)
    flush(bench.recorder)
    started = segments_in(tmp_path / "box")
    for _ in range(4):
        bench.idle(20)
        flush(bench.recorder)
    idle = segments_in(tmp_path / "box")
    assert not idle[0].name.endswith(QUIET)
    between = idle[len(started) : -1]  # The last one is still open.
    assert between
    assert all(path.name.endswith(QUIET) for path in between)
    bench.pass_time(1 * S)
    bench.recorder.close()
    silent = segments_in(tmp_path / "box")[len(idle) - 1 :]
    assert not all(path.name.endswith(QUIET) for path in silent)


def fill(directory: Path, names: list[str]) -> None:
    """Segments of full size."""
    directory.mkdir()
    for name in names:
        (directory / name).write_bytes(bytes(SEGMENT_BYTES))


def test_the_ring_is_bounded_and_keeps_what_happened(tmp_path: Path) -> None:
    """Room is made by the oldest quiet segments while they are more than half of it."""
    names = [f"{n:08}{'.box' if n in {1, 5} else QUIET}" for n in range(1, 11)]
    fill(tmp_path / "box", names)
    Ring(tmp_path / "box", 8 * SEGMENT_BYTES).open({}).abandon()
    left = [path.name.partition(".")[0].lstrip("0") for path in segments_in(tmp_path / "box")]
    assert left == ["1", "5", "6", "7", "8", "9", "10", "11"]


def test_the_oldest_event_goes_when_nothing_else_can(tmp_path: Path) -> None:
    """Quiet segments keep their half: the last hours are there whole."""
    names = [f"{n:08}{'.box' if n < 7 else QUIET}" for n in range(1, 11)]
    fill(tmp_path / "box", names)
    Ring(tmp_path / "box", 8 * SEGMENT_BYTES).open({}).abandon()
    left = [path.name.partition(".")[0].lstrip("0") for path in segments_in(tmp_path / "box")]
    assert left == ["4", "5", "6", "7", "8", "9", "10", "11"]


def test_another_agent_goes_on_after_the_last_number(tmp_path: Path) -> None:
    """A restart begins a segment of its own; nothing is written into an old one."""
    for _ in range(2):
        bench = Recorded(make_recorder(tmp_path / "box"))
        bench.idle(1)
        bench.recorder.close()
    found = list(segments(tmp_path / "box"))
    assert [one.number("number") for one in found] == [1, 2]
    assert replay(found).difference is None
    assert not found[1].follows(found[0])


def test_what_edges_say_is_in_between(tmp_path: Path) -> None:
    """Notes stand in the recording in the order in which they came, and are not replayed."""
    bench = Recorded(make_recorder(tmp_path / "box"))
    bench.idle(1)
    bench.recorder.note("resource.started", {"of": "vip"})
    bench.idle(1)
    bench.recorder.close()
    (found,) = segments(tmp_path / "box")
    noted = [found.entry(line) for line in found.lines if kind_of(line) == "Noted"]
    assert [one.name for one in noted if isinstance(one, Noted)] == ["resource.started"]
    assert isinstance(found, Segment)
    assert replay([found]).difference is None
