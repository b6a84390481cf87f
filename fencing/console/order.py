# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person asks for, whichever command line it came from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fencing.config import duration, forms
from fencing.console.exits import Exit, RefusedError

HOLD_S = 5.0
"""How long `cycle` leaves the power off once that is proved.

Source: the default reboot duration of APC's rack PDUs; IPMI 2.0, 28.3 "Chassis Control" asks for
1 s or more. It is not from a measurement of ours."""
LOCK_WAIT_S = 60.0
"""Whoever switches this node is waited for so long: two levels of the default deadline, and on."""

_DEADLINE = forms.span("1s", "5m")
"""As [[fence]] allows it."""


class Verb(StrEnum):
    """What can be done at the console."""

    STATUS = "status"
    OFF = "off"
    ON = "on"
    CYCLE = "cycle"
    TEST = "test"

    @property
    def cuts(self) -> bool:
        """Whether it takes the power away."""
        return self in {Verb.OFF, Verb.CYCLE}

    @property
    def gives(self) -> bool:
        """Whether it gives the power back."""
        return self in {Verb.ON, Verb.CYCLE}


@dataclass(frozen=True, slots=True)
class Order:
    """One command."""

    verb: Verb
    target: str | None = None
    """A node, a device or "peer"; None for what the verb is about by itself."""
    devices: tuple[str, ...] = ()
    """Only these of the target's devices, if any are named."""
    level: int | None = None
    """Only the devices of this level."""
    deadline_s: float | None = None
    """Limit of one device's attempt, in place of its own."""
    dry_run: bool = False
    """Say what would be done, and contact nobody."""
    yes: bool = False
    """Do not ask for the node's name."""
    as_json: bool = False
    this_node: bool = False
    """Even if the node is the one that we run on."""
    hold_s: float = HOLD_S
    lock_wait_s: float = LOCK_WAIT_S


def deadline_s(text: str | None) -> float | None:
    """The deadline that was asked for, such as "10s".

    Raises:
        RefusedError: It is none.
    """
    if text is None:
        return None
    try:
        return _DEADLINE(text) / duration.UNITS_NS["s"]
    except ValueError as error:
        raise RefusedError(Exit.USAGE, f"--deadline: {error}") from None
