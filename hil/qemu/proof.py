# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold of a pair of virtual servers, and how long it may take them: see hil.proof."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from hil import proof, watch
from hil.labs import LabLacksError

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


def taken_over_by_outlets(lab: Lab, lost: Machine, gains: Machine, fault_ns: int) -> int:
    """Wait for a takeover that the outlets proved, and check it; return when it was seen (ns).

    S1, S9 as of `proof.taken_over`. S2 where somebody here knows what the PDU was told: to cut the
    power, and, when that was done and the power was off, something else, which is to read it.

    Raises:
        AssertionError: It was otherwise, or there was no takeover.
    """
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=gains.name)
    seen = lab.observer.wait_holder(gains.mac, TAKEOVER_LIMIT_S, after_ns=fault_ns)
    first_ns = min(int(seen["at_ns"]), int(served["at_ns"]))
    with suppress(LabLacksError):
        told = [e for e in lab.outlet_commands(lost.name) if fault_ns < e["at_ns"] < first_ns]
        orders = [e["at_ns"] for e in told if "off" in e["command"].lower()]
        assert orders, f"the outlets of {lost.name} were not switched off before: {told}"
        off = watch.power_entry(lab, lost, fault_ns - 1, what="power", state="off")
        assert off is not None, f"{lost.name} never lost its power"
        done_ns = max(off["at_ns"], orders[0])
        readings = [e for e in told if e["at_ns"] > done_ns and e["at_ns"] not in orders]
        assert readings, f"the outlets of {lost.name} were not read as off before: {told}"
    proof.held_alone(lab, gains, first_ns)
    assert not watch.orders(lab, fault_ns, gains), f"{gains.name} was shot at as well"
    return first_ns


def wait_back(lab: Lab, lost: Machine, fault_ns: int) -> None:
    """Wait until a server that was fenced has booted and is standby again.

    Raises:
        NotSeenError: It does not come back.
    """
    watch.wait_powered(lab, lost, fault_ns)
    lost.wait_up(fault_ns)
    watch.wait_standby(lost, RETURN_LIMIT_S)
