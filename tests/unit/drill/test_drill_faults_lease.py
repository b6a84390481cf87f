# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults end by themselves on the node that carries them, whatever becomes of who wanted them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from haagent.drill import faults, stopper
from haagent.drill.faults import Faults
from haagent.errors import EdgeError
from hil.processes import stat

WAIT_S = 20.0


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that may be stopped."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def state(pid: int) -> str:
    """The letter of proc(5): T is stopped, Z a zombie."""
    return stat(pid)[0]


def until(wanted: Callable[[], bool]) -> None:
    """Wait for it; nothing tells when another process is stopped."""
    end_s = time.monotonic() + WAIT_S
    while not wanted():
        assert time.monotonic() < end_s, "not seen"
        time.sleep(0.02)


def stop(pid: int, hold_s: float) -> subprocess.Popen[bytes]:
    """Run the stopper on a process."""
    return subprocess.Popen([sys.executable, stopper.__file__, str(pid), "0", str(hold_s)])


def test_what_is_stopped_goes_on_in_time(victim: subprocess.Popen[bytes]) -> None:
    """Stopped for a moment, and let go by the stopper itself."""
    with stop(victim.pid, 0.5) as stopping:
        until(lambda: state(victim.pid) == "T")
        assert stopping.wait(WAIT_S) == 0
    until(lambda: state(victim.pid) != "T")


def test_stopper_that_is_told_to_end_lets_go(victim: subprocess.Popen[bytes]) -> None:
    """SIGTERM means: at once."""
    with stop(victim.pid, 60) as stopping:
        until(lambda: state(victim.pid) == "T")
        stopping.terminate()
        assert stopping.wait(WAIT_S) == 0
    until(lambda: state(victim.pid) != "T")


def test_stopper_ends_with_its_victim(victim: subprocess.Popen[bytes]) -> None:
    """A victim that is killed meanwhile is no error, and no other process is hit instead."""
    with stop(victim.pid, 0.5) as stopping:
        until(lambda: state(victim.pid) == "T")
        victim.kill()
        victim.wait()
        assert stopping.wait(WAIT_S) == 0


class Silenced:
    """Keeps what was silenced."""

    def __init__(self) -> None:
        self.history: list[set[int]] = []
        self.ended = asyncio.Event()

    def __call__(self, links: frozenset[int]) -> None:
        """As LinkSet.silence."""
        self.history.append(set(links))
        if not links:
            self.ended.set()


def test_silence_ends_by_itself(tmp_path: Path) -> None:
    """A lease that nobody lifts ends at its time."""
    silenced = Silenced()

    async def main() -> None:
        carried = Faults(silenced, tmp_path)
        carried.silence(frozenset({1}), 0.1)
        assert carried.standing()[0]["links"] == [1]
        await asyncio.wait_for(silenced.ended.wait(), WAIT_S)

    asyncio.run(main())
    assert silenced.history == [{1}, set()]


def test_silence_is_lifted_and_replaced(tmp_path: Path) -> None:
    """Lifting ends it at once, a new silence replaces the old one, and no lease is endless."""
    silenced = Silenced()

    async def main() -> None:
        carried = Faults(silenced, tmp_path)
        carried.lift()
        carried.silence(frozenset({1}), 60)
        carried.silence(frozenset({0}), 60)
        carried.lift()
        assert carried.standing() == []
        with pytest.raises(EdgeError):
            carried.silence(frozenset({0}), faults.LEASE_S_MAX + 1)

    asyncio.run(main())
    assert silenced.history == [{1}, {0}, set()]


def test_freeze_left_by_an_agent_is_lifted_by_the_next(
    tmp_path: Path, victim: subprocess.Popen[bytes]
) -> None:
    """The next agent of the same boot finds the stopper and has it let go."""
    with stop(victim.pid, 60) as stopping:
        until(lambda: state(victim.pid) == "T")
        (tmp_path / "stopper.pid").write_text(str(stopping.pid))
        Faults(Silenced(), tmp_path).lift_left_over()
        assert stopping.wait(WAIT_S) == 0
    until(lambda: state(victim.pid) != "T")


def test_nothing_else_is_told_to_end(tmp_path: Path, victim: subprocess.Popen[bytes]) -> None:
    """A number that was given to another process since is left alone, and so is a lost note."""
    carried = Faults(Silenced(), tmp_path)
    carried.lift_left_over()
    (tmp_path / "stopper.pid").write_text(str(victim.pid))
    carried.lift_left_over()
    with pytest.raises(subprocess.TimeoutExpired):
        victim.wait(0.3)


def test_no_kernel_of_others_is_crashed(tmp_path: Path) -> None:
    """In a container, whose kernel belongs to others as well, a crash is refused."""
    script = (
        "import asyncio, pathlib, sys\n"
        "from haagent.drill.faults import Faults\n"
        "async def main():\n"
        "    Faults(lambda _: None, pathlib.Path(sys.argv[1])).crash()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "EdgeError: this agent runs in a container" in done.stderr, done.stderr


def test_agent_kills_itself_soon(tmp_path: Path) -> None:
    """After its answer has left, by SIGKILL."""
    script = (
        "import asyncio, pathlib, sys\n"
        "from haagent.drill.faults import Faults\n"
        "async def main():\n"
        "    Faults(lambda _: None, pathlib.Path(sys.argv[1])).kill()\n"
        "    print('answered', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.stdout.endswith(b"answered\n")
    assert done.returncode == -signal.SIGKILL
