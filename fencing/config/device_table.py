# SPDX-License-Identifier: GPL-2.0-or-later
"""The form of a [[fence]] table (docs/configuration.md), and how one is read.

Every table is read on its own and everything that is wrong is reported at once, so that no error
hides another. No value is shown that may be a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import Any
from uuid import UUID

from fencing import Option
from fencing.config import duration, forms
from fencing.config.forms import FormError
from fencing.config.options import looks_secret, read_options, secret_advice
from fencing.config.problems import ABSENT, HIDDEN, Problem, entry_paths, join, nearest
from fencing.drivers import DRIVERS, Address, Driver

FENCES_MAX = 16
LEVEL_MAX = 8
_SECOND_NS = duration.UNITS_NS["s"]
_KG_DRIVERS = frozenset({"ipmi"})
"""Drivers whose devices may have a second secret; Source: IPMI 2.0, 22.25, K[G]."""
_ADDRESS_FORMS: Mapping[Address, Callable[[object], str]] = {
    Address.HOST: forms.host,
    Address.LINE: forms.serial_line,
}


@dataclass(frozen=True, slots=True)
class DeviceTable:
    """One [[fence]]; a field is called as its key, durations with their unit behind it."""

    where: str
    """Its key path, for what is said about it."""
    name: str
    node: str
    driver: str
    """One of fencing.drivers.DRIVERS."""
    level: int = 1
    address: str = ""
    """As the driver needs it; required of most."""
    user: str = ""
    password_file: str | None = None
    kg_file: str | None = None
    off_settle_ns: int = 2 * _SECOND_NS
    deadline_ns: int = 20 * _SECOND_NS
    check_every_ns: int = 30 * _SECOND_NS
    identity: UUID | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    """Of the forms that the driver declares; durations are seconds."""

    def shared(self) -> dict[str, object]:
        """What must be equal on both nodes, less defaults, secrets and where they are kept."""
        values = {key: getattr(self, name) for key, name in FIELDS.items() if key not in _OWN}
        values["options"] = dict(self.options)
        return {key: value for key, value in values.items() if value != DEFAULTS.get(key, MISSING)}


FIELDS: Mapping[str, str] = MappingProxyType(
    {entry.name.removesuffix("_ns"): entry.name for entry in fields(DeviceTable)[1:]}
)
"""Every key of a [[fence]], and the field that holds it."""
DEFAULTS: Mapping[str, object] = MappingProxyType(
    {
        entry.name.removesuffix("_ns"): {} if entry.default is MISSING else entry.default
        for entry in fields(DeviceTable)
        if entry.default is not MISSING or entry.default_factory is not MISSING
    }
)
"""What stands for a key that is left out, durations in ns; a key that is not here is required."""
_OWN = frozenset({"password_file", "kg_file"})
"""Keys in which the nodes may differ: a new password does not reach both at once."""
_HIDDEN_KEYS = _OWN | {"user"}
"""Keys whose value may be a secret in the wrong place."""
_FORMS: Mapping[str, Callable[[object], object]] = {
    "name": forms.name,
    "node": forms.name,
    "level": forms.integer(1, LEVEL_MAX),
    "user": forms.user,
    "password_file": forms.location,
    "kg_file": forms.location,
    "off_settle": forms.span("0s", "60s"),
    "deadline": forms.span("1s", "5m"),
    "check_every": forms.span("1s", "1h"),
    "identity": forms.uuid,
}
"""Keys that are read alike for every driver."""


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Where one secret of one device is kept."""

    where: str
    """Key path of the key that says so."""
    location: str
    """A path, or "credential:NAME"."""


@dataclass(frozen=True, slots=True)
class FenceTables:
    """What could be read of a file's [[fence]] tables, and what is wrong with the rest."""

    tables: tuple[DeviceTable, ...]
    whole: bool
    """Whether there is at least one table and each could be read."""
    secrets: tuple[SecretPlace, ...]
    """Those of tables that could not be read are among them, so that they are judged too."""
    problems: tuple[Problem, ...]


def read_fences(raw: Mapping[str, object]) -> FenceTables:
    """Every [[fence]] of a file's top level, each judged on its own."""
    value = raw.get("fence", [])
    if not isinstance(value, list):
        problem = Problem("fence", HIDDEN, "not an array of tables; write [[fence]]")
        return FenceTables((), whole=False, secrets=(), problems=(problem,))
    problems: list[Problem] = []
    if "fence" in raw and not 1 <= len(value) <= FENCES_MAX:
        text = f"{len(value)} entries; 1 to {FENCES_MAX} [[fence]] are needed"
        problems.append(Problem("fence", value, text))
    value = value[:FENCES_MAX]
    readings = [
        _Reading(item, where)
        for item, where in zip(value, entry_paths("fence", value), strict=True)
    ]
    tables = tuple(reading.table for reading in readings if reading.table is not None)
    return FenceTables(
        tables=tables,
        whole=bool(value) and len(tables) == len(value),
        secrets=tuple(place for reading in readings for place in reading.secrets),
        problems=(*problems, *(problem for reading in readings for problem in reading.problems)),
    )


