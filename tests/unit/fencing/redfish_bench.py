# SPDX-License-Identifier: GPL-2.0-or-later
"""What the redfish tests share: settings that reach an emulated BMC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from fencing import DeviceSettings, FenceError, NotSentError, Option, Secret
from fencing.drivers.redfish import RedfishDevice
from fencing.findings import Trouble
from hil.redfish.bmc import RedfishBmc
from hil.redfish.certificates import Authority


def settings(bmc: RedfishBmc, authority: Authority, **options: Option) -> DeviceSettings:
    """What reaches this BMC, believing this authority; an option that is "" is left out."""
    given: dict[str, Option] = {"port": bmc.port, "ca_file": str(authority.file), **options}
    return DeviceSettings(
        name="bmc-a",
        driver="redfish",
        address=bmc.address,
        user=bmc.user,
        password=Secret(bmc.password.encode()),
        off_settle_s=0.0,
        deadline_s=5.0,
        options={name: value for name, value in given.items() if value != ""},
    )


@contextmanager
def driver(
    bmc: RedfishBmc, authority: Authority, password: str | None = None, **options: Option
) -> Iterator[RedfishDevice]:
    """A device in this process, closed afterwards."""
    wanted = settings(bmc, authority, **options)
    if password is not None:
        wanted = replace(wanted, password=Secret(password.encode()))
    device = RedfishDevice(wanted)
    try:
        yield device
    finally:
        device.close()


def troubles(device: RedfishDevice) -> set[Trouble]:
    """What an inspection finds."""
    return {finding.trouble for finding in device.inspect().findings}


def is_unsent(error: FenceError) -> bool:
    """Whether the driver is certain that nothing left."""
    return isinstance(error, NotSentError)
