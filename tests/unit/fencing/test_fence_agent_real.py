# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own agents as devices: fence_ipmilan against a BMC, fence_dummy, fence_scsi."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_bench import ipmilan, off, settings
from fence_bench import PASSWORD, fencing, sessions, simulator

from fencing import FenceError, FenceOutcome, Power, Secret
from fencing.drivers.agent import AgentDevice
from fencing.findings import Trouble
from hil.bmc import IpmiSim

GRACE_S = 2.0
"""An attempt ends 0.25 s after its deadline at the latest; the rest is for a busy machine. Without
a limit of ours fence_ipmilan would take 20 s more."""


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[IpmiSim]:
    """A BMC that is up."""
    with simulator(tmp_path / "bmc") as running_bmc:
        yield running_bmc


def test_ipmilan(bmc: IpmiSim) -> None:
    """fence_ipmilan is ready, proves off, gives the power back, and leaves no session."""

    async def check() -> None:
        async with fencing(ipmilan(bmc)) as watched:
            (readiness,) = watched.fence.readiness
            assert readiness.power is Power.ON
            assert readiness.evidence == "Status: ON"
            assert [finding.trouble for finding in readiness.findings] == [Trouble.IDENTITY_UNKNOWN]
            report = await watched.fence.off()
            assert report.outcome is FenceOutcome.CONFIRMED_OFF, report
            assert bmc.power == "off"
            given = await watched.fence.on()
            assert given.ok, given
            assert bmc.power == "on"

    asyncio.run(check())
    assert sessions(bmc) == 0


def test_ipmilan_by_another_name(bmc: IpmiSim) -> None:
    """An agent behind a link is another agent: fence_ilo4 speaks lanplus without being told."""
    options = {name: value for name, value in ipmilan(bmc).options.items() if name != "lanplus"}
    device = AgentDevice(settings("fence_ilo4", options | {"agent": "fence_ilo4"}))
    assert device.status() is Power.ON


@pytest.mark.parametrize(
    "fault", ["none", "ack_only", "off_delay 1.0", "fail", "hang 1.0", "hang 6"]
)
def test_ipmilan_faults(bmc: IpmiSim, fault: str) -> None:
    """S3: no fault of a BMC makes fence_ipmilan's word a proof while the machine runs."""
    bmc.fault = fault
    wanted = fault in ("none", "off_delay 1.0", "hang 1.0")
    deadline_s = 15.0 if wanted else 4.0  # A proof takes what a busy machine takes.
    report = off(ipmilan(bmc, deadline_s=deadline_s))
    if report.outcome is FenceOutcome.CONFIRMED_OFF:
        assert bmc.power == "off"
    (step,) = report.steps
    assert (step.finished_ns - step.started_ns) / 1e9 < deadline_s + GRACE_S
    assert (report.outcome is FenceOutcome.CONFIRMED_OFF) == wanted, report


def test_ipmilan_earlyoff(bmc: IpmiSim) -> None:
    """A BMC that says off too early is found out by the settling time, as with every driver."""
    bmc.fault = "lie_off 1.0"
    report = off(ipmilan(bmc, off_settle_s=1.5, deadline_s=10.0))
    assert report.outcome is FenceOutcome.CONFIRMED_OFF
    assert bmc.power == "off"


def test_ipmilan_wrong_password(bmc: IpmiSim) -> None:
    """A wrong password ends without proof, and is shown nowhere."""
    report = off(ipmilan(bmc, password=Secret(b"wrong-word"), deadline_s=2.0))
    assert report.outcome is FenceOutcome.UNKNOWN
    assert bmc.power == "on"
    assert "wrong-word" not in repr(report)


def test_ipmilan_silent_bmc(bmc: IpmiSim) -> None:
    """A silent BMC, which costs fence_ipmilan 20 s by itself, costs no more than the deadline."""
    bmc.signal(signal.SIGSTOP)
    try:
        report = off(ipmilan(bmc, deadline_s=2.0))
    finally:
        bmc.signal(signal.SIGCONT)
    assert report.outcome is FenceOutcome.UNKNOWN
    (step,) = report.steps
    assert (step.finished_ns - step.started_ns) / 1e9 < 2.0 + GRACE_S


def test_ipmilan_as_second_level(bmc: IpmiSim, tmp_path: Path) -> None:
    """An agent takes over where the first level cannot be used."""
    first = settings(str(tmp_path / "fence_missing"), name="first")
    report = off(first, ipmilan(bmc, level=2))
    assert report.outcome is FenceOutcome.CONFIRMED_OFF
    assert bmc.power == "off"


def test_dummy(tmp_path: Path) -> None:
    """fence_dummy needs neither user nor password, and switches its file."""
    file = tmp_path / "status"
    file.write_text("on")
    device = settings("fence_dummy", {"status_file": str(file)}, user="", password=Secret(b""))
    assert off(device).outcome is FenceOutcome.CONFIRMED_OFF
    assert file.read_text() == "off"


def test_dummy_that_fails(tmp_path: Path) -> None:
    """fence_dummy in its failing type proves nothing."""
    options = {"status_file": str(tmp_path / "status"), "type": "fail"}
    device = settings("fence_dummy", options, user="", password=Secret(b""), deadline_s=1.5)
    assert off(device).outcome is FenceOutcome.UNKNOWN


def test_scsi() -> None:
    """fence_scsi cuts storage: it is given no order and proves nothing."""
    device = settings("fence_scsi", {"plug": "alpha", "devices": "/dev/sda"})
    report = off(device)
    assert report.outcome is FenceOutcome.FAILED
    assert "leaves it running" in report.detail


def test_no_user_wanted(tmp_path: Path) -> None:
    """Credentials for an agent that takes none are a mistake that is named."""
    device = AgentDevice(settings("fence_dummy", {"status_file": str(tmp_path / "status")}))
    with pytest.raises(FenceError, match="it has no username to be given") as refused:
        device.status()
    assert PASSWORD not in str(refused.value)
