# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold of a pair of virtual servers, and how long it may take them: see hil.proof."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hil import proof, watch

if TYPE_CHECKING:
    from hil.labs import Lab, Machine
    from hil.pairs import Pair, S

READY_LIMIT_S = 90.0
"""From a resumption on; 5 to 10 s on an idle machine."""
TAKEOVER_LIMIT_S = 60.0
"""For a takeover that must come; 6 s on an idle machine."""
RETURN_LIMIT_S = 400.0
"""For a server that boots, loads its agent and is standby; 60 s on an idle machine."""


def ready(lab: Pair[S], *, limit_s: float = READY_LIMIT_S) -> tuple[S, S]:
    """Wait until one serves and the other could take over; return both, in this order."""
    return watch.ready(lab, limit_s=limit_s)


taken_over = partial(proof.taken_over, limit_s=TAKEOVER_LIMIT_S)
"""S1, S2, S9."""


def wait_back(lab: Lab, lost: Machine, fault_ns: int) -> None:
    """Wait until a server that was fenced has booted and is standby again.

    Raises:
        NotSeenError: It does not come back.
    """
    watch.wait_powered(lab, lost, fault_ns)
    lost.wait_up(fault_ns)
    watch.wait_standby(lost, RETURN_LIMIT_S)
