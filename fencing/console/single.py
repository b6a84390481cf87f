# SPDX-License-Identifier: GPL-2.0-or-later
"""One device given by options, with no file: judged exactly as a [[fence]] table is."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fencing.config.device_table import read_fences
from fencing.config.forms import NAME_BYTES_MAX
from fencing.config.problems import Problem
from fencing.config.tables import read_secrets, settings
from fencing.console.exits import Exit, RefusedError
from fencing.console.site import Site
from fencing.drivers import DRIVERS, Kind, OptionForm

PLACE = Path("options")
"""Stands in problems where a file's name would."""
HEDGE_AFTER_S = 2.0
"""One device has no level to begin beside it."""
_TEXTS = frozenset({Kind.TEXT, Kind.DURATION, Kind.FILE, Kind.KEY})


@dataclass(frozen=True, slots=True)
class Single:
    """A device as it stands on a command line; None: not given."""

    driver: str
    keys: Mapping[str, str | None]
    """Keys of [[fence]] that are texts."""
    options: Sequence[str]
    """Each as NAME=VALUE."""

    def site(self) -> Site:
        """A site of one machine, whose name comes from the device's address.

        Raises:
            RefusedError: Every reason why there is no such device.
        """
        options = self._options()
        name = _name(self.keys.get("address") or str(options.get("agent", self.driver)))
        given = {key: value for key, value in self.keys.items() if value is not None}
        table = {"name": name, "node": name, "driver": self.driver, "options": options, **given}
        fences = read_fences({"fence": [table]})
        secrets, unreadable = read_secrets(fences.secrets, Path.cwd())
        refusals = [problem for problem in (*fences.problems, *unreadable) if problem.refuses]
        if refusals:
            lines = (problem.line(PLACE) for problem in refusals)
            raise RefusedError(Exit.CONFIGURATION, *lines)
        devices = tuple(settings(read, secrets) for read in fences.tables)
        return Site(MappingProxyType({name: devices}), None, HEDGE_AFTER_S, None)

    def _options(self) -> dict[str, object]:
        declared = DRIVERS[self.driver].options
        found: dict[str, object] = {}
        for option in self.options:
            name, equals, text = option.partition("=")
            if not equals:
                problem = Problem("--option", "(not shown)", "not NAME=VALUE; such as port=623")
                raise RefusedError(Exit.USAGE, problem.line(PLACE))
            found[name] = _value(text, declared.get(name))
        return found


def _value(text: str, form: OptionForm | None) -> object:
    """As TOML would read it without its quotes; a list of numbers needs no brackets."""
    if form is not None and form.kind in _TEXTS:
        return text
    if form is not None and form.kind is Kind.INTEGERS:
        text = f"[{text.strip('[]')}]"
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _name(text: str) -> str:
    """A name made of an address, a line or a program."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-._")[:NAME_BYTES_MAX] or "device"
