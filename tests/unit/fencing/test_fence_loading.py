# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker whose libraries load slowly: it is waited for, and nothing makes it begin anew."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fence_bench import device, fencing, gone, simulator

from fencing import FenceOutcome, Power, client
from hil.bmc import IpmiSim


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[IpmiSim]:
    """A BMC that is up."""
    with simulator(tmp_path / "bmc") as running_bmc:
        yield running_bmc


class Gate:
    """Where every worker stops before it loads anything, until it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        os.mkfifo(path)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Let those through that wait, and those that come."""
        descriptor = os.open(self._path, os.O_RDWR)
        try:
            yield
        finally:
            os.close(descriptor)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """It is shut: to open a FIFO takes a writer."""
    fifo, python = tmp_path / "gate", tmp_path / "python"
    made = Gate(fifo)
    python.write_text(f'#!/bin/sh\n: < {fifo}\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    return made


def test_loading_is_no_part_of_a_check(
    bmc: IpmiSim, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device is ready at its first check although that took longer than a check may."""
    monkeypatch.setattr(client, "CHECK_LIMIT_S", 5.0)

    async def scenario() -> None:
        async with fencing(device(bmc), ready=False) as watched:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(client.CHECK_LIMIT_S + 0.5):
                    await watched.fence.checked()
            pid = watched.pid()
            with gate.opened():
                await watched.ready()
            assert watched.pid() == pid

    asyncio.run(scenario())


def test_what_never_loads_is_replaced(
    bmc: IpmiSim, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that hangs in its loading is named, and killed; the next one does it."""
    monkeypatch.setattr(client, "LOAD_LIMIT_S", 0.5)

    async def scenario() -> None:
        async with fencing(device(bmc), ready=False) as watched:
            await watched.until(lambda all_: "not loaded in 0.5 s" in all_[0].detail)
            monkeypatch.setattr(client, "LOAD_LIMIT_S", 30.0)
            with gate.opened():
                await watched.ready()

    asyncio.run(scenario())


def test_an_order_keeps_what_is_loading(bmc: IpmiSim, gate: Gate) -> None:
    """Orders that come too early send nothing, say so, and leave the loading worker at it."""

    async def scenario() -> None:
        async with fencing(device(bmc, deadline_s=1.5), ready=False) as watched:
            soon_ns = time.monotonic_ns() + 1_000_000_000
            (client_,) = watched.fence._clients
            _, power = await client_.status(soon_ns)
            assert power is Power.UNKNOWN
            pid = watched.pid()
            report = await watched.fence.off()
            assert report.outcome is FenceOutcome.FAILED
            assert "was not loaded" in report.steps[0].detail
            assert watched.pid() == pid
            with gate.opened():
                await watched.ready()
            assert watched.pid() == pid
        await gone(pid)

    asyncio.run(scenario())
    assert bmc.power == "on"
    assert not any(line.startswith("set power") for line in bmc.log)


def test_an_order_in_time_is_carried_out_by_it(bmc: IpmiSim, gate: Gate) -> None:
    """An order waits for the loading within its own deadline."""

    async def scenario() -> None:
        async with fencing(device(bmc, deadline_s=30.0), ready=False) as watched:
            off = asyncio.create_task(watched.fence.off())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await asyncio.shield(off)
            with gate.opened():
                report = await off
            assert report.outcome is FenceOutcome.CONFIRMED_OFF

    asyncio.run(scenario())
    assert bmc.power == "off"
