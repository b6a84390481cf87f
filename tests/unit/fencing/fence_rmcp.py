# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the ipmi driver share: settings that reach our own RMCP+ BMC."""

from __future__ import annotations

from fencing import DeviceSettings, Option, Secret
from fencing.drivers.ipmi import IpmiDevice
from hil.rmcp import RmcpBmc

WARM_S = 0.4
"""Tests need not wait a whole second for a dead session; a busy machine still answers in it."""


def settings(bmc: RmcpBmc, **options: Option) -> DeviceSettings:
    """Settings with which this BMC can be used."""
    return DeviceSettings(
        name="rmcp",
        driver="ipmi",
        address=bmc.address,
        user=bmc.user,
        password=Secret(bmc.password),
        kg=Secret(bmc.table.kg) if bmc.table.kg else None,
        off_settle_s=0.0,
        deadline_s=5.0,
        options={"port": bmc.port, "warm_answer": WARM_S, **options},
    )


def driver(bmc: RmcpBmc, **options: Option) -> IpmiDevice:
    """The driver for this BMC, not logged in yet."""
    return IpmiDevice(settings(bmc, **options))
