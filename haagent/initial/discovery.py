# SPDX-License-Identifier: GPL-2.0-or-later
"""What this machine has: interfaces, its own BMC, serial lines, watchdogs. Nothing is changed."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
)
from pathlib import Path

from haagent.asking import output
from haagent.doctor.hardware import SYSFS, ports
from haagent.doctor.own_bmc import OwnBmc, own_bmc
from haagent.netlink import Netlink
from haagent.watchdog import candidates

SERIAL_LINES = ("haagent/pdu-*", "serial/by-id/*", "ttyUSB*", "ttyACM*")
"""In /dev; the earlier a name stands here, the longer it stays the same."""


@dataclass(frozen=True, slots=True)
class Nic:
    """One interface that could carry something."""

    name: str
    carrier: bool
    mac: str
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    hardware: bool
    default_route: bool
    speed: int
    """Mb/s; -1 if it does not tell."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything found."""

    name: str
    nics: tuple[Nic, ...]
    gateways: tuple[IPv4Address | IPv6Address, ...]
    bmc: OwnBmc
    serial_lines: tuple[str, ...]
    watchdogs: tuple[str, ...]


def discover() -> Machine:
    """Look at this machine; takes some seconds where there is a slow BMC.

    Raises:
        EdgeError: the kernel does not tell its interfaces.
    """
    gateways = _gateways(output("ip", "-o", "route", "show", "default") or "")
    return Machine(
        name=socket.gethostname().partition(".")[0],
        nics=asyncio.run(_nics(frozenset(gateways))),
        gateways=tuple(dict.fromkeys(gateways.values())),
        bmc=own_bmc(),
        serial_lines=_serial_lines(Path("/dev")),
        watchdogs=tuple(one.identity for one in candidates()),
    )


async def _nics(routed: frozenset[str]) -> tuple[Nic, ...]:
    netlink = Netlink()
    await netlink.open()
    try:
        found = []
        for _, name in socket.if_nameindex():
            interface = netlink.interface(name)
            folder = SYSFS / "class/net" / name
            if name == "lo" or not interface.index:
                continue
            addresses = sorted(
                (one for one in interface.addresses if not one.ip.is_link_local),
                key=lambda one: (one.version, one),
            )
            found.append(
                Nic(
                    name=name,
                    carrier=interface.up and interface.carrier,
                    mac=interface.mac.hex(":"),
                    addresses=tuple(addresses),
                    hardware=ports(name) is not None,
                    default_route=name in routed,
                    speed=_speed(folder),
                )
            )
        return tuple(found)
    finally:
        netlink.close()


def _speed(folder: Path) -> int:
    try:
        return int((folder / "speed").read_text())
    except (OSError, ValueError):
        return -1


def _gateways(routes: str) -> dict[str, IPv4Address | IPv6Address]:
    """By interface: where its default route leads."""
    found = {}
    for line in routes.splitlines():
        match = re.search(r"\bvia (\S+) dev (\S+)", line)
        if match:
            found[match[2]] = ip_address(match[1])
    return found


def _serial_lines(dev: Path) -> tuple[str, ...]:
    """Names of the serial lines, each line by its best name only."""
    found: dict[Path, str] = {}
    for pattern in SERIAL_LINES:
        for path in sorted(dev.glob(pattern)):
            found.setdefault(path.resolve(), str(path))
    return tuple(found.values())
