# SPDX-License-Identifier: GPL-2.0-or-later
"""Permissions of a shared disk: Debian's fence_scsi and fence_mpath, on a disk of the bench."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from agent_bench import off
from agent_bench import settings as by_agent
from fence_bench import Watched

from fencing import DeviceSettings, FenceError, FenceOutcome, Option, Power
from fencing.console.exits import RefusedError
from fencing.console.order import Order, Verb
from fencing.console.plan import plan
from fencing.console.selection import select
from fencing.console.site import Site
from fencing.drivers.permission import PermissionDevice
from fencing.findings import Trouble
from fencing.readiness import levels_ready
from hil.fence_agent import BenchAgent
from hil.shared_disk import SharedDisk

KEYS = {"alpha": "a1", "beta": "b1"}
DEADLINE_S = 20.0
"""An agent of Python runs a dozen programs for one order, on a machine that may be busy."""
SHORT_S = 4.0
"""For what never comes."""


class Disks:
    """A disk that two nodes reach, and what an agent keeps on each of them."""

    def __init__(self, directory: Path, agent: str) -> None:
        self._directory, self._agent = directory, agent
        for node in KEYS:
            (directory / node).write_text(f"{node}\n")
        self.disk = SharedDisk(directory / "shared", directory / "alpha")

    def settings(self, node: str, at: str, **changes: object) -> DeviceSettings:
        """The permission of one node, as it is asked for at a node."""
        program, store = self.disk.seen_by(self._directory / at), self._directory / f"{at}-store"
        options: dict[str, Option] = {"disk": str(self.disk.path), "key": KEYS[node], "answer": 15}
        if self._agent == "fence_scsi":
            # Where it keeps the key is a constant of the program: the one thing changed of it.
            text = Path("/usr/sbin/fence_scsi").read_text()
            own = self._directory / f"{at}-fence_scsi"
            own.write_text(text.replace("/var/run/cluster", str(store / "scsi")))
            own.chmod(0o755)
            options |= {"agent": str(own), "sg_persist_path": str(program)}
            options |= {"sg_turs_path": str(self.disk.turs)}
        else:
            options |= {"agent": "fence_mpath", "mpathpersist_path": str(program)}
            options |= {"store_path": str(store)}
        made = DeviceSettings(
            name=f"{node}-disk",
            driver="permission",
            off_settle_s=0.0,
            deadline_s=DEADLINE_S,
            options=options,
        )
        return replace(made, **changes)  # type: ignore[arg-type]  # names and types are the caller's

    def let_in(self, *nodes: str) -> None:
        """Have nodes let themselves in."""
        for node in nodes:
            PermissionDevice(self.settings(node, node)).on()

    def writes(self, node: str) -> bool:
        """Whether the disk takes what a node writes."""
        program = self.disk.seen_by(self._directory / node)
        return subprocess.run([program, "write", "x"], check=False).returncode == 0


@pytest.fixture(params=["fence_scsi", "fence_mpath"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Disks:
    """Everything that is true of one agent is true of the other."""
    return Disks(tmp_path, request.param)


@pytest.fixture
def scsi(tmp_path: Path) -> Disks:
    """The same for what is our own."""
    return Disks(tmp_path, "fence_scsi")


def power(tmp_path: Path, level: int = 1) -> DeviceSettings:
    """A device that cuts a node's power."""
    return by_agent(BenchAgent(tmp_path / "power"), deadline_s=DEADLINE_S, level=level)


def test_in_and_cut_off(site: Disks, tmp_path: Path) -> None:
    """Nodes let themselves in; beside a power device one is cut off, and can write no more."""
    site.let_in("alpha", "beta")
    assert site.disk.keys == KEYS
    assert site.writes("alpha")
    report = off(site.settings("alpha", "beta"), power(tmp_path))
    assert report.outcome is FenceOutcome.CONFIRMED_OFF, report
    assert {step.device for step in report.proof} == {"alpha-disk", "by-agent"}
    assert site.disk.keys == {"beta": "b1"}
    assert not site.writes("alpha")
    assert site.writes("beta")
    site.let_in("alpha")
    assert site.writes("alpha")


def test_a_permission_alone_proves_nothing(scsi: Disks) -> None:
    """S2, S3: a level that only cuts a disk is never a proof, and is told to be none."""
    scsi.let_in("alpha", "beta")
    report = off(scsi.settings("alpha", "beta"))
    assert scsi.disk.keys == {"beta": "b1"}
    assert report.outcome is FenceOutcome.UNKNOWN
    assert "says nothing of its power" in report.detail


