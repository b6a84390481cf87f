# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing of an agent outlives its limit or its worker; and which program may be an agent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_bench import command_lines, runs, settings, until
from fence_bench import PASSWORD, fencing

from fencing import FenceError, NotSentError
from fencing.drivers.contained import OUTPUT_BYTES_MAX, run
from fencing.drivers.installed import find
from fencing.findings import Trouble
from fencing.worker import message_line, settings_line
from hil.fence_agent import BenchAgent

HOME = Path(__file__).parents[3]
FOR_EVER_NS = 2**62
LIMIT_S = 10.0
OVERRUN_S = 0.3


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[BenchAgent]:
    """An agent that hangs, with something of it in a session of its own; nothing of it is left."""
    agent = BenchAgent(tmp_path / "agent")
    agent.fault = f"hang {_token(agent)}"
    yield agent
    assert not runs(_token(agent)), "a part of the agent still runs"
    assert not runs(str(agent.program)), "the agent still runs"
    assert agent.power == "on", "its order was carried out after it was given up"


def _token(agent: BenchAgent) -> str:
    """Seconds to sleep that are in no other process's command line."""
    return str(10_000_000 + abs(hash(agent.directory)) % 10_000_000)


def _shell(folder: Path, script: str) -> Path:
    program = folder / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_ends(tmp_path: Path) -> None:
    """Exit status and both outputs of a program are as they are, its input is complete."""
    ended = run(_shell(tmp_path, "cat; echo bad >&2; exit 7"), b"all of it", LIMIT_S)
    assert (ended.code, ended.output, ended.complaint) == (7, "all of it", "bad\n")


def test_killed_by_itself(tmp_path: Path) -> None:
    """A signal is no exit status that means something: not 0, 1 or 2."""
    ended = run(_shell(tmp_path, "sh -c 'kill -KILL $$'; exit $?"), b"", LIMIT_S)
    assert ended.code == 128 + signal.SIGKILL
    python = f"#!{sys.executable}\nimport ctypes; ctypes.string_at(0)\n"
    (tmp_path / "program").write_text(python)
    assert run(tmp_path / "program", b"", LIMIT_S).code not in (0, 1, 2)


def test_program_that_reads_nothing(tmp_path: Path) -> None:
    """Input that nobody reads is no trouble, however long."""
    assert run(_shell(tmp_path, "exit 0"), b"x" * 10_000_000, LIMIT_S).code == 0


def test_output_is_bounded(tmp_path: Path) -> None:
    """Of an output without end a beginning is kept."""
    ended = run(_shell(tmp_path, "head -c 3000000 /dev/zero; exit 0"), b"", LIMIT_S)
    assert len(ended.output) == OUTPUT_BYTES_MAX


def test_closed_outputs(tmp_path: Path) -> None:
    """A program that closes its outputs and goes on is waited for, and no longer than the limit."""
    assert run(_shell(tmp_path, "exec >&- 2>&-; sleep 0.05; exit 3"), b"", LIMIT_S).code == 3
    endless = _shell(tmp_path, "exec >&- 2>&-; setsid sleep 12345678 & sleep 12345678")
    with pytest.raises(FenceError):
        run(endless, b"", OVERRUN_S)
    assert not runs("12345678")


def test_parts_end_with_it(tmp_path: Path) -> None:
    """What a program leaves behind ends with it: nothing acts when its status is believed."""
    ended = run(_shell(tmp_path, "setsid sleep 12345679 & echo on; exit 0"), b"", LIMIT_S)
    assert ended.code == 0
    assert not runs("12345679")


def test_overrun(agent: BenchAgent) -> None:
    """A program that overruns is killed with all that it has started."""
    with pytest.raises(FenceError) as overrun:
        run(agent.program, b"action=off\n", OVERRUN_S)
    assert not isinstance(overrun.value, NotSentError)
    assert agent.hanging


def test_not_started(tmp_path: Path) -> None:
    """What could not be started has certainly sent nothing."""
    with pytest.raises(NotSentError):
        run(tmp_path / "missing", b"", LIMIT_S)
    (tmp_path / "no-interpreter").write_text("#!/nowhere\n")
    (tmp_path / "no-interpreter").chmod(0o755)
    with pytest.raises(NotSentError):
        run(tmp_path / "no-interpreter", b"", LIMIT_S)


