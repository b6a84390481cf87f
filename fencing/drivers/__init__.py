# SPDX-License-Identifier: GPL-2.0-or-later
"""Drivers by name, imported only in the worker that uses one: they are large and may block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from fencing import Device, FenceError, Secret

_DRIVERS = {"ipmi": ("fencing.drivers.ipmi", "IpmiDevice")}

Options = Mapping[str, str | int | float | bool]
NewDevice = Callable[[str, str, Secret, Options], Device]
"""Makes a device from address, user, password and the driver's own options."""

NAMES = frozenset(_DRIVERS)
"""Every driver there is, for the check of a configuration."""


def find(name: str) -> NewDevice:
    """Import the driver called `name`.

    Raises:
        FenceError: There is none of that name.
    """
    if name not in _DRIVERS:
        raise FenceError(f"no driver is called {name!r}; there are: {', '.join(sorted(NAMES))}")
    module, attribute = _DRIVERS[name]
    return cast("NewDevice", getattr(import_module(module), attribute))
