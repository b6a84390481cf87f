# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold of a pair of virtual servers, and how long it may take them: see hil.proof."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from hil import proof, watch
from hil.labs import LabLacksError
from hil.qemu.furniture import STARTING, STOPPED

if TYPE_CHECKING:
    from hil.labs import Lab, Machine
    from hil.pairs import Pair, S
    from hil.record import Entry

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


def never_both(lab: Lab) -> None:
    """Check that the service never ran, or may have run, on two virtual servers (S1, S2).

    It may run from the beginning of its start until it has been stopped, or its server was reset
    or has lost its power: one that stands still, or cannot be seen, may go on at any moment.

    Raises:
        AssertionError: It did.
    """
    told = lab.power.since(lab.began_ns)
    turns = [(e["at_ns"], e["node"], turn) for e in told if (turn := _turn(e)) is not None]
    holders = lab.observer.sightings(lab.began_ns)
    running = {
        machine.name
        for machine in lab.machines.values()
        if holders and machine.mac == holders[0]["mac"]
        # A pair that was kept goes on: the service had been started before that.
        if not any(node == machine.name and at_ns < holders[0]["at_ns"] for at_ns, node, _ in turns)
    }
    proof.one_at_a_time(turns, running)


def _turn(entry: Entry) -> bool | None:
    """Whether the service may run from this on; None if it says nothing of that."""
    match entry:
        case {"what": "bell", "line": line}:
            return {STARTING: True, STOPPED: False}.get(line)
        case {"what": "power", "state": "off"} | {"what": "qemu", "event": "RESET"}:
            return False
        case _:
            return None


def taken_over_by_outlets(lab: Lab, lost: Machine, gains: Machine, fault_ns: int) -> int:
    """Wait for a takeover that the outlets proved, and check it; return when it was seen (ns).

    S1, S9 as of `proof.taken_over`. S2 where somebody here knows what the PDU was told: to cut the
    power, and, when that was done and the power was off, something else, which is to read it.

    Raises:
        AssertionError: It was otherwise, or there was no takeover.
    """
    first_ns = proof.first_seen(lab, gains, fault_ns, TAKEOVER_LIMIT_S)
    with suppress(LabLacksError):
        told = [e for e in lab.outlet_commands(lost.name) if fault_ns < e["at_ns"] < first_ns]
        orders = [e["at_ns"] for e in told if "off" in e["command"].lower()]
        assert orders, f"the outlets of {lost.name} were not switched off before: {told}"
        off = watch.power_entry(lab, lost, fault_ns - 1, what="power", state="off")
        assert off is not None, f"{lost.name} never lost its power"
        done_ns = max(off["at_ns"], orders[0])
        readings = [e for e in told if e["at_ns"] > done_ns and e["at_ns"] not in orders]
        assert readings, f"the outlets of {lost.name} were not read as off before: {told}"
    proof.gained_alone(lab, gains, fault_ns, first_ns)
    return first_ns


def wait_back(lab: Lab, lost: Machine, fault_ns: int) -> None:
    """Wait until a server that was fenced has booted and is standby again.

    Raises:
        NotSeenError: It does not come back.
    """
    watch.wait_powered(lab, lost, fault_ns)
    lost.wait_up(fault_ns)
    watch.wait_standby(lost, RETURN_LIMIT_S)
