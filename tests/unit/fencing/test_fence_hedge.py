# SPDX-License-Identifier: GPL-2.0-or-later
"""Levels side by side, a second worker beside a deaf one, and what given-up orders do late."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fence_bench import device, fencing, gone, sessions, simulator

from fencing import DeviceSettings, FenceOutcome, Option, Power
from fencing.client import WARM_BUDGET_S
from fencing.findings import Trouble
from fencing.level import FenceReport
from fencing.verify import READINGS, Happened, Progress
from hil.bmc import IpmiSim

HEDGE_S = 0.3


@pytest.fixture
def first(tmp_path: Path) -> Iterator[IpmiSim]:
    """The BMC of level 1."""
    with simulator(tmp_path / "first") as bmc:
        yield bmc


@pytest.fixture
def second(tmp_path: Path) -> Iterator[IpmiSim]:
    """The BMC of level 2, standing for an outlet."""
    with simulator(tmp_path / "second") as bmc:
        yield bmc


def _orders(bmc: IpmiSim, power: str = "0") -> int:
    return sum(line.startswith(f"set power {power}") for line in bmc.log)


def _seconds(report: FenceReport) -> float:
    return (
        max(step.finished_ns for step in report.steps)
        - min(step.started_ns for step in report.steps)
    ) / 1e9


def test_the_next_level_starts_beside_a_deaf_one(first: IpmiSim, second: IpmiSim) -> None:
    """A level that has not read off by hedge_after gets the next one beside it, which may win."""
    first.fault = "hang 20"

    async def scenario() -> FenceReport:
        levels = (device(first, deadline_s=20.0), device(second, level=2))
        async with fencing(*levels, hedge_after_s=HEDGE_S) as watched:
            return await watched.fence.off()

    report = asyncio.run(scenario())
    assert report.outcome is FenceOutcome.CONFIRMED_OFF
    assert [step.device for step in report.proof] == ["second"]
    assert _seconds(report) < 10.0
    assert second.power == "off"


def test_a_promising_level_is_left_alone(first: IpmiSim, second: IpmiSim) -> None:
    """A level that reads off and only waits for its settle time is not overtaken."""

    async def scenario() -> FenceReport:
        levels = (device(first, off_settle_s=3 * HEDGE_S), device(second, level=2))
        async with fencing(*levels, hedge_after_s=HEDGE_S) as watched:
            return await watched.fence.off()

    report = asyncio.run(scenario())
    assert [step.device for step in report.proof] == ["first"]
    assert _orders(second) == 0


def test_a_level_that_falls_silent_is_promising_no_more(first: IpmiSim, second: IpmiSim) -> None:
    """A level that read off once and then cannot be read is not waited for to its deadline."""

    def watch(settings: DeviceSettings, progress: Progress) -> None:
        if settings.name == "first" and progress.text == Power.OFF:
            first.signal(signal.SIGSTOP)

    async def scenario() -> FenceReport:
        options: dict[str, Option] = {"port": first.port, "logon": 0.5}
        levels = (
            device(first, off_settle_s=1.0, deadline_s=30.0, options=options),
            device(second, level=2),
        )
        async with fencing(*levels, hedge_after_s=HEDGE_S) as watched:
            return await watched.fence.off(watch)

    report = asyncio.run(scenario())
    assert [step.device for step in report.proof] == ["second"]
    assert _seconds(report) < 20.0


def test_a_failed_level_is_not_waited_for(first: IpmiSim, second: IpmiSim) -> None:
    """A level that certainly failed hands over at once, long before hedge_after."""
    first.kill()

    async def scenario() -> FenceReport:
        levels = (
            device(first, deadline_s=20.0, options={"port": first.port, "logon": 0.5}),
            device(second, level=2),
        )
        async with fencing(*levels, ready=False, hedge_after_s=60.0) as watched:
            return await watched.fence.off()

    report = asyncio.run(scenario())
    assert report.outcome is FenceOutcome.CONFIRMED_OFF
    assert [step.outcome for step in report.steps] == [
        FenceOutcome.FAILED,
        FenceOutcome.CONFIRMED_OFF,
    ]
    assert _seconds(report) < 20.0


def test_a_late_order_does_not_undo_the_power(first: IpmiSim, second: IpmiSim) -> None:
    """What a loser still carries out late is waited for before the power is given back."""
    first.fault = "hang 1.5"
    patience_s = 3.0

    async def scenario() -> None:
        levels = (device(first, deadline_s=patience_s), device(second, level=2))
        async with fencing(*levels, hedge_after_s=HEDGE_S) as watched:
            ordered_s = time.monotonic()
            report = await watched.fence.off()
            assert [step.device for step in report.proof] == ["second"]
            assert first.power == "on"
            first.fault = "none"
            given = await watched.fence.on()
            assert given.ok, given.detail
            assert time.monotonic() - ordered_s >= patience_s

    asyncio.run(scenario())
    assert _orders(first) >= 1
    assert (first.power, second.power) == ("on", "on")
    assert first.log[-1].startswith("get")


def test_an_acknowledged_order_is_not_waited_for(first: IpmiSim) -> None:
    """A proof with the order acknowledged leaves nothing that could happen late."""

    async def scenario() -> float:
        async with fencing(device(first, deadline_s=60.0)) as watched:
            await watched.fence.off()
            began_s = time.monotonic()
            assert (await watched.fence.on()).ok
            return time.monotonic() - began_s

    assert asyncio.run(scenario()) < 30.0


def test_a_second_worker_beside_a_stopped_one(first: IpmiSim) -> None:
    """A warm worker that does not move is overtaken by a new one; both are gone afterwards."""

    async def scenario() -> None:
        async with fencing(device(first, deadline_s=20.0)) as watched:
            pid = watched.pid()
            os.kill(pid, signal.SIGSTOP)
            report = await watched.fence.off()
            assert report.outcome is FenceOutcome.CONFIRMED_OFF
            assert WARM_BUDGET_S <= _seconds(report) < 10.0
            await gone(pid)

    asyncio.run(scenario())
    assert sessions(first) <= 1  # That of the worker that was killed while it was stopped.


def test_a_fast_device_gets_one_worker(first: IpmiSim) -> None:
    """A device that reads off in time is asked by one worker only: sessions are few."""

    async def scenario() -> None:
        async with fencing(device(first, off_settle_s=1.5 * WARM_BUDGET_S)) as watched:
            report = await watched.fence.off()
            assert report.outcome is FenceOutcome.CONFIRMED_OFF
            assert _orders(first) == 1

    asyncio.run(scenario())


class Somebody:
    """Gives a feed its power back each time it has completed its own proof, so many times."""

    def __init__(self, feed: IpmiSim, times: int) -> None:
        self.feed, self.left = feed, times
        self.offs = 0

    def watch(self, settings: DeviceSettings, progress: Progress) -> None:
        """Count the feed's readings of off; act while the other one is still on its way."""
        if settings.name == "first" and progress.happened is Happened.READ:
            self.offs = self.offs + 1 if progress.text == Power.OFF else 0
        elif settings.name == "second" and self.offs >= READINGS and self.left:
            self.feed.power = "on"
            self.offs, self.left = 0, self.left - 1


