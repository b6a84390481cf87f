# SPDX-License-Identifier: GPL-2.0-or-later
"""When a level should be practised: what is too long ago, and when a drill may begin by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from haagent.drill.archive import Entry
from haagent.drill.kinds import LEVELS, Kind

DAY_S = 86_400.0
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Hours:
    """A stretch of some days of the week, by the machine's own wall clock."""

    days: frozenset[int]
    """0 is Monday."""
    begin: time
    end: time
    """Not part of it."""

    def have(self, moment: datetime) -> bool:
        """Whether a moment lies in it."""
        return moment.weekday() in self.days and self.begin <= moment.time() < self.end


@dataclass(frozen=True, slots=True)
class Blackout:
    """Days on which nothing is practised."""

    first: date
    last: date
    """Part of it."""


@dataclass(frozen=True, slots=True)
class Practice:
    """What is to be practised how often, and when."""

    level: Kind | None = None
    """What the timer runs, if anything."""
    every_s: float = 90 * DAY_S
    random_delay_s: float = 14 * DAY_S
    hours: tuple[Hours, ...] = ()
    """Empty: at any time."""
    blackouts: tuple[Blackout, ...] = ()
    prove_every_s: float = 90 * DAY_S

    def overdue(self, proofs: Mapping[Kind, Entry], now_s: float) -> list[dict[str, str]]:
        """What of the chosen level and those below it was never proven, or too long ago.

        Nothing chosen: what was proven once is to stay so.

        Args:
            proofs: The last drill of each kind that was passed.
            now_s: Wall time, seconds since the epoch.
        """
        chosen = LEVELS[: self.level.level + 1] if self.level is not None else ()
        found = []
        for kind in chosen or [kind for kind in LEVELS if kind in proofs]:
            entry = proofs.get(kind)
            age_s = None if entry is None else now_s - entry.began.timestamp()
            if age_s is None or age_s > self.prove_every_s:
                ago = "never" if age_s is None else f"{age_s / DAY_S:.0f} days ago"
                text = f"last proven by a drill: {kind}: {ago}; haagent drill run {kind}"
                found.append({"code": f"drill_due_{kind}", "text": text})
        return found

    def not_now(self, moment: datetime) -> str | None:
        """Why nothing is practised at a moment (local time); None if it may be."""
        for blackout in self.blackouts:
            if blackout.first <= moment.date() <= blackout.last:
                return f"blackout from {blackout.first} to {blackout.last}"
        if self.hours and not any(hours.have(moment) for hours in self.hours):
            return f"outside the working hours ({moment:%a %H:%M})"
        return None

    def due(self, last: datetime | None, cluster: str) -> datetime | None:
        """From when on the timer's drill is due; None: at once, it was never tried.

        The random delay is drawn from the cluster's name and the drill before, so that both nodes
        and every look at the clock draw the same one.
        """
        if last is None:
            return None
        seed = hashlib.sha256(f"{cluster} {last.isoformat()}".encode()).digest()
        fraction = int.from_bytes(seed[:8], "big") / 2**64
        return last + timedelta(seconds=self.every_s + fraction * self.random_delay_s)