def _hanging_worker(agent: BenchAgent) -> subprocess.Popen[bytes]:
    """A worker in the midst of an order that its agent does not finish."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "fencing.worker"]
    process = subprocess.Popen(command, cwd=HOME, env={}, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin is not None
    process.stdin.write(settings_line(settings(agent, {"answer": 60.0})))
    order = {"op": "off", "deadline_ns": FOR_EVER_NS, "off_settle_s": 0.0, "expect": None}
    process.stdin.write(message_line(order))
    process.stdin.flush()
    until(lambda: agent.hanging and runs(_token(agent)))
    return process


@pytest.mark.parametrize("end", ["stdin", "SIGTERM", "SIGKILL"])
def test_worker_ends(agent: BenchAgent, end: str) -> None:
    """However a worker ends, its agent ends with it, and so does what the agent has started."""
    with _hanging_worker(agent) as worker:
        assert worker.stdin is not None
        if end == "stdin":
            worker.stdin.close()
        else:
            worker.send_signal(getattr(signal, end))
        worker.wait(LIMIT_S)
        assert worker.stderr is not None
        assert worker.stderr.read() == b""
    until(lambda: not runs(_token(agent)) and not runs(str(agent.program)))


def test_secret_is_nowhere(agent: BenchAgent) -> None:
    """While an agent runs its password stands in no command line and no environment."""
    with _hanging_worker(agent) as worker:
        seen = "\n".join(command_lines())
        assert str(agent.program) in seen
        assert PASSWORD not in seen
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                assert PASSWORD.encode() not in path.read_bytes(), path
            except OSError:
                continue  # It has ended.
        worker.kill()
    until(lambda: not runs(_token(agent)) and not runs(str(agent.program)))


def test_missing_agent(tmp_path: Path) -> None:
    """That an agent is not installed is said by name, before it is needed."""

    async def check() -> None:
        missing = settings(str(tmp_path / "fence_missing"))
        async with fencing(missing, ready=False) as watched:
            (readiness,) = await watched.fence.checked()
        assert [finding.trouble for finding in readiness.findings] == [Trouble.NOT_INSTALLED]
        assert "fence_missing: No such file" in readiness.detail

    asyncio.run(check())


def test_find(tmp_path: Path) -> None:
    """An agent is found by name where a cluster finds it, or by its whole path."""
    assert find("fence_dummy") == Path("/usr/sbin/fence_dummy")
    program = _shell(tmp_path, "")
    assert find(str(program)) == program


def test_find_keeps_the_name(tmp_path: Path) -> None:
    """An agent behind a link is run by the link's name: several agents are one program."""
    link = tmp_path / "fence_link"
    link.symlink_to(_shell(tmp_path, ""))
    assert find(str(link)) == link


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("fence_no_such", Trouble.NOT_INSTALLED),
        ("sh", Trouble.SETTINGS),
        ("", Trouble.SETTINGS),
        ("fence_../../bin/sh", Trouble.SETTINGS),
        ("sbin/fence_dummy", Trouble.SETTINGS),
        ("/usr/sbin", Trouble.NOT_INSTALLED),
        ("/etc/passwd", Trouble.NOT_INSTALLED),
        ("/dev/null", Trouble.NOT_INSTALLED),
    ],
)
def test_not_found(name: str, trouble: Trouble) -> None:
    """What is no agent by its name or no program is not run."""
    with pytest.raises(NotSentError) as missing:
        find(name)
    assert missing.value.trouble is trouble


def test_open_to_others(tmp_path: Path) -> None:
    """A program that others can change is not run, nor is one that others can replace."""
    (tmp_path / "folder").mkdir()
    program = _shell(tmp_path / "folder", "")
    find(str(program))
    program.chmod(0o757)
    with pytest.raises(NotSentError, match="changed by others"):
        find(str(program))
    program.chmod(0o755)
    (tmp_path / "folder").chmod(0o777)
    with pytest.raises(NotSentError, match="changed by others"):
        find(str(program))
    (tmp_path / "folder").chmod(0o755)
    os.chown(program, 12345, 0)
    with pytest.raises(NotSentError, match="changed by others"):
        find(str(program))
