# SPDX-License-Identifier: GPL-2.0-or-later
"""What the simulated agents go through can be recorded and decided again, to the last field."""

from __future__ import annotations

from pathlib import Path

import pytest

from haagent.blackbox.codec import Encoder
from haagent.blackbox.entries import Entry, Snapshot, Stepped
from haagent.blackbox.reading import segments
from haagent.blackbox.replay import replay
from haagent.blackbox.segment import SegmentWriter
from haagent.core import step as core
from haagent.core.events import Event
from haagent.core.state import State, Step

from .history import judge, make

SEEDS = range(100, 112)
Steps = dict[int, list[tuple[State, Event, Step, int]]]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Every step of every agent, by its incarnation."""
    seen: Steps = {}
    decide = core.step

    def watched(state: State, event: Event, now_ns: int) -> Step:
        result = decide(state, event, now_ns)
        seen.setdefault(state.incarnation, []).append((state, event, result, now_ns))
        return result

    monkeypatch.setattr(core, "step", watched)
    return seen


@pytest.mark.parametrize("seed", SEEDS)
def test_a_simulated_history_replays(seed: int, steps: Steps, tmp_path: Path) -> None:
    """Faults of every kind, operators and restarts: recorded, read and decided the same."""
    judge(make(seed))
    encoder = Encoder(Entry)
    header: dict[str, object] = {"shapes": encoder.shapes}
    total = 0
    for incarnation, run in steps.items():
        path = tmp_path / f"{incarnation}.box"
        writer = SegmentWriter(path, header)
        writer.add(encoder.encode(Snapshot(run[0][0])))
        for before, event, result, now_ns in run:
            after = result.state
            pair = None if before.pair is after.pair else after.pair
            groups = None if before.groups is after.groups else after.groups
            writer.add(encoder.encode(Stepped(now_ns, event, result.effects, pair, groups)))
        writer.write()
        writer.close()
        verdict = replay(segments(path))
        assert verdict.difference is None, verdict.difference
        total += verdict.steps
    assert total == sum(map(len, steps.values()))
