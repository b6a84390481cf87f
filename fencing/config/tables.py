# SPDX-License-Identifier: GPL-2.0-or-later
"""Fence devices from a configuration file, with or without haagent.

The file is a full haagent.toml or holds [[fence]] tables alone. Its form is in device_table, what
the tables must agree in is in shared_devices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from fencing import DeviceSettings, Secret
from fencing.config import duration
from fencing.config.device_table import DeviceTable, SecretPlace, read_fences
from fencing.config.problems import ABSENT, HIDDEN, Problem
from fencing.config.secret_files import SecretFileError, read_kg, read_password, shown
from fencing.config.shared_devices import check_devices
from fencing.config.toml_file import read_toml

_SECOND_NS = duration.UNITS_NS["s"]


class TableError(Exception):
    """Fence tables are refused.

    Args:
        problems: Every reason.
        file: The configuration file.
    """

    def __init__(self, problems: tuple[Problem, ...], file: Path) -> None:
        assert problems, "a refusal without a reason"
        self.problems = problems
        self.lines = tuple(problem.line(file) for problem in problems)
        """Each reason as "file: where: value: text"."""
        super().__init__("\n".join(self.lines))


def load_fences(file: Path) -> Mapping[str, tuple[DeviceSettings, ...]]:
    """The devices of each node that `file` has devices for, in the order of the file.

    Raises:
        TableError: Every reason at once.
    """
    raw = read_toml(file)
    if isinstance(raw, Problem):
        raise TableError((raw,), file)
    fences = read_fences(raw)
    secrets, unreadable = read_secrets(fences.secrets, file.parent)
    problems = [*fences.problems, *check_devices(fences.tables), *unreadable]
    if "fence" not in raw:
        problems.append(
            Problem("fence", ABSENT, "is missing; docs/configuration.md has an example")
        )
    refusals = tuple(problem for problem in problems if problem.refuses)
    if refusals:
        raise TableError(refusals, file)
    nodes: dict[str, tuple[DeviceSettings, ...]] = {}
    for table in fences.tables:
        nodes[table.node] = (*nodes.get(table.node, ()), settings(table, secrets))
    return MappingProxyType(nodes)


def read_secrets(
    places: Iterable[SecretPlace], folder: Path
) -> tuple[Mapping[str, Secret], tuple[Problem, ...]]:
    """The secrets by the key path of their place, and what keeps the others from being read.

    Args:
        places: Of FenceTables.
        folder: Folder of the configuration file, where relative paths begin.
    """
    secrets: dict[str, Secret] = {}
    problems: list[Problem] = []
    for place in places:
        read = read_kg if place.where.endswith(".kg_file") else read_password
        try:
            secrets[place.where] = Secret(read(place.location, folder))
        except SecretFileError as error:
            problems.append(unusable(place.where, place.location, folder, error))
    return secrets, tuple(problems)


def unusable(where: str, location: str, folder: Path, error: SecretFileError) -> Problem:
    """Say that no secret could be read from `location`, which is shown unless it may be one."""
    visible = shown(location, folder)
    text = f"{error}; paths begin at {folder}" if visible is HIDDEN else str(error)
    return Problem(where, visible, text)


def settings(table: DeviceTable, secrets: Mapping[str, Secret]) -> DeviceSettings:
    """The device of `table`, with its secrets out of those that read_secrets read."""
    return DeviceSettings(
        name=table.name,
        driver=table.driver,
        address=table.address,
        user=table.user,
        password=secrets.get(f"{table.where}.password_file", Secret(b"")),
        kg=secrets.get(f"{table.where}.kg_file"),
        level=table.level,
        off_settle_s=table.off_settle_ns / _SECOND_NS,
        deadline_s=table.deadline_ns / _SECOND_NS,
        check_every_s=table.check_every_ns / _SECOND_NS,
        expect_identity=table.identity,
        options=dict(table.options),
    )
