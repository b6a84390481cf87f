# SPDX-License-Identifier: GPL-2.0-or-later
"""A thousand fences in a row by one warm device: nothing is used up."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fence_bench import Watched, device, fencing, sessions, simulator

from fencing import FenceOutcome
from hil.bmc import IpmiSim

ROOT = Path(__file__).parents[3]
WARM_UP = 100
"""Fences until both processes have all that they ever need: caches, arenas, code."""
FENCES = 1000
DEADLINE_S = 60.0
"""Of one fence, which takes 60 ms. How long a noisy machine takes is not what is asked here."""
GROWTH_KIB_MAX = 2 * 1024
"""Of resident memory; 2 KiB a fence. Measured: below 200 KiB in 900 fences, for either process."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a process holds."""

    resident_kib: int
    files: int

    @classmethod
    def of(cls, pid: int) -> Use:
        """Read it from the kernel."""
        process = Path(f"/proc/{pid}")
        pages = int((process / "statm").read_text().split()[1])
        files = len(list((process / "fd").iterdir()))
        return cls(pages * os.sysconf("SC_PAGE_SIZE") // 1024, files)


async def _fence(watched: Watched, bmc: IpmiSim, times: int) -> None:
    for _ in range(times):
        bmc.power = "on"
        report = await watched.fence.off()
        assert report.outcome is FenceOutcome.CONFIRMED_OFF, report
        assert bmc.power == "off"
        watched.told.clear()


async def _thousand(bmc: IpmiSim) -> None:
    async with fencing(device(bmc, deadline_s=DEADLINE_S)) as watched:
        worker = watched.pid()
        await _fence(watched, bmc, WARM_UP)
        gc.collect()
        before = {pid: Use.of(pid) for pid in (worker, os.getpid())}
        await _fence(watched, bmc, FENCES - WARM_UP)
        gc.collect()
        assert watched.pid() == worker
        for pid, was in before.items():
            now = Use.of(pid)
            assert now.files <= was.files, (was, now)
            assert now.resident_kib - was.resident_kib <= GROWTH_KIB_MAX, (was, now)
        assert sessions(bmc) == 1


def main(directory: Path) -> None:
    """Run it in a process of its own: what other tests left in theirs would grow as well."""
    with simulator(directory / "bmc") as bmc:
        asyncio.run(_thousand(bmc))
        assert sessions(bmc) == 0


def test_thousand_fences(tmp_path: Path) -> None:
    """1,000 fences use one worker, one session and no more files or memory than 100 did."""
    command = [sys.executable, __file__, str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
