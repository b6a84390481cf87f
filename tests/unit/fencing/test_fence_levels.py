# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole fences against real `ipmi_sim` processes: good ones, dead ones and liars."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from fence_bench import PASSWORD, device, fencing, gone, sessions, simulator

from fencing import DeviceSettings, FenceOutcome, Power, Secret
from fencing.level import FenceReport
from hil.bmc import IpmiSim
from hil.processes import runs

WRONG = Secret(b"not-the-word")
OTHER = UUID("00000000-89ab-cdef-a123-456789abcdef")


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[IpmiSim]:
    """A BMC that is up."""
    with simulator(tmp_path / "bmc") as running_bmc:
        yield running_bmc


def _off(settings: DeviceSettings) -> FenceReport:
    """One fence by a warm device."""

    async def scenario() -> FenceReport:
        async with fencing(settings) as watched:
            return await watched.fence.off()

    return asyncio.run(scenario())


def _seconds(report: FenceReport) -> float:
    step = report.steps[0]
    return (step.finished_ns - step.started_ns) / 1e9


def test_off_on_status_identify(bmc: IpmiSim) -> None:
    """Off is read back as off, on as on, in time order; the readiness tells power and machine."""

    async def scenario() -> None:
        async with fencing(device(bmc, expect_identity=bmc.guid)) as watched:
            (readiness,) = watched.fence.readiness
            assert readiness.power is Power.ON
            assert readiness.identity == bmc.guid
            assert readiness.identity_ok is True
            report = await watched.fence.off()
            assert report.outcome is FenceOutcome.CONFIRMED_OFF
            assert bmc.power == "off"
            (step,) = report.steps
            assert step.ordered_ns is not None
            assert report.read_off_monotonic_ns is not None
            moments = (step.started_ns, step.ordered_ns, report.read_off_monotonic_ns)
            assert list(moments) == sorted(moments)
            assert report.read_off_monotonic_ns <= step.finished_ns
            await watched.until(lambda all_: all_[0].power is Power.OFF)
            given = await watched.fence.on()
            assert given.ok, given.detail
            assert bmc.power == "on"

    asyncio.run(scenario())


def test_off_already(bmc: IpmiSim) -> None:
    """Off when it is already off is success."""
    bmc.power = "off"
    assert _off(device(bmc)).outcome is FenceOutcome.CONFIRMED_OFF


def test_refused_because_off_already(bmc: IpmiSim) -> None:
    """A BMC that answers the order with an error is believed what it reads."""
    bmc.power, bmc.fault = "off", "fail"
    assert _off(device(bmc)).outcome is FenceOutcome.CONFIRMED_OFF


@pytest.mark.parametrize("fault", ["ack_only", "fail"])
def test_no_proof_no_success(bmc: IpmiSim, fault: str) -> None:
    """S3: an order that was taken or refused, while the machine stays on, is UNKNOWN in time."""
    bmc.fault = fault
    report = _off(device(bmc, deadline_s=1.5))
    assert report.outcome is FenceOutcome.UNKNOWN
    assert report.read_off_monotonic_ns is None
    assert _seconds(report) <= 2.0
    assert bmc.power == "on"


def test_slow_machine(bmc: IpmiSim) -> None:
    """A machine that takes a while to go off is waited for."""
    bmc.fault = "off_delay 0.6"
    report = _off(device(bmc))
    assert report.outcome is FenceOutcome.CONFIRMED_OFF
    assert bmc.power == "off"
    assert _seconds(report) >= 0.6


def test_early_liar(bmc: IpmiSim) -> None:
    """A BMC that says off too early is outlasted by off_settle."""
    bmc.fault = "lie_off 0.5"
    report = _off(device(bmc, off_settle_s=1.0))
    assert report.outcome is FenceOutcome.CONFIRMED_OFF
    assert bmc.power == "off"


def test_frozen_bmc(bmc: IpmiSim) -> None:
    """A BMC that hangs in the order is UNKNOWN by the deadline, and its slot is free afterwards."""

    async def scenario() -> FenceReport:
        patient = device(bmc, deadline_s=1.5, options={"port": bmc.port, "warm_answer": 5.0})
        async with fencing(patient) as watched:
            pid = watched.pid()
            report = await watched.fence.off()
            await gone(pid)
            return report

    bmc.fault = "hang 4"
    report = asyncio.run(scenario())
    assert report.outcome is FenceOutcome.UNKNOWN
    assert _seconds(report) <= 2.0
    assert sessions(bmc) == 0, "what was logged out of while it hung"


def test_hanging_worker(bmc: IpmiSim) -> None:
    """A worker that does not answer is given up at the deadline, and killed; a new one is warm."""

    async def scenario() -> FenceReport:
        async with fencing(device(bmc, deadline_s=1.0)) as watched:
            pid = watched.pid()
            os.kill(pid, signal.SIGSTOP)
            told = len(watched.told)
            report = await watched.fence.off()
            await gone(pid)
            await watched.until(lambda all_: len(watched.told) > told and all_[0].ready)
            assert watched.pid() != pid
            return report

    report = asyncio.run(scenario())
    assert report.outcome is FenceOutcome.UNKNOWN
    assert _seconds(report) <= 1.5
    assert bmc.power == "on"