class _Reading:
    """One [[fence]], read: the table unless something is wrong with it, and all its problems."""

    def __init__(self, value: object, where: str) -> None:
        self._where = where
        self._found: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self.table: DeviceTable | None = None
        if not isinstance(value, dict):
            self.problems.append(Problem(where, HIDDEN, "not a table; write [[fence]]"))
            return
        name = self._driver(value)
        driver = DRIVERS.get(name)
        for key, item in value.items():
            if key in _FORMS:
                self._read(key, _FORMS[key], item)
            elif key not in FIELDS:
                self._error(key, HIDDEN, _unknown(key, driver))
        for key in ("name", "node"):
            self._require(key, value, "docs/configuration.md has an example")
        if driver is not None:
            self._read_for(name, driver, value)
        self._check_times(value)
        if not any(problem.refuses for problem in self.problems):
            self.table = DeviceTable(where=where, driver=name, **self._found)

    @property
    def secrets(self) -> tuple[SecretPlace, ...]:
        """Where its secrets are, as far as it says so in the right form."""
        return tuple(
            SecretPlace(f"{self._where}.{key}", self._found[key])
            for key in ("password_file", "kg_file")
            if key in self._found
        )

    def _driver(self, value: Mapping[str, object]) -> str:
        """The driver's name, "" if it is none."""
        self._require("driver", value, f"one of {', '.join(sorted(DRIVERS))}")
        if "driver" not in value:
            return ""
        name = value["driver"]
        if isinstance(name, str) and name in DRIVERS:
            return name
        advice = nearest(name, DRIVERS, f"one of {', '.join(sorted(DRIVERS))}")
        self._error("driver", name, f"no driver; {advice}")
        return ""

    def _read_for(self, name: str, driver: Driver, value: Mapping[str, object]) -> None:
        """Read and require what depends on the driver."""
        form = _ADDRESS_FORMS.get(driver.address)
        if form is not None:
            self._require("address", value, f"{name} needs a {driver.address}")
            if "address" in value:
                self._read("address", form, value["address"])
            if driver.address is Address.HOST:
                self._advise_address()
        elif "address" in value:
            text = f"{name} has no address; its own parameters go into options"
            self._error("address", HIDDEN, text)
        if driver.credentials:
            self._require("user", value, f"{name} needs an account at the device")
            self._require("password_file", value, 'such as "alpha-bmc.password", mode 0600')
        if "kg_file" in value and name not in _KG_DRIVERS:
            self._error("kg_file", HIDDEN, f"{name} has no such key; leave it out")
        where = f"{self._where}.options"
        options, problems = read_options(value.get("options", {}), name, driver, where)
        self._found["options"] = MappingProxyType(options)
        self.problems += problems

    def _advise_address(self) -> None:
        address = self._found.get("address")
        if address is not None and not forms.is_address(address):
            text = "a host name: name service may be what failed; write the address"
            self.problems.append(Problem(f"{self._where}.address", address, text, refuses=False))

    def _check_times(self, value: Mapping[str, object]) -> None:
        keys = ("off_settle", "deadline")
        if any(key in value and FIELDS[key] not in self._found for key in keys):
            return  # Of a time that could not be read nothing more can be said.
        settle_ns, deadline_ns = (self._found.get(FIELDS[key], DEFAULTS[key]) for key in keys)
        if settle_ns >= deadline_ns:
            text = "not below deadline; no attempt could ever be confirmed"
            self._error("off_settle", duration.render(settle_ns), text)

    def _read(self, key: str, form: Callable[[object], object], value: object) -> None:
        try:
            self._found[FIELDS[key]] = form(value)
        except (FormError, duration.DurationError) as error:
            self._error(key, HIDDEN if key in _HIDDEN_KEYS else value, str(error))

    def _require(self, key: str, value: Mapping[str, object], hint: str) -> None:
        if key not in value:
            self._error(key, ABSENT, f"is missing; {hint}")

    def _error(self, key: str, value: object, text: str) -> None:
        self.problems.append(Problem(f"{self._where}.{join(key)}", value, text))


def _unknown(key: str, driver: Driver | None) -> str:
    """What to do about a key that a [[fence]] does not have."""
    if driver is not None and key in driver.options:
        return f"unknown key; it is an option, write options = {{ {key} = ... }}"
    if looks_secret(key):
        return f"unknown key; {secret_advice(key)}"
    return f"unknown key; {nearest(key, FIELDS, 'docs/configuration.md lists every key')}"
