# SPDX-License-Identifier: GPL-2.0-or-later
"""The power of a lab's server as its BMC tells: what is recorded of it, and who was blind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fencing import DeviceSettings, Power, Secret
from hil.bmc import IpmiSim
from hil.metal.device import DeviceError, PowerDevice
from hil.metal.reading import Reading
from hil.ports import free_port
from hil.record import Record

LIMIT_S = 30.0
BLIND_S = 1.0
SHORT = {"logon": 0.5, "warm_answer": 0.2, "fresh_answer": 0.5}
"""How long the driver waits for a BMC that is gone: only the tests have to."""


@dataclass(frozen=True)
class Watched:
    """A BMC of ipmi_sim, and the record of what it tells."""

    bmc: IpmiSim
    record: Record
    reading: Reading

    def told(self) -> list[tuple[str, str]]:
        """What the record holds besides the readings."""
        entries = [entry for entry in self.record.since() if entry["what"] != "read"]
        return [(entry["what"], entry.get("state") or entry["order"]) for entry in entries]


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Such a BMC, read on."""
    port = free_port()
    record = Record(folder / "power.jsonl")
    with IpmiSim(folder / "bmc", port=port) as bmc:
        settings = DeviceSettings(
            name="alpha-bmc",
            driver="ipmi",
            address=bmc.address,
            user=bmc.user,
            password=Secret(bmc.password.encode()),
            options={"port": port, **SHORT},
        )
        reading = Reading("alpha", PowerDevice(settings, folder), record)
        try:
            reading.wait(Power.ON, LIMIT_S)
            yield Watched(bmc, record, reading)
        finally:
            reading.close()
            record.close()


def test_off_by_a_stranger_is_a_shot_and_ours_is_none(tmp_path: Path) -> None:
    """Read off without our doing, somebody must have ordered it; announced, it is just off."""
    with watched(tmp_path) as alpha:
        alpha.bmc.power = "off"
        alpha.reading.wait(Power.OFF, LIMIT_S)
        shot = [("power", "on"), ("order", "power_off"), ("power", "off")]
        assert alpha.told() == shot
        alpha.bmc.power = "on"
        alpha.reading.wait(Power.ON, LIMIT_S)
        alpha.reading.expect_off()
        alpha.bmc.power = "off"
        alpha.reading.wait(Power.OFF, LIMIT_S)
        assert alpha.told() == [*shot, ("power", "on"), ("power", "off")]


def test_power_that_nobody_read_proves_nothing(tmp_path: Path) -> None:
    """A BMC that falls silent fails the scenario; one whose cord we pulled ourselves does not."""
    with watched(tmp_path) as alpha:
        began_ns = time.monotonic_ns()
        alpha.reading.wait_answer(LIMIT_S)
        alpha.reading.check_seen(began_ns, LIMIT_S)
        alpha.reading.cut()
        alpha.bmc.kill()
        with pytest.raises(DeviceError, match="alpha is not read"):
            alpha.reading.wait_answer(BLIND_S)
        alpha.reading.check_seen(began_ns, BLIND_S)
        alpha.reading.fed()
        with pytest.raises(DeviceError, match="alpha is not read"):
            alpha.reading.wait_answer(BLIND_S)
        with pytest.raises(AssertionError, match="nobody read the power of alpha"):
            alpha.reading.check_seen(began_ns, BLIND_S)
