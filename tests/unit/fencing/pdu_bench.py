# SPDX-License-Identifier: GPL-2.0-or-later
"""What the PDU tests share: every make with its emulator, and a driver before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from fencing import DeviceSettings, Power, Secret
from fencing.drivers.pdu import PduDevice
from hil.pdu.console import Console
from hil.pdu.cyberpower import CyberPower
from hil.pdu.makes import MAKES

PASSWORD = "s3same-0pen"  # noqa: S105  # of a PDU that lives for one test
BAUD = 921_600
"""So that tests are quick; those about time take 9600."""
OURS = (2, 5)
"""The outlets that feed the machine, unless a test says otherwise."""
LIMIT_S = 10.0


def emulator(
    make: str,
    directory: Path,
    *,
    baud: int = BAUD,
    on_change: Callable[[int, bool], None] | None = None,
) -> Console:
    """One PDU, not plugged in yet. A CyberPower's own delay is 0: tests set it who want it."""
    of = MAKES[make]
    account = (of.user, PASSWORD)
    pdu = of.emulator(directory / f"tty-{make}", account=account, baud=baud, on_change=on_change)
    if isinstance(pdu, CyberPower):
        pdu.off_delay_s = 0
    return pdu


def settings(make: str, directory: Path, **changes: object) -> DeviceSettings:
    """What reaches it; `options` are added to dialect and outlets."""
    of = MAKES[make]
    options: dict[str, object] = {
        "dialect": of.dialect,
        "outlets": OURS,
        "baud": BAUD,
        "answer": 1.0,
    }
    options |= cast("dict[str, object]", changes.pop("options", {}))
    plain = DeviceSettings(
        name=f"pdu-{make}",
        driver="pdu",
        address=str(directory / f"tty-{make}"),
        user=of.user,
        password=Secret(PASSWORD.encode()),
        off_settle_s=0.0,
        options=options,  # type: ignore[arg-type]  # its values are options
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # names and types are the caller's


@contextmanager
def device(of: DeviceSettings) -> Iterator[PduDevice]:
    """The driver, closed afterwards."""
    pdu = PduDevice(of)
    try:
        yield pdu
    finally:
        pdu.close()


@contextmanager
def both(
    make: str, directory: Path, *, baud: int = BAUD, **changes: object
) -> Iterator[tuple[Console, PduDevice]]:
    """An emulated PDU that is up, and a driver before it."""
    with (
        emulator(make, directory, baud=baud) as pdu,
        device(settings(make, directory, **changes)) as driver,
    ):
        yield pdu, driver


def powers(pdu: Console, *outlets: int) -> list[bool]:
    """Whether each of them has power."""
    return [pdu.relays.on[outlet] for outlet in outlets or OURS]


def read_off(driver: PduDevice, readings: int = 40) -> bool:
    """Whether some of so many readings says off."""
    return any(driver.status() is Power.OFF for _ in range(readings))
