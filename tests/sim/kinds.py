# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of fault by name; each module of faults adds its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .world import World

Strike = Callable[["World", int, int], None]
"""Strikes that node for so many ns."""
KINDS: dict[str, Strike] = {}


def fault(strike: Strike) -> Strike:
    """Have it drawn under its own name."""
    KINDS[strike.__name__] = strike
    return strike


def set_later(target: object, name: str, value: object = False) -> None:  # noqa: FBT002 - the value
    """For a timer: mostly the end of a fault that lasts."""
    setattr(target, name, value)
