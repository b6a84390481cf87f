# SPDX-License-Identifier: GPL-2.0-or-later
"""Drivers by name, and the settings each of them takes.

A driver's module is imported only in the worker that uses it: the libraries are large and may
block. So what a configuration is checked against is declared here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Protocol, cast

from fencing import Device, DeviceSettings, FenceError, Option
from fencing.findings import Trouble

NewDevice = Callable[[DeviceSettings], Device]


class Kind(StrEnum):
    """The form of an option's value in the configuration."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "true or false"
    DURATION = "duration"
    INTEGERS = "list of integers"
    FILE = "absolute path"
    KEY = "1 to 16 digits, 0-9 and a-f"


@dataclass(frozen=True, slots=True)
class OptionForm:
    """What one option may be."""

    kind: Kind
    help: str
    required: bool = False
    choices: tuple[Option, ...] = ()
    """All that is allowed, for TEXT and for each of INTEGERS; () for anything."""
    low: float | None = None
    high: float | None = None
    """Inclusive bounds of a number, of each of INTEGERS, or of a duration in seconds."""


class Address(StrEnum):
    """What a driver's `address` is."""

    HOST = "host"
    LINE = "serial line"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Driver:
    """Where a driver is, and what a [[fence]] entry of it looks like."""

    module: str
    attribute: str
    address: Address
    credentials: bool
    """Whether user and password_file are required; else they are allowed."""
    parallel: bool
    """Whether a second worker may talk to the device beside the first; a serial line is one's."""
    options: Mapping[str, OptionForm] = field(default_factory=dict)
    open_options: bool = False
    """Whether options that are not declared go to the device as they are."""
    default_port: int | None = None
    permission: bool = False
    """Whether it cuts a node from a disk and not from its power: then its *off* proves nothing of
    the node, and *on* is ordered by nobody but that node itself (docs/adr/0018)."""


_PORT = OptionForm(Kind.INTEGER, "port of the device", low=1, high=65535)
_ANSWER = OptionForm(Kind.DURATION, "limit of one answer", low=0.1, high=60)

DRIVERS: Mapping[str, Driver] = {
    "ipmi": Driver(
        module="fencing.drivers.ipmi",
        attribute="IpmiDevice",
        address=Address.HOST,
        credentials=True,
        parallel=True,
        default_port=623,
        options={
            "port": _PORT,
            "privilege": OptionForm(
                Kind.TEXT, "asked for at login", choices=("operator", "administrator")
            ),
            "suites": OptionForm(
                Kind.INTEGERS,
                "cipher suites, in the order in which they are tried",
                choices=(17, 3),
            ),
            "logon": OptionForm(Kind.DURATION, "limit of a login", low=0.5, high=60),
            "warm_answer": _ANSWER,
            "fresh_answer": _ANSWER,
        },
    ),
    "redfish": Driver(
        module="fencing.drivers.redfish",
        attribute="RedfishDevice",
        address=Address.HOST,
        credentials=True,
        parallel=True,
        default_port=443,
        options={
            "port": _PORT,
            "ca_file": OptionForm(Kind.FILE, "the authority that signed its certificate, PEM"),
            "fingerprint": OptionForm(
                Kind.TEXT, "SHA-256 of its certificate, hexadecimal; in place of ca_file"
            ),
            "server_name": OptionForm(
                Kind.TEXT, "name in its certificate, if that is not the address"
            ),
            "auth": OptionForm(Kind.TEXT, "how to log in", choices=("session", "basic")),
            "system": OptionForm(
                Kind.TEXT, "which of its systems, e.g. System.Embedded.1; if it has several"
            ),
            "connect": OptionForm(Kind.DURATION, "limit of connecting", low=0.1, high=30),
            "answer": _ANSWER,
        },
    ),
    "pdu": Driver(
        module="fencing.drivers.pdu",
        attribute="PduDevice",
        address=Address.LINE,
        credentials=False,
        parallel=False,
        options={
            "dialect": OptionForm(
                Kind.TEXT,
                "how this make of PDU is spoken to",
                required=True,
                choices=("cyberpower", "apc", "wti", "raritan", "sentry", "baytech", "rps10"),
            ),
            "outlets": OptionForm(
                Kind.INTEGERS,
                "every outlet that feeds the node; 0 is the first of an rps10 only",
                required=True,
                low=0,
                high=64,
            ),
            "baud": OptionForm(Kind.INTEGER, "line speed", low=300, high=921600),
            "line": OptionForm(Kind.TEXT, "data bits, parity, stop bits, such as 8N1"),
            "flow": OptionForm(Kind.TEXT, "flow control", choices=("none", "rtscts", "xonxoff")),
            "prompt": OptionForm(Kind.TEXT, "regular expression of the prompt"),
            "login_prompt": OptionForm(Kind.TEXT, "regular expression of the login's prompt"),
            "password_prompt": OptionForm(Kind.TEXT, "regular expression of the password's prompt"),
            "tower": OptionForm(Kind.TEXT, "sentry: what stands before the outlet's number"),
            "answer": _ANSWER,
        },
    ),
    "agent": Driver(
        module="fencing.drivers.agent",
        attribute="AgentDevice",
        address=Address.NONE,
        credentials=False,
        # An agent logs in for every operation, so a second worker would be no fresher.
        parallel=False,
        open_options=True,
        options={
            "agent": OptionForm(
                Kind.TEXT, "a fence agent of ClusterLabs, e.g. fence_ipmilan", required=True
            ),
            "answer": _ANSWER,
        },
    ),
    "permission": Driver(
        module="fencing.drivers.permission",
        attribute="PermissionDevice",
        address=Address.NONE,
        credentials=False,
        parallel=False,
        open_options=True,
        permission=True,
        options={
            "agent": OptionForm(
                Kind.TEXT, "what takes keys away: fence_scsi or fence_mpath", required=True
            ),
            "disk": OptionForm(Kind.FILE, "the shared disk; one of each [[fence]]", required=True),
            "key": OptionForm(Kind.KEY, "the node's own on that disk", required=True),
            "answer": _ANSWER,
        },
    ),
}
"""Every driver there is."""


class Driven(Protocol):
    """A device, as the configuration or its settings have it."""

    @property
    def driver(self) -> str:
        """A name in DRIVERS."""


def cuts_power(device: Driven) -> bool:
    """Whether a device's *off* can prove that the node is off; a permission only cuts a disk."""
    return not DRIVERS[device.driver].permission


def find(name: str) -> NewDevice:
    """Import the driver called `name`.

    Raises:
        FenceError: There is none of that name.
    """
    if name not in DRIVERS:
        known = ", ".join(sorted(DRIVERS))
        raise FenceError(f"no driver is called {name!r}; there are: {known}", Trouble.SETTINGS)
    driver = DRIVERS[name]
    return cast("NewDevice", getattr(import_module(driver.module), driver.attribute))
