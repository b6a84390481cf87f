# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole fences by PDUs: worker processes, levels, and a machine with two power supplies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fence_bench import fencing, gone
from pdu_bench import OURS, PASSWORD, emulator, powers, settings

from fencing import DeviceSettings, FenceOutcome, Power, Secret
from fencing.findings import Trouble
from fencing.level import FenceReport
from fencing.verify import Happened, Progress
from hil.pdu.console import Console
from hil.pdu.cyberpower import CyberPower


class Machine:
    """Runs for as long as any of its power supplies has power."""

    def __init__(self) -> None:
        self.supplies: set[tuple[str, int]] = set()
        self.cut = threading.Event()

    def feed(self, pdu: str, *outlets: int) -> None:
        """Plug power supplies in."""
        self.supplies.update((pdu, outlet) for outlet in outlets)

    def wire(self, pdu: str, outlet: int, *, on: bool) -> None:
        """An outlet moved."""
        if on:
            self.supplies.add((pdu, outlet))
        else:
            self.supplies.discard((pdu, outlet))
        if not self.supplies:
            self.cut.set()

    @property
    def running(self) -> bool:
        """Whether it has power."""
        return bool(self.supplies)


@pytest.fixture
def machine() -> Machine:
    """One that is plugged in by the test."""
    return Machine()


@pytest.fixture
def apc(tmp_path: Path, machine: Machine) -> Iterator[Console]:
    """A PDU that feeds the machine by two outlets."""
    machine.feed("apc", *OURS)

    def wire(outlet: int, on: bool) -> None:  # noqa: FBT001  # the form of OnChange
        machine.wire("apc", outlet, on=on)

    with emulator("apc", tmp_path, on_change=wire) as pdu:
        yield pdu


def off(*devices: DeviceSettings, ready: bool = True) -> FenceReport:
    """One fence."""

    async def scenario() -> FenceReport:
        async with fencing(*devices, ready=ready) as watched:
            return await watched.fence.off()

    return asyncio.run(scenario())


def test_two_outlets_of_one_pdu(apc: Console, machine: Machine, tmp_path: Path) -> None:
    """Two power supplies on one PDU: proved off only when the machine is; given back after."""

    async def scenario() -> None:
        async with fencing(settings("apc", tmp_path)) as watched:
            (readiness,) = watched.fence.readiness
            assert readiness.power is Power.ON
            report = await watched.fence.off()
            assert report.outcome is FenceOutcome.CONFIRMED_OFF, report.detail
            assert not machine.running
            given = await watched.fence.on()
            assert given.ok, given.detail
            assert machine.running
            assert all(powers(apc))

    asyncio.run(scenario())
    assert not apc.session


def test_two_pdus_in_one_level(apc: Console, machine: Machine, tmp_path: Path) -> None:
    """Two power supplies on two PDUs: both are cut, by two workers at once."""
    machine.feed("wti", 3)
    del apc

    def wire(outlet: int, on: bool) -> None:  # noqa: FBT001  # the form of OnChange
        machine.wire("wti", outlet, on=on)

    with emulator("wti", tmp_path, on_change=wire):
        other = settings("wti", tmp_path, options={"outlets": (3,)})
        report = off(settings("apc", tmp_path), other)
    assert report.outcome is FenceOutcome.CONFIRMED_OFF, report.detail
    assert not machine.running
    assert {step.device for step in report.steps} == {"pdu-apc", "pdu-wti"}


def test_one_supply_stuck_on(apc: Console, machine: Machine, tmp_path: Path) -> None:
    """S3: one outlet of two that does not move is no proof, and the machine does run."""
    apc.relays.stuck = frozenset({5})
    report = off(settings("apc", tmp_path, deadline_s=2.0))
    assert report.outcome is FenceOutcome.UNKNOWN
    assert machine.running


def test_one_pdu_of_two_is_gone(apc: Console, machine: Machine, tmp_path: Path) -> None:
    """S3: with one of two PDUs gone the level proves nothing."""
    machine.feed("wti", 3)
    del apc
    gone_pdu = settings("wti", tmp_path, options={"outlets": (3,)}, deadline_s=2.0)
    report = off(settings("apc", tmp_path, deadline_s=2.0), gone_pdu, ready=False)
    assert report.outcome is not FenceOutcome.CONFIRMED_OFF
    assert machine.running