def test_all_off_at_the_same_time(first: IpmiSim, second: IpmiSim) -> None:
    """S3: a feed that comes on again while the other one goes off slowly is cut once more."""
    second.fault = "off_delay 1.0"
    somebody = Somebody(first, times=1)

    async def scenario() -> FenceReport:
        async with fencing(device(first), device(second)) as watched:
            return await watched.fence.off(somebody.watch)

    report = asyncio.run(scenario())
    assert not somebody.left
    assert report.outcome is FenceOutcome.CONFIRMED_OFF
    assert (first.power, second.power) == ("off", "off")
    assert _orders(first) == 2
    assert report.read_off_monotonic_ns is not None
    assert all(report.read_off_monotonic_ns >= (step.read_off_ns or 0) for step in report.steps)


def test_a_feed_that_will_not_stay_off(first: IpmiSim, second: IpmiSim) -> None:
    """S3: an outlet that somebody switches on again is no proof, although each was off once."""
    first.fault = "none"
    second.fault = "off_delay 1.0"
    somebody = Somebody(first, times=1)

    def watch(settings: DeviceSettings, progress: Progress) -> None:
        somebody.watch(settings, progress)
        if not somebody.left:
            first.fault = "ack_only"  # And it cannot be cut a second time.

    async def scenario() -> FenceReport:
        level = (device(first, deadline_s=4.0), device(second, deadline_s=4.0))
        async with fencing(*level) as watched:
            return await watched.fence.off(watch)

    report = asyncio.run(scenario())
    assert report.outcome is FenceOutcome.UNKNOWN
    assert first.power == "on"
    assert _seconds(report) <= 4.5


def test_a_feed_that_falls_silent_at_the_last_reading(first: IpmiSim, second: IpmiSim) -> None:
    """S3: the reading of all feeds together keeps to the deadline; silence in it is no proof."""
    second.fault = "off_delay 0.3"
    offs: list[int] = []

    def watch(settings: DeviceSettings, progress: Progress) -> None:
        if settings.name == "second" and progress.text == Power.OFF:
            offs.append(progress.at_ns)
            if len(offs) == READINGS:
                first.signal(signal.SIGSTOP)

    async def scenario() -> tuple[FenceReport, float]:
        level = (device(first, deadline_s=2.0), device(second, deadline_s=2.0))
        async with fencing(*level) as watched:
            began_s = time.monotonic()
            return await watched.fence.off(watch), time.monotonic() - began_s

    report, seconds = asyncio.run(scenario())
    first.signal(signal.SIGCONT)
    assert len(offs) == READINGS
    assert seconds <= 2.5
    assert report.outcome is FenceOutcome.UNKNOWN
    assert "first did not read off any more" in report.detail


def test_a_dead_machine_does_not_speak(first: IpmiSim) -> None:
    """S8: a device that reads off twice while the machine is heard between is not believed."""
    heard_ns: list[int] = []

    async def scenario() -> None:
        settings = device(first, check_every_s=0.2)
        async with fencing(
            settings, last_heard_ns=lambda: heard_ns[-1] if heard_ns else None
        ) as watched:
            await watched.until(lambda all_: all_[0].power is Power.OFF)
            assert watched.fence.readiness[0].ready
            heard_ns.append(time.monotonic_ns() + 2_000_000_000)
            await watched.until(lambda all_: not all_[0].ready)
            (readiness,) = watched.fence.readiness
            assert [
                finding.trouble for finding in readiness.findings if finding.trouble.blocks
            ] == [Trouble.IMPLAUSIBLE]

    first.power = "off"
    asyncio.run(scenario())
