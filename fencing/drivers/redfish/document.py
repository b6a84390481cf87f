# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading JSON from BMCs that do not all keep to the schema: what is not there is None or ()."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]

LINK = "@odata.id"
"""The key under which a path stands (DSP0266 1.20, 9.5)."""
LINKS_MAX = 64
"""Of a list of links so many are looked at; blade chassis have up to 16 systems."""


def inside(resource: object, *steps: str | int) -> object:
    """What is found by these names and positions, None where the way ends."""
    for step in steps:
        if isinstance(resource, Mapping):
            resource = resource.get(step)
        elif isinstance(resource, list) and isinstance(step, int) and step < len(resource):
            resource = resource[step]
        else:
            return None
    return resource


def text(resource: object, *steps: str | int) -> str:
    """The string there, "" if there is none."""
    found = inside(resource, *steps)
    return found if isinstance(found, str) else ""


def texts(resource: object, *steps: str | int) -> tuple[str, ...]:
    """The strings in the list there."""
    found = inside(resource, *steps)
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def links(resource: object, *steps: str | int) -> list[str]:
    """The paths in the list of links there."""
    found = inside(resource, *steps)
    entries = found[:LINKS_MAX] if isinstance(found, list) else []
    return [path for path in (text(entry, LINK) for entry in entries) if path]
