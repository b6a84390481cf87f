# SPDX-License-Identifier: GPL-2.0-or-later
"""A core whose steps are recorded, as the agent's are."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.harness import MINE, Bench, pair_settings, says

from haagent.blackbox.entries import Started
from haagent.blackbox.recorder import Recorder
from haagent.blackbox.ring import Ring
from haagent.core.effects import Record
from haagent.core.events import Event
from haagent.core.settings import MS, S
from haagent.core.state import Step
from haagent.core.step import start, step
from haagent.core.wire import Role

MIB = 1 << 20
FACTS = {"boot": "b", "cluster": "bench", "node": "beta", "peer": "alpha"}


def make_recorder(directory: Path, bytes_max: int = 64 * MIB) -> Recorder:
    """One that writes below a directory."""
    return Recorder(Ring(directory, bytes_max), FACTS)


class Recorded(Bench):
    """Node 1's core, and what it did until close()."""

    def __init__(self, recorder: Recorder, **kwargs: Any) -> None:
        self.recorder = recorder
        self.steps = 0
        settings = pair_settings(kwargs.get("me", 1))
        first = start(
            settings,
            incarnation=MINE,
            now_ns=100 * S,
            record=Record(),
            same_boot=False,
            found=frozenset(),
        )
        started = Started(
            100 * S, settings, MINE, Record(), same_boot=False, found=frozenset(),
            effects=first.effects,
        )  # fmt: skip
        super().__init__(**kwargs)
        assert self.state == first.state
        recorder.begin(started, self.state)

    def _step(self, event: Event) -> None:
        before = self.state
        result = step(before, event, self.now_ns)
        super()._step(event)
        assert self.state == result.state
        self.recorder.observe(before, event, Step(self.state, result.effects), self.now_ns)
        self.steps += 1

    def idle(self, seconds: float) -> None:
        """Healthy heartbeats of an active peer."""
        self.pass_time(int(seconds * S), says(Role.ACTIVE, term=1, held_term=1))


def failed_over(bench: Recorded) -> None:
    """The silent peer is fenced, and its group taken over."""
    bench.stopped()
    bench.hear(says(Role.ACTIVE, term=1, held_term=1))
    bench.idle(1)
    bench.pass_time(450 * MS)
    bench.answer_evidence()
    bench.pass_time(600 * MS)
    bench.finish_fence()
    bench.persisted()
    bench.probed()
    bench.started()
    bench.finish_power_on()


def flush(recorder: Recorder) -> None:
    """Everything so far is in a file, or lost."""
    asyncio.run(asyncio.wait_for(recorder.flush(), 20))


def haagent(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command, in its own process."""
    command = [sys.executable, "-m", "haagent", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
