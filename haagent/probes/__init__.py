# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the service answer, seen as a client sees it? One small protocol, one file a kind.

Both nodes ask. The holder of a group judges its own service by it (`resource.py`); for the other
node it is the second signal beside the heartbeat: a silent peer whose service still answers is
left alone for `serving_grace`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client would have met."""

    ok: bool
    detail: str
    """For the operator, e.g. "192.0.2.10:80: refused"."""


class Probe(Protocol):
    """One question to the service. It may be asked again and again, and be cancelled."""

    async def answers(self) -> Answer:
        """Ask once, within the probe's own limit; never raises, and leaves nothing open."""
