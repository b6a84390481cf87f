# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that is looked at, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from haagent.doctor import (
    Line,
    Subject,
    addresses,
    clock,
    disk,
    fences,
    links,
    netconfig,
    own_bmc,
    pair,
    process,
    system,
    unknown,
    wires,
    witnesses,
)
from haagent.errors import EdgeError

Look = Callable[[Subject], Iterable[Line]]

LOOKS: tuple[tuple[str, Look], ...] = (
    ("pair", pair.look),
    ("links", links.look),
    ("wires", wires.look),
    ("fence", fences.look),
    ("own BMC", own_bmc.look),
    ("witnesses", witnesses.look),
    ("addresses", addresses.look),
    ("network managers", netconfig.look),
    ("process", process.look),
    ("clock", clock.look),
    ("disk", disk.look),
    ("system", system.look),
)
"""By the name under which one that fails is told."""


def examine(subject: Subject) -> Iterator[Line]:
    """All lines; a look that fails is told as what it could not tell."""
    for name, look in LOOKS:
        try:
            yield from look(subject)
        except (EdgeError, OSError) as error:
            yield unknown(name, f"could not be looked at: {error}", "ask as root")