def test_wrong_password(bmc: IpmiSim) -> None:
    """A wrong password is named in the readiness, and a fence by it is FAILED: nothing left."""

    async def scenario() -> None:
        async with fencing(device(bmc, password=WRONG), ready=False) as watched:
            await watched.until(lambda all_: "Incorrect password" in all_[0].detail)
            assert not watched.fence.readiness[0].ready
            report = await watched.fence.off()
            assert report.outcome is FenceOutcome.FAILED
            assert "Incorrect password" in report.detail
            assert PASSWORD not in repr(report)
            assert WRONG.reveal().decode() not in repr((report, watched.told))

    asyncio.run(scenario())
    assert not any(line.startswith("set") for line in bmc.log)


def test_silent_bmc(tmp_path: Path) -> None:
    """A BMC that never answers delays nobody at the start; a fence by it is FAILED in seconds."""

    async def scenario(port: int) -> None:
        settings = device(simulator(tmp_path / "bmc"), options={"port": port}, deadline_s=8.0)
        began_s = time.monotonic()
        async with fencing(settings, ready=False) as watched:
            assert time.monotonic() - began_s < 2.0
            report = await watched.fence.off()
            assert report.outcome is FenceOutcome.FAILED
            assert "no answer" in report.detail
            assert _seconds(report) <= 8.0

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as swallowing:
        swallowing.bind(("127.0.0.1", 0))
        asyncio.run(scenario(swallowing.getsockname()[1]))


def test_bmc_dies_after_logon(bmc: IpmiSim) -> None:
    """S3: an order into a session whose BMC died is UNKNOWN, by the deadline."""

    async def scenario() -> FenceReport:
        async with fencing(device(bmc, deadline_s=2.0)) as watched:
            bmc.kill()
            return await watched.fence.off()

    report = asyncio.run(scenario())
    assert report.outcome is FenceOutcome.UNKNOWN
    assert _seconds(report) <= 2.5


def test_bmc_restarts(bmc: IpmiSim) -> None:
    """A session that the BMC forgot costs about a second, then a new one carries the order."""

    async def scenario() -> FenceReport:
        async with fencing(device(bmc)) as watched:
            bmc.kill()
            bmc.start()
            return await watched.fence.off()

    report = asyncio.run(scenario())
    assert report.outcome is FenceOutcome.CONFIRMED_OFF
    assert _seconds(report) <= 2.0


def test_a_hanging_check_does_not_delay_an_order(bmc: IpmiSim) -> None:
    """An order does not wait behind a check that hangs: it gets a new worker."""

    async def scenario() -> FenceReport:
        # One that waited would be carried out as well: by a second worker, beside this one.
        async with fencing(device(bmc, check_every_s=0.2, deadline_s=10.0)) as watched:
            pid = watched.pid()
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(0.4)  # The next check is under way and will not end.
            report = await watched.fence.off()
            assert watched.pid() != pid
            return report

    report = asyncio.run(scenario())
    assert report.outcome is FenceOutcome.CONFIRMED_OFF


def test_cancelled_off_does_nothing_later(bmc: IpmiSim) -> None:
    """Cancelling kills the worker at once: no further order, and a new worker gets warm."""

    async def scenario() -> None:
        async with fencing(device(bmc, deadline_s=30.0)) as watched:
            pid = watched.pid()
            attempt = asyncio.create_task(watched.fence.off())
            await asyncio.to_thread(_wait_for_order, bmc)
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            await gone(pid)
            orders = len(_orders(bmc))
            told = len(watched.told)
            await watched.until(lambda all_: len(watched.told) > told and all_[0].ready)
            assert watched.pid() != pid
            await asyncio.sleep(1.2)  # A refused order would be repeated after a second.
            assert len(_orders(bmc)) == orders

    bmc.fault = "fail"
    asyncio.run(scenario())


def test_dead_worker_is_replaced(bmc: IpmiSim) -> None:
    """A worker that died while idle is replaced at the next check."""

    async def scenario() -> None:
        async with fencing(device(bmc, check_every_s=0.2)) as watched:
            pid = watched.pid()
            os.kill(pid, signal.SIGKILL)
            told = len(watched.told)
            await watched.until(lambda all_: len(watched.told) > told and all_[0].ready)
            assert watched.pid() != pid

    asyncio.run(scenario())


def test_worker_that_dies_at_work_is_reported(bmc: IpmiSim) -> None:
    """A worker that dies during a check makes the device unready, until a new one is warm."""

    async def scenario() -> None:
        async with fencing(device(bmc, check_every_s=0.2)) as watched:
            pid = watched.pid()
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(0.4)  # The next check is under way.
            os.kill(pid, signal.SIGKILL)
            await watched.until(lambda all_: "the worker died" in all_[0].detail)
            await watched.ready()

    asyncio.run(scenario())


