# SPDX-License-Identifier: GPL-2.0-or-later
"""The command probe, with real programs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from haagent.probes import Answer
from haagent.probes.command import CommandProbe
from hil.processes import runs

TIMEOUT_S = 20.0


def ask(script: str, timeout_s: float = TIMEOUT_S, **environment: str) -> Answer:
    """One run of a shell script."""
    probe = CommandProbe("web.probe", ("sh", "-c", script), timeout_s, environment)
    return asyncio.run(probe.answers())


def test_exit_status() -> None:
    """0 is yes; anything else is no, with the last words."""
    assert ask("exit 0") == Answer(ok=True, detail="sh: exit status 0")
    assert ask("echo thinking; echo 'queue is full' >&2; exit 3") == Answer(
        ok=False, detail="sh: exit status 3: queue is full"
    )
    assert ask("kill -9 $$") == Answer(ok=False, detail="sh: killed by SIGKILL")


def test_environment() -> None:
    """What the probe is given arrives, and nothing of ours."""
    assert ask('test "$HAAGENT_GROUP" = web && test -z "$HOME"', HAAGENT_GROUP="web").ok


def test_no_program() -> None:
    """A program that does not exist is no."""
    answer = asyncio.run(CommandProbe("web.probe", ("/nowhere/probe",), TIMEOUT_S).answers())
    assert not answer.ok
    assert "No such file" in answer.detail


def test_hangs(tmp_path: Path) -> None:
    """One that hangs is no, and neither it nor its children are left."""
    pid = tmp_path / "pid"
    answer = ask(f"sleep 1000 & echo $! > {pid}; wait", timeout_s=0.5)
    assert not answer.ok
    assert "no end after 0.5 s" in answer.detail
    assert not runs(int(pid.read_text()))
