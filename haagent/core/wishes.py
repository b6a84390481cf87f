# SPDX-License-Identifier: GPL-2.0-or-later
"""What operators have asked for and wait for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Confirming:
    """An operator's word is being checked against the virtual addresses."""

    request: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Switchover:
    """A hand-over that an operator waits for."""

    request: int
    group: int
    to_me: bool
    until_ns: int