def test_own_delay_is_outlasted(tmp_path: Path) -> None:
    """A CyberPower as it is shipped, three seconds slow, at 9600 baud, is proved off."""
    cut = threading.Event()

    def wire(outlet: int, on: bool) -> None:  # noqa: FBT001  # the form of OnChange
        if (outlet, on) == (5, False):
            cut.set()

    with emulator("cyberpower", tmp_path, baud=9600, on_change=wire) as pdu:
        assert isinstance(pdu, CyberPower)
        pdu.off_delay_s = 3
        report = off(settings("cyberpower", tmp_path))
        assert report.outcome is FenceOutcome.CONFIRMED_OFF, report.detail
        assert cut.is_set()
        assert powers(pdu) == [False, False]


def test_wrong_password_is_failed(apc: Console, machine: Machine, tmp_path: Path) -> None:
    """A login that is refused ends FAILED: certainly nothing was ordered."""
    wrong = settings("apc", tmp_path, password=Secret(b"not-the-word"), deadline_s=4.0)
    report = off(wrong, ready=False)
    assert report.outcome is FenceOutcome.FAILED
    assert "not-the-word" not in report.detail
    assert machine.running
    assert apc.commands == []


def test_findings_reach_the_readiness(apc: Console, tmp_path: Path) -> None:
    """A wrong outlet is found by the check, before the night it is needed."""
    del apc

    async def scenario() -> None:
        wrong = settings("apc", tmp_path, options={"outlets": (2, 33)})
        async with fencing(wrong, ready=False) as watched:
            await watched.until(lambda all_: all_[0].checked_monotonic_ns is not None)
            (readiness,) = watched.fence.readiness
            assert not readiness.ready
            assert Trouble.SETTINGS in [one.trouble for one in readiness.findings]

    asyncio.run(scenario())


def test_worker_that_is_terminated_logs_out(apc: Console, tmp_path: Path) -> None:
    """SIGTERM, as systemd sends it to the whole unit, leaves nobody logged in."""

    async def scenario() -> None:
        apc.relays.stuck = frozenset(OURS)
        async with fencing(settings("apc", tmp_path)) as watched:
            pid = watched.pid()
            fence = asyncio.create_task(watched.fence.off())
            async with asyncio.timeout(10):
                # The emulator has a thread of its own.
                while "olOff 5" not in apc.commands:  # noqa: ASYNC110  # it has no event to wait for
                    await asyncio.sleep(0.01)
            os.kill(pid, signal.SIGTERM)
            await gone(pid)
            assert not apc.session
            report = await fence
            assert report.outcome is FenceOutcome.UNKNOWN

    asyncio.run(scenario())


def test_worker_that_is_late_logs_out(tmp_path: Path) -> None:
    """A deadline in the midst of a question leaves no session that would lock others out."""

    async def scenario(pdu: Console) -> FenceReport:
        late = settings("cyberpower", tmp_path, deadline_s=3.0, options={"answer": 3.0})
        began_ns = time.monotonic_ns()

        def watch(device: DeviceSettings, progress: Progress) -> None:
            del device
            if progress.happened is Happened.READ and progress.at_ns - began_ns > 1_500_000_000:
                pdu.line.mute = True  # It hears what it is told to the end.

        async with fencing(late) as watched:
            began_ns = time.monotonic_ns()
            return await watched.fence.off(watch)

    with emulator("cyberpower", tmp_path) as pdu:
        pdu.faults.ignores_orders = True
        report = asyncio.run(scenario(pdu))
        assert pdu.line.mute
        assert report.outcome is FenceOutcome.UNKNOWN
        assert "given up" in report.detail
        assert not pdu.session


def test_emulator_as_a_process(tmp_path: Path) -> None:
    """The emulator can be run by itself, says what moves, and ends with its stdin."""
    path = tmp_path / "tty-cyberpower"
    account = ("--user", "cyber", "--password", PASSWORD)
    with subprocess.Popen(
        [sys.executable, "-m", "hil.pdu.cyberpower", str(path), *account],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        report = off(settings("cyberpower", tmp_path))
        assert report.outcome is FenceOutcome.CONFIRMED_OFF, report.detail
        assert [process.stdout.readline() for _ in OURS] == ["outlet 2 off\n", "outlet 5 off\n"]
        process.stdin.close()
        assert process.wait(10) == 0
    assert not path.is_symlink()
