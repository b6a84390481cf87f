# SPDX-License-Identifier: GPL-2.0-or-later
"""A BMC that starts and ends its machine itself: the process is the truth, ipmitool the witness."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fence_bench import PASSWORD, device, fencing, sessions

from fencing import DeviceSettings, FenceOutcome
from hil.bmc import IpmiSim
from hil.owned_machine import OwnedMachine
from hil.ports import free_port

KILL_S = 2
"""What the BMC grants a machine that hangs."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[OwnedMachine]:
    """A machine that its BMC has not started yet."""
    machine = OwnedMachine(tmp_path / "machine")
    yield machine
    machine.end()


@pytest.fixture
def bmc(tmp_path: Path, machine: OwnedMachine) -> Iterator[IpmiSim]:
    """Its BMC, up, and so is the machine."""
    with IpmiSim(
        tmp_path / "bmc",
        port=free_port(),
        password=PASSWORD,
        machine=machine.program,
        kill_wait_s=KILL_S,
    ) as bmc:
        machine.started()
        yield bmc


def _witness(bmc: IpmiSim) -> str:
    """What ipmitool reads, which has nothing in common with our driver."""
    where = ("-I", "lanplus", "-C", "3", "-L", "operator", "-H", bmc.address, "-p", str(bmc.port))
    command = ["ipmitool", *where, "-U", bmc.user, "-E", "power", "status"]
    environment = {"IPMITOOL_PASSWORD": bmc.password, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


def test_off_and_on(bmc: IpmiSim, machine: OwnedMachine) -> None:
    """At the moment of the proof the machine is gone, and *on* is another start of it."""

    async def scenario() -> None:
        async with fencing(device(bmc)) as watched:
            report = await watched.fence.off()
            assert not machine.running
            assert report.outcome is FenceOutcome.CONFIRMED_OFF, report.detail
            assert await asyncio.to_thread(_witness, bmc) == "Chassis Power is off"
            given = await watched.fence.on()
            assert given.ok, given.detail
            await asyncio.to_thread(machine.started)
            assert await asyncio.to_thread(_witness, bmc) == "Chassis Power is on"

    asyncio.run(scenario())
    assert len(machine.boots) == 2
    assert sessions(bmc) == 0


def _off(machine: OwnedMachine, settings: DeviceSettings) -> tuple[FenceOutcome, bool, float]:
    """How a fence of a machine that hangs ended, whether it still ran then, and after how long."""

    async def scenario() -> tuple[FenceOutcome, bool, float]:
        async with fencing(settings) as watched:
            machine.freeze()
            began_s = time.monotonic()
            report = await watched.fence.off()
            return report.outcome, machine.running, time.monotonic() - began_s

    return asyncio.run(scenario())


def test_a_machine_that_hangs(bmc: IpmiSim, machine: OwnedMachine) -> None:
    """An order that was acknowledged is no proof until the BMC has killed the machine."""
    outcome, running, seconds = _off(machine, device(bmc, deadline_s=20.0))
    assert not running
    assert outcome is FenceOutcome.CONFIRMED_OFF
    assert seconds >= KILL_S
    assert _witness(bmc) == "Chassis Power is off"


def test_a_machine_that_hangs_for_too_long(bmc: IpmiSim, machine: OwnedMachine) -> None:
    """S3: acknowledged, and still on at the deadline, is UNKNOWN in time."""
    outcome, running, seconds = _off(machine, device(bmc, deadline_s=1.0))
    assert running
    assert outcome is FenceOutcome.UNKNOWN
    assert seconds <= 1.5


def test_a_bmc_that_dies_and_leaves_its_machine(bmc: IpmiSim, machine: OwnedMachine) -> None:
    """S3: with its BMC dead a machine that runs on is not proved off."""

    async def scenario() -> FenceOutcome:
        async with fencing(device(bmc, deadline_s=2.0)) as watched:
            bmc.kill()
            return (await watched.fence.off()).outcome

    assert asyncio.run(scenario()) is FenceOutcome.UNKNOWN
    assert machine.running
