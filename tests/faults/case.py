# SPDX-License-Identifier: GPL-2.0-or-later
"""What one row of the table is: emulated hardware, a fault, and when the fault begins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from fencing import DeviceSettings
from fencing.levels import Fence
from fencing.verify import Happened

Emulator = TypeVar("Emulator")


@dataclass
class Rig(Generic[Emulator]):
    """Emulated hardware that is up, and the settings that reach it."""

    emulator: Emulator
    devices: tuple[DeviceSettings, ...]
    runs: Callable[[], bool]
    """Whether the emulated machine has power now, whatever its devices say."""
    orders: Callable[[], int]
    """How many orders to cut the power have arrived, carried out or not."""
    hang: Callable[[], None] = lambda: None
    """Has the machine itself hang, where it is a process."""
    sessions: Callable[[], int] = lambda: 0
    """How many sessions the device holds."""
    line_free: Callable[[], bool] = lambda: True
    """Whether somebody else could use its serial line now."""
    own_sessions: Callable[[], frozenset[int]] = frozenset
    """The kernel's session ids of the emulator's own processes."""
    fence: Fence | None = None
    """What is under test, once it has started."""


Act = Callable[[Rig[Any]], object]


def nothing(rig: Rig[Any]) -> None:
    """Do nothing."""


def is_another(rig: Rig[Any]) -> None:
    """From now on what the hardware switches is not the machine, which therefore runs."""
    rig.runs = lambda: True


@dataclass(frozen=True)
class Case:
    """One row."""

    section: str
    """The driver, or a part of it, as the page is divided."""
    fault: str
    """What is wrong, as the operator would put it; of its section there is one of each."""
    build: Callable[[Path], AbstractContextManager[Rig[Any]]]
    """Puts the hardware up in a folder of its own, and takes it down."""
    before: Act | None = None
    """Breaks it before anybody speaks to it. The fence is then not warm, and what `status` says
    is what it says before the attempt."""
    strike: Act | None = None
    """Breaks it once the fence is warm; `status` is then asked again after the attempt."""
    steps: tuple[tuple[Happened, Act], ...] = ()
    """Breaks it in the midst: each is done once, when such a step is first told of, in order."""
    heal: Act = nothing
    """Ends the fault afterwards, where the emulator could else not be looked into."""
    ends_well: bool = False
    """Whether the fault must not keep the fence from its proof. Such a row is given so much time
    that a busy machine changes nothing."""
    lie: str = ""
    """Of a device whose lie is believed: what catches it and what does not."""
    note: str = ""
    """What the row does not say by itself."""
    then: str = ""
    """What the operator does, where no finding says it."""
    varies: bool = False
    """Whether the fence's last words depend on the moment at which the deadline comes."""
    heard: bool = False
    """Whether the machine is heard all the time."""
    goes_off_later: bool = False
    """Whether the machine goes off by itself some time after the attempt."""
    sessions_left: int = 0
    """How many sessions stay although no worker was killed; the note says why they must."""
    kills_worker: bool = False
    """Whether the fault itself kills a worker of ours."""

    @property
    def name(self) -> str:
        """One name among all."""
        return f"{self.section}: {self.fault}"
