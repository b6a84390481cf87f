# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent replay`, as its own process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.harness import says

from blackbox.box_bench import Recorded, failed_over, haagent, make_recorder
from haagent.core.effects import Announce
from haagent.core.events import Event, FenceFinished
from haagent.core.settings import MS
from haagent.core.state import State, Step
from haagent.core.wire import Role


def recorded(directory: Path, *, otherwise: bool = False) -> Recorded:
    """A failover; or one of which a fence's outcome was recorded otherwise."""
    bench = Recorded(make_recorder(directory))
    observe = bench.recorder.observe

    def twisted(before: object, event: Event, step: object, now_ns: int) -> None:
        if otherwise and isinstance(event, FenceFinished):
            event = replace(event, attempt=event.attempt + 1)
        observe(before, event, step, now_ns)  # type: ignore[arg-type]  # as it came

    bench.recorder.observe = twisted  # type: ignore[method-assign]
    failed_over(bench)
    bench.recorder.close()
    return bench


def test_the_same_decisions(tmp_path: Path) -> None:
    """Exit code 0, and how much was decided; of a directory and of a file alike."""
    bench = recorded(tmp_path / "box")
    (file,) = (tmp_path / "box").iterdir()
    for path in (tmp_path / "box", file):
        ended = haagent("replay", str(path))
        assert ended.returncode == 0, ended.stderr
        assert f"{bench.steps} steps" in ended.stdout
        assert "decides the same" in ended.stdout


def test_another_decision(tmp_path: Path) -> None:
    """Exit code 1, and the first difference: where, when, at which event, in which fields."""
    recorded(tmp_path / "box", otherwise=True)
    ended = haagent("replay", str(tmp_path / "box"))
    assert ended.returncode == 1
    assert "FenceFinished" in ended.stdout
    assert "pair: recorded Fenced(" in ended.stdout
    assert "00000001.box" in ended.stdout


def test_another_order(tmp_path: Path) -> None:
    """An effect that is not recorded is a difference as well, though the phases are the same."""
    bench = Recorded(make_recorder(tmp_path / "box"))
    observe = bench.recorder.observe

    def without_announcing(before: State, event: Event, step: Step, now_ns: int) -> None:
        kept = tuple(one for one in step.effects if not isinstance(one, Announce))
        observe(before, event, Step(step.state, kept), now_ns)

    bench.recorder.observe = without_announcing  # type: ignore[method-assign]
    failed_over(bench)
    bench.pass_time(60 * MS)
    bench.reborn(says(Role.STANDBY, term=2))
    bench.recorder.close()
    ended = haagent("replay", str(tmp_path / "box"))
    assert ended.returncode == 1
    assert "effects: recorded (" in ended.stdout
    assert "Announce(group=0)" in ended.stdout


def test_no_recording(tmp_path: Path) -> None:
    """Exit code 65 and a line for what is none."""
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    for name in ("text", "empty", "missing"):
        ended = haagent("replay", str(tmp_path / name))
        assert ended.returncode == 65
        assert ended.stderr.count("\n") == 1


def test_a_torn_recording(tmp_path: Path) -> None:
    """What is whole is replayed, and where it ends is told."""
    recorded(tmp_path / "box")
    (file,) = (tmp_path / "box").iterdir()
    file.write_bytes(file.read_bytes() + b"BLCK\0\0")
    ended = haagent("replay", str(file))
    assert ended.returncode == 0
    assert "Torn, and read up to there: 00000001.box" in ended.stdout
