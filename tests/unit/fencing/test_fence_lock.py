# SPDX-License-Identifier: GPL-2.0-or-later
"""One fence at a time per peer, whoever asks for it, and whoever dies in the middle of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fence_bench import device, simulator

from fencing import FenceOutcome
from fencing.levels import Fence
from fencing.lock import FenceLock, LockedError, lock_path
from hil.bmc import IpmiSim

HOLDER = """
import asyncio, sys
from pathlib import Path
from fencing.lock import FenceLock
async def hold():
    async with FenceLock(Path(sys.argv[1]), "console, somebody").held("off", 5.0):
        print("held", flush=True)
        await asyncio.sleep(60)
asyncio.run(hold())
"""


@pytest.fixture
def lock(tmp_path: Path) -> FenceLock:
    """A lock that nobody has."""
    return FenceLock(tmp_path / "fence-alpha.lock", "test")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock."""
    path = str(tmp_path / "fence-alpha.lock")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


async def _hold(lock: FenceLock, limit_s: float = 0.0) -> None:
    async with lock.held("off", limit_s):
        pass


def test_free(lock: FenceLock, tmp_path: Path) -> None:
    """A free lock is had at once, carries its owner's name, and none after him."""

    async def scenario() -> None:
        path = tmp_path / "fence-alpha.lock"
        async with lock.held("off", 0.0):
            signature = json.loads(path.read_text())
            assert (signature["owner"], signature["pid"]) == ("test", os.getpid())
        assert path.read_text() == ""
        assert path.stat().st_mode & 0o777 == 0o600
        await _hold(lock)

    asyncio.run(scenario())


def test_taken(lock: FenceLock, holder: subprocess.Popen[str]) -> None:
    """Who waits in vain learns who holds it, and leaves the holder's name in place."""
    for _ in range(2):
        with pytest.raises(LockedError) as caught:
            asyncio.run(_hold(lock, 0.06))
        assert f"console, somebody (pid {holder.pid}) does off since " in str(caught.value)


def test_freed_by_death(lock: FenceLock, holder: subprocess.Popen[str]) -> None:
    """A holder that is killed holds nothing any more."""
    os.kill(holder.pid, signal.SIGKILL)
    asyncio.run(_hold(lock, 10.0))


def test_freed_by_cancelling(lock: FenceLock) -> None:
    """An attempt that is given up gives the lock back."""

    async def scenario() -> None:
        holding = asyncio.Event()

        async def hold() -> None:
            async with lock.held("off", 0.0):
                holding.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await holding.wait()
        task.cancel()
        await asyncio.wait({task})
        await _hold(lock)

    asyncio.run(scenario())


def test_no_lock_to_be_had(tmp_path: Path) -> None:
    """Where the file cannot be made the fence goes on: the lock is a courtesy."""
    asyncio.run(_hold(FenceLock(tmp_path / "missing" / "lock", "test")))


def test_path_beside_the_socket() -> None:
    """Daemon and console find the same file."""
    assert lock_path(Path("/run/haagent/control.sock"), "alpha") == Path(
        "/run/haagent/fence-alpha.lock"
    )


def test_a_fence_takes_its_turn(
    lock: FenceLock, holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    """While another process fences the peer nothing is ordered; when it is gone, all is."""

    async def scenario(bmc: IpmiSim) -> None:
        fence = Fence([device(bmc, deadline_s=1.0)], on_readiness=lambda _: None, lock=lock)
        try:
            report = await fence.off()
            assert report.outcome is FenceOutcome.FAILED
            assert "console, somebody" in report.detail
            assert "console, somebody" in (await fence.on()).detail
            assert not [line for line in bmc.log if line.startswith("set")]
            waiting = asyncio.create_task(fence.off())
            os.kill(holder.pid, signal.SIGKILL)
            assert (await waiting).outcome is FenceOutcome.CONFIRMED_OFF
        finally:
            await fence.close()

    with simulator(tmp_path / "bmc") as bmc:
        asyncio.run(scenario(bmc))
