# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's fence_redfish as a device, against emulated BMCs with their makers' faces and faults."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from agent_bench import off, settings
from fence_bench import PASSWORD, fencing

from fencing import DeviceSettings, FenceOutcome, Option, Power
from hil.redfish.bmc import RedfishBmc
from hil.redfish.certificates import Authority
from hil.redfish.faces import FACES

DEADLINE_S = 15.0
HOPELESS_S = 1.5
"""Deadline where no proof will come; longer than a run of fence_redfish (0.2 s)."""
FACES_WITH_ON = sorted(name for name, face in FACES.items() if "On" in face.resets)
"""fence_redfish sends On, although some BMCs have only ForceOn."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


def _bmc(authority: Authority, face: str) -> RedfishBmc:
    bmc = RedfishBmc(authority.issue(), face=face)
    bmc.password = PASSWORD
    return bmc


@pytest.fixture
def bmc(authority: Authority) -> Iterator[RedfishBmc]:
    """A BMC that is up."""
    with _bmc(authority, "idrac") as running:
        yield running


def _device(bmc: RedfishBmc, **changes: object) -> DeviceSettings:
    options: dict[str, Option] = {"ip": bmc.address, "ipport": bmc.port, "ssl_insecure": True}
    return settings("fence_redfish", options, **{"deadline_s": DEADLINE_S, **changes})


@pytest.mark.parametrize("face", FACES_WITH_ON)
def test_faces(authority: Authority, face: str) -> None:
    """Every maker's BMC is ready, proved off, proved off when it is off, and on again."""

    async def check(bmc: RedfishBmc) -> None:
        async with fencing(_device(bmc)) as watched:
            assert watched.fence.readiness[0].power is Power.ON
            for _ in range(2):
                report = await watched.fence.off()
                assert report.outcome is FenceOutcome.CONFIRMED_OFF, report
                assert bmc.machine.power == "off"
            assert (await watched.fence.on()).ok
            assert bmc.machine.power == "on"

    with _bmc(authority, face) as bmc:
        asyncio.run(check(bmc))
        assert set(bmc.orders) == {"ForceOff", "On"}


@pytest.mark.parametrize(
    ("fault", "value"),
    [
        ("ignored", True),
        ("silent", True),
        ("mute", True),
        ("not_ready", True),
        ("garbage", b"{}"),
        ("forbidden", True),
        ("says", "PoweringOff"),
        ("says", None),
    ],
)
def test_faults(bmc: RedfishBmc, fault: str, value: object) -> None:
    """S3: fence_redfish's success is not believed where the power does not read off."""
    setattr(bmc.faults, fault, value)
    assert off(_device(bmc, deadline_s=HOPELESS_S)).outcome is FenceOutcome.UNKNOWN


@pytest.mark.parametrize(
    ("fault", "value"),
    [("lost", True), ("refused", True), ("late_s", 1.0), ("powering_s", 1.0)],
)
def test_carried_out_all_the_same(bmc: RedfishBmc, fault: str, value: object) -> None:
    """An order that was carried out in spite of its answer is found out by reading."""
    setattr(bmc.faults, fault, value)
    assert off(_device(bmc)).outcome is FenceOutcome.CONFIRMED_OFF
    assert bmc.machine.power == "off"


def test_earlyoff(bmc: RedfishBmc) -> None:
    """A BMC that says Off too early is found out by the settling time, as with every driver."""
    bmc.faults.lie_s = 0.7
    assert off(_device(bmc, off_settle_s=1.2)).outcome is FenceOutcome.CONFIRMED_OFF
    assert bmc.machine.power == "off"


def test_stopped(bmc: RedfishBmc) -> None:
    """A BMC that is not there leaves the power unproved; the password is shown nowhere."""
    bmc.stop()
    report = off(_device(bmc, deadline_s=HOPELESS_S))
    assert report.outcome is FenceOutcome.UNKNOWN
    assert PASSWORD not in repr(report)
