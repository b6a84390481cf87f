# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine behind an emulated BMC: what it is, and what the BMC says that it is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

HONEST = object()
"""For `Faults.says`: say what is."""


@dataclass(slots=True)
class Faults:
    """What is wrong with a BMC; every field can be changed while it runs."""

    answer_after_s: float = 0.0
    """Every answer takes so long."""
    silent: bool = False
    """It takes requests and never answers."""
    mute: bool = False
    """It takes TCP connections and never answers in TLS."""
    drip_s: float = 0.0
    """Pause between the bytes of every answer."""
    not_ready: bool = False
    """Every answer is 503."""
    garbage: bytes = b""
    """The body of every answer."""
    garbage_status: int = 200
    moved_to: str = ""
    """Every answer sends the client there (302)."""
    sessions_max: int = 8
    """Places in the session table."""
    denied: bool = False
    """Every reading is answered with 401, although the session is good."""
    forbidden: bool = False
    """Orders are answered with 403."""
    ignored: bool = False
    """Orders are taken and not carried out."""
    late_s: float = 0.0
    """Orders are taken and carried out so much later."""
    lie_s: float = 0.0
    """It says Off at once, and the machine goes off so much later."""
    powering_s: float = 0.0
    """It says PoweringOff for so long before the machine is off."""
    stuck_s: float = 0.0
    """An order is carried out so much later, and only then answered."""
    lost: bool = False
    """An order is carried out, and the connection cut before its answer."""
    refused: bool = False
    """An order is carried out and answered with 500."""
    says: Any = HONEST
    """PowerState, whatever is."""


@dataclass(slots=True)
class Machine:
    """One system, on at first. Delays need no timer: its state is a matter of the time."""

    uuid: UUID | str
    extra: dict[str, Any] = field(default_factory=dict)
    """More for its resource, or other values."""
    _on: bool = field(default=True, init=False)
    _until_s: float = field(default=0.0, init=False)
    """The last change takes effect then."""
    _lying: bool = field(default=False, init=False)
    _passing: bool = field(default=False, init=False)

    @property
    def power(self) -> str:
        """`on` or `off`: what the machine is, whatever the BMC says."""
        return "on" if self._on is (time.monotonic() >= self._until_s) else "off"

    @power.setter
    def power(self, value: str) -> None:
        self._on, self._until_s = value == "on", 0.0

    def state(self) -> str:
        """What its BMC believes."""
        changing = time.monotonic() < self._until_s
        if changing and self._lying:
            return "On" if self._on else "Off"
        if changing and self._passing:
            return "PoweringOn" if self._on else "PoweringOff"
        return self.power.capitalize()

    def order(self, reset_type: str, faults: Faults) -> bool:
        """Carry out a reset type, with what is wrong: False if it is so already."""
        on = reset_type in ("On", "ForceOn")
        if (self.power == "on") is on:
            return False
        if not faults.ignored and self._on is not on:  # Else that change is on its way.
            self._lying, self._passing = faults.lie_s > 0, faults.powering_s > 0
            delay_s = faults.late_s + faults.lie_s + faults.powering_s + faults.stuck_s
            self._on, self._until_s = on, time.monotonic() + (0.0 if on else delay_s)
        return True