def test_wrong_machine(bmc: IpmiSim) -> None:
    """A device that answers for another machine is not ready, and is not ordered off."""

    async def scenario() -> None:
        async with fencing(device(bmc)) as watched:
            watched.fence.expect_identity(OTHER)
            (readiness,) = watched.fence.readiness
            assert not readiness.ready
            assert readiness.identity_ok is False
            assert str(OTHER) in readiness.detail
            report = await watched.fence.off()
            assert report.outcome is FenceOutcome.FAILED
            assert str(OTHER) in report.detail
            watched.fence.expect_identity(UUID(bytes=bmc.guid.bytes[::-1]))
            assert (await watched.fence.off()).outcome is FenceOutcome.CONFIRMED_OFF
            await watched.ready()

    asyncio.run(scenario())
    assert len(_orders(bmc)) == 1


def test_a_refused_login_is_tried_ever_more_rarely(bmc: IpmiSim) -> None:
    """BMCs lock an account after some wrong passwords: each pause is twice the one before."""

    async def scenario() -> list[int]:
        settings = device(bmc, password=WRONG, check_every_s=0.1)
        async with fencing(settings, ready=False) as watched:
            await watched.until(lambda _: len(watched.told) == 5)
            return [told.checked_monotonic_ns or 0 for told in watched.told]

    moments_ns = asyncio.run(scenario())
    assert (moments_ns[-1] - moments_ns[0]) / 1e9 >= 0.1 + 0.2 + 0.4 + 0.8


def test_next_level(bmc: IpmiSim, tmp_path: Path) -> None:
    """All of a level must be off; else the next is tried, and its proof is enough."""
    with simulator(tmp_path / "lies") as liar, simulator(tmp_path / "outlet") as outlet:
        liar.fault = "ack_only"

        async def scenario() -> None:
            first = (device(bmc), device(liar, deadline_s=1.0))
            async with fencing(*first, device(outlet, level=2)) as watched:
                report = await watched.fence.off()
                assert report.outcome is FenceOutcome.CONFIRMED_OFF
                assert [step.outcome for step in report.steps] == [
                    FenceOutcome.CONFIRMED_OFF,
                    FenceOutcome.UNKNOWN,
                    FenceOutcome.CONFIRMED_OFF,
                ]
                assert report.read_off_monotonic_ns == report.steps[2].read_off_ns
                assert (await watched.fence.on()).ok

        asyncio.run(scenario())
        assert (bmc.power, outlet.power) == ("on", "on")


def test_half_a_level_is_not_a_fence(bmc: IpmiSim) -> None:
    """S3: one feed off and the other untouched is UNKNOWN, neither success nor FAILED."""
    bad = replace(device(bmc, password=WRONG), name="second feed")

    async def scenario() -> FenceReport:
        async with fencing(device(bmc), bad, ready=False) as watched:
            return await watched.fence.off()

    report = asyncio.run(scenario())
    assert report.outcome is FenceOutcome.UNKNOWN
    assert "second feed: failed: " in report.detail


def test_close_logs_out(bmc: IpmiSim) -> None:
    """Closing leaves no worker and no session, and waits for no limit."""

    async def scenario() -> tuple[int, float]:
        async with fencing(device(bmc)) as watched:
            assert sessions(bmc) == 1
            pid, began_s = watched.pid(), time.monotonic()
        return pid, time.monotonic() - began_s

    pid, took_s = asyncio.run(scenario())
    assert took_s < 5.0
    assert not runs(pid)
    assert sessions(bmc) == 0


def _orders(bmc: IpmiSim) -> list[str]:
    return [line for line in bmc.log if line.startswith("set power 0")]


def _wait_for_order(bmc: IpmiSim) -> None:
    end_s = time.monotonic() + 5.0
    while not _orders(bmc):
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_reconfigured_keeps_what_is_the_same(tmp_path: Path) -> None:
    """A device whose entry stays keeps its worker and its session; a changed one gets another.

    The new password is the right one: what was refused becomes ready without a restart.
    """
    with simulator(tmp_path / "one") as first, simulator(tmp_path / "two") as second:
        kept = device(first, name="one", level=1)
        wrong = device(second, name="two", level=2, password=WRONG)
        right = replace(wrong, password=Secret(PASSWORD.encode()))

        async def scenario() -> None:
            async with fencing(kept, wrong, ready=False) as watched:
                await watched.until(lambda all_: all_[0].ready and bool(all_[1].seen))
                before, gone_pid = watched.pid(0), watched.pid(1)
                watched.fence.expect_identity(first.guid)
                watched.fence.reconfigure((replace(kept), right), 1.0)
                await gone(gone_pid)
                await watched.until(lambda all_: all_[1].power is Power.ON)
                assert watched.pid(0) == before
                assert watched.fence.readiness[1].expected == first.guid
                watched.fence.reconfigure((right,), 1.0)
                await gone(before)
                assert [one.device for one in watched.fence.readiness] == ["two"]

        asyncio.run(scenario())


def test_secrets_are_compared_by_value() -> None:
    """A file that is read twice holds no other password."""
    assert Secret(b"word") == Secret(b"word") != Secret(b"other")
    assert hash(Secret(b"word")) == hash(Secret(b"word"))
    assert Secret(b"word") != b"word"
