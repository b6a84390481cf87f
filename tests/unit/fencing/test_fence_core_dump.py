# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing that knows a password leaves a core dump, whatever limits it was started with."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fence_bench import device, fencing, simulator
from haagent_bench import Entry, configuration

ROOT = Path(__file__).parents[3]
_TOLD = "; import resource; print('limit', resource.getrlimit(resource.RLIMIT_CORE)[0])"
_CONSOLE = (
    "from fencing.__main__ import main; main(['off', 'alpha', '--dry-run', '--config', {!r}])"
)
_AGENT = (
    "import sys; from fencing.fence_agent import main;"
    " sys.argv = ['fence_haagent', '-o', 'list', '-c', {!r}]; main()"
)


@pytest.fixture(autouse=True)
def _cores_are_allowed() -> Iterator[None]:
    """As on a host where somebody is hunting a bug."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    assert before[1] != 0, "no test without a core to be forbidden"
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


def test_worker(tmp_path: Path) -> None:
    """A worker has none, although it was allowed to."""

    async def limit() -> int:
        with simulator(tmp_path / "bmc") as bmc:
            async with fencing(device(bmc)) as watched:
                return resource.prlimit(watched.pid(), resource.RLIMIT_CORE)[0]

    assert asyncio.run(limit()) == 0


@pytest.mark.parametrize("program", [_CONSOLE, _AGENT], ids=["console", "fence_haagent"])
def test_programs(tmp_path: Path, program: str) -> None:
    """Nor has a console or fence_haagent, which read the password files."""
    file = configuration(tmp_path, Entry("alpha", simulator(tmp_path / "bmc")))
    done = subprocess.run(
        [sys.executable, "-c", program.format(str(file)) + _TOLD],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.splitlines()[-1] == "limit 0", done.stdout + done.stderr
