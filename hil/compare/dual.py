# SPDX-License-Identifier: GPL-2.0-or-later
"""Were two servers active at once? By what answered on the LAN, and by who served the client.

That the observer itself sees two holders is proved in hil/trials/test_observers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hil.record import Entry


def contested_ns(sightings: Sequence[Entry], old: str, new: str) -> int:
    """For how long an old holder called the address its own while the new one did, too.

    From the first sighting of the old one after the new one to the last change of hands: who only
    takes it back, and is alone from then on, contests nothing.

    Args:
        sightings: Of the address, in order.
        old: Hardware address of who held it first.
        new: Of who took it over.
    """
    seen = [entry for entry in sightings if entry["mac"] in {old, new}]
    began = next((at for at, entry in enumerate(seen) if entry["mac"] == new), len(seen))
    back = next((at for at in range(began, len(seen)) if seen[at]["mac"] == old), None)
    if back is None:
        return 0
    rest = seen[back:]
    changes = [int(b["at_ns"]) for a, b in pairwise(rest) if a["mac"] != b["mac"]]
    return changes[-1] - int(rest[0]["at_ns"]) if changes else 0


def served_by_both(answers: Sequence[Entry], old: str, new: str) -> int:
    """How many requests an old holder took after the new one began to serve, and before it ended.

    Args:
        answers: The client's, in order.
        old: The node that served first.
        new: The node that took over.
    """
    by_new = [at for at, entry in enumerate(answers) if entry["node"] == new]
    if not by_new:
        return 0
    between = answers[by_new[0] : by_new[-1]]
    return sum(entry["node"] == old for entry in between)