def test_power_alone_is_not_the_level(scsi: Disks, tmp_path: Path) -> None:
    """S3: a disk that takes the order and does nothing leaves the level unproved."""
    scsi.let_in("alpha", "beta")
    scsi.disk.fault("beta", "deaf")
    bench = BenchAgent(tmp_path / "power")
    cut = by_agent(bench, deadline_s=SHORT_S)
    report = off(scsi.settings("alpha", "beta", deadline_s=SHORT_S), cut)
    assert bench.power == "off"
    assert report.outcome is FenceOutcome.UNKNOWN


@pytest.mark.parametrize("asked", ["let in", "never let in"])
def test_a_disk_out_of_reach_is_no_reading(site: Disks, asked: str) -> None:
    """S3: who cannot reach the disk reads nothing, and that is not *off*."""
    if asked == "let in":
        site.let_in("alpha")
    site.disk.fault("beta", "gone")
    with pytest.raises(FenceError):
        PermissionDevice(site.settings("alpha", "beta")).status()
    site.disk.fault("beta", "")
    site.disk.path.unlink()
    with pytest.raises(FenceError, match="does not exist"):
        PermissionDevice(site.settings("alpha", "beta")).status()


def test_who_is_not_in_cuts_nobody_off(site: Disks) -> None:
    """A node without a key of its own cannot take the other's."""
    site.let_in("alpha")
    device = PermissionDevice(site.settings("alpha", "beta"))
    with pytest.raises(FenceError):
        device.off()
    assert device.status() is Power.ON
    assert site.writes("alpha")


def test_power_comes_back_and_permission_does_not(scsi: Disks, tmp_path: Path) -> None:
    """Whoever gives the power back lets nobody in: `on` would register the survivor as the peer."""
    scsi.let_in("alpha", "beta")
    bench = BenchAgent(tmp_path / "power")

    async def check() -> None:
        watched = Watched(scsi.settings("alpha", "beta"), by_agent(bench, deadline_s=DEADLINE_S))
        try:
            assert (await watched.fence.off()).outcome is FenceOutcome.CONFIRMED_OFF
            assert (await watched.fence.on()).ok
        finally:
            await watched.fence.close()

    asyncio.run(check())
    assert bench.power == "on"
    assert scsi.disk.keys == {"beta": "b1"}


def test_readiness(scsi: Disks, tmp_path: Path) -> None:
    """A peer that is not in is noted and blocks nothing; only with power a level is ready."""
    scsi.let_in("beta")

    async def check(*devices: DeviceSettings) -> tuple[bool, str]:
        watched = Watched(*devices)
        await watched.fence.start()
        try:
            readiness = await watched.fence.checked()
        finally:
            await watched.fence.close()
        (permission,) = (one for one in readiness if not one.cuts_power)
        assert permission.power is Power.OFF
        assert [one.trouble for one in permission.findings] == [Trouble.NOT_LET_IN]
        assert permission.evidence == "key a1, Status: OFF"
        return levels_ready(readiness)

    permission = scsi.settings("alpha", "beta")
    assert asyncio.run(check(permission, power(tmp_path))) == (True, "")
    assert asyncio.run(check(permission, power(tmp_path, level=2))) == (True, "")
    assert asyncio.run(check(permission))[0] is False


def test_the_console_lets_nobody_in() -> None:
    """`on` and `cycle` of a permission alone are refused, and no plan has it ordered on."""
    options: dict[str, Option] = {"agent": "fence_scsi", "disk": "/dev/sda", "key": "a1"}
    disk = DeviceSettings(name="disk", driver="permission", options=options)
    site = Site(MappingProxyType({"alpha": (disk, by_agent("fence_dummy"))}), None, 2.0, None)
    for verb in (Verb.ON, Verb.CYCLE):
        with pytest.raises(RefusedError, match="only alpha itself"):
            select(site, Order(verb, "disk"))
    order = Order(Verb.CYCLE, "alpha")
    *_, given = plan(order, select(site, order), site)
    assert [device["device"] for device in given["devices"]] == ["by-agent"]


def test_what_is_no_permission() -> None:
    """An agent that switches power is refused here, and more than one disk too."""
    options: dict[str, Option] = {"agent": "fence_dummy", "disk": "/dev/sda", "key": "a1"}
    device = DeviceSettings(name="a", driver="permission", options=options)
    with pytest.raises(FenceError, match='the driver is "agent"'):
        PermissionDevice(device).status()
    two = replace(device, options=options | {"agent": "fence_scsi", "disk": "/dev/sda,/dev/sdb"})
    with pytest.raises(FenceError, match="one of each"):
        PermissionDevice(two).status()
