# SPDX-License-Identifier: GPL-2.0-or-later
"""The inventory of a lab (docs/lab.md): how each part of it is reached.

Everything that is wrong with a file is said at once, a line each; no value that may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from fencing import DeviceSettings
from fencing.config import duration, forms
from fencing.config.device_table import read_fences
from fencing.config.problems import ABSENT, HIDDEN, Problem, entry_paths, join
from fencing.config.tables import read_secrets, settings
from fencing.config.toml_file import read_toml
from haagent.config.schema import AnyTable, Argv, InterfaceName, Name, Table, read_table

SERVERS = 2
BOOT_LIMIT_NS = 10 * duration.UNITS_NS["m"]
"""The firmware of a large server alone takes five."""
_WORDS_MAX = 64


class InventoryError(Exception):
    """The file is refused; `lines` says all that is wrong with it."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class PortCommands:
    """How a switch port is taken down and up again: programs with their arguments."""

    down: tuple[str, ...]
    up: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """One server of the lab."""

    name: str
    """As in the pair's configuration."""
    ssh: str
    """Where root logs in without being asked: what stands behind `ssh`."""
    ssh_options: tuple[str, ...]
    interface: str
    """Its card in the clients' LAN."""
    bmc: DeviceSettings
    mains: DeviceSettings | None
    """What cuts the power of the server and of its BMC, and is not the pair's own."""
    ports: Mapping[str, PortCommands]
    """By wire."""
    console: tuple[str, ...]
    """A program that writes what the serial console says; () for none."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """A whole lab."""

    file: Path
    cluster: str
    """What the operator has to type, and what both agents must call themselves."""
    group: str
    """Whose address the client uses."""
    address: str
    """That virtual address."""
    interface: str
    """This machine's card in the clients' LAN."""
    boot_limit_s: float
    """From power on to a login."""
    servers: tuple[ServerEntry, ...]


def _words(value: object) -> tuple[str, ...]:
    if (
        isinstance(value, list)
        and len(value) <= _WORDS_MAX
        and all(isinstance(word, str) and "\0" not in word for word in value)
    ):
        return tuple(value)
    raise ValueError('not a list of texts; such as ["-i", "/root/.ssh/lab"]')


def _target(value: object) -> str:
    text = forms.text(value)
    if not text or text.startswith("-") or any(mark.isspace() for mark in text):
        raise ValueError('not a place to log in; such as "root@203.0.113.21"')
    return text


def _ipv4(value: object) -> str:
    try:
        return str(IPv4Address(forms.text(value)))
    except ValueError as error:
        raise ValueError('not an IPv4 address; such as "192.0.2.10"') from error


class _PortTable(Table):
    down: Argv
    up: Argv


class _PortsTable(Table):
    lan: _PortTable | None = None
    ring: _PortTable | None = None


class _ServerTable(Table):
    name: Name
    ssh: Annotated[str, PlainValidator(_target)]
    ssh_options: Annotated[tuple[str, ...], PlainValidator(_words)] = ()
    interface: InterfaceName
    bmc: dict[str, Any]
    mains: dict[str, Any] | None = None
    ports: _PortsTable = Field(default_factory=_PortsTable)
    console: Argv = ()


class _LabTable(Table):
    cluster: Name
    group: Name
    address: Annotated[str, PlainValidator(_ipv4)]
    interface: InterfaceName
    boot_limit: Annotated[int, PlainValidator(forms.span("10s", "1h"))] = BOOT_LIMIT_NS
    server: list[Any]


def read_inventory(file: Path) -> Inventory:
    """The lab that a file describes; its secret files are read, nothing else is touched.

    Raises:
        InventoryError: Every reason why there is no such lab.
    """
    raw = read_toml(file)
    if isinstance(raw, Problem):
        raise InventoryError((raw.line(file),))
    problems: list[Problem] = []
    lab = _read(_LabTable, raw, "", problems)
    listed = raw.get("server")
    entries = listed if isinstance(listed, list) else []
    places = entry_paths("server", entries)
    tables = [
        _read(_ServerTable, entry, place, problems)
        for entry, place in zip(entries, places, strict=True)
    ]
    servers = [table for table in tables if table is not None]
    if len(entries) != SERVERS:
        text = f"{len(entries)} of them; a pair has two [[server]]"
        problems.append(Problem("server", HIDDEN, text))
    elif len({server.name for server in servers}) != len(servers):
        problems.append(Problem("server", HIDDEN, "both have one name"))
    devices = _devices(servers, file.parent, problems)
    if lab is None or any(problem.refuses for problem in problems):
        raise InventoryError(tuple(p.line(file) for p in problems if p.refuses))
    return Inventory(
        file=file,
        cluster=lab.cluster,
        group=lab.group,
        address=lab.address,
        interface=lab.interface,
        boot_limit_s=lab.boot_limit / duration.UNITS_NS["s"],
        servers=tuple(_entry(server, devices) for server in servers),
    )


def _read(
    model: type[AnyTable], value: object, where: str, problems: list[Problem]
) -> AnyTable | None:
    """One table, or what is wrong with it among the problems."""
    read = read_table(model, value)
    if not isinstance(read, list):
        return read
    for wrong in read:
        path = ".".join(filter(None, (where, join(*wrong.path)))) or "-"
        missing = wrong.kind == "missing"
        shown = ABSENT if missing else HIDDEN if {"bmc", "mains"} & set(wrong.path) else wrong.value
        hint = "is missing; docs/lab.md has an example" if missing else wrong.text
        problems.append(Problem(path, shown, hint))
    return None


def _devices(
    servers: list[_ServerTable], folder: Path, problems: list[Problem]
) -> dict[str, DeviceSettings]:
    """What switches the servers, by the name that `_entry` looks for; read as [[fence]] is."""
    fences = [
        {**table, "name": f"{server.name}-{kind}", "node": server.name}
        for server in servers
        for kind, table in (("bmc", server.bmc), ("mains", server.mains))
        if table is not None
    ]
    read = read_fences({"fence": fences} if fences else {})
    secrets, unreadable = read_secrets(read.secrets, folder)
    problems += (*read.problems, *unreadable)
    return {table.name: settings(table, secrets) for table in read.tables}


def _entry(server: _ServerTable, devices: Mapping[str, DeviceSettings]) -> ServerEntry:
    wires = {"lan": server.ports.lan, "ring": server.ports.ring}
    return ServerEntry(
        name=server.name,
        ssh=server.ssh,
        ssh_options=server.ssh_options,
        interface=server.interface,
        bmc=devices[f"{server.name}-bmc"],
        mains=devices.get(f"{server.name}-mains"),
        ports={
            wire: PortCommands(port.down, port.up)
            for wire, port in wires.items()
            if port is not None
        },
        console=server.console,
    )
