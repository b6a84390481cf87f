# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold of a pair of virtual servers, by those who have no part in it.

The proofs are those of the namespace bench; only the limits are longer here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from hil import proof, watch
from hil.agent import Agent, role, takeover_possible

if TYPE_CHECKING:
    from hil.lab import Lab
    from hil.machine import Machine
    from hil.qemu.guest import Guest
    from hil.qemu.lab import VirtualLab

READY_LIMIT_S = 90.0
"""From a resumption on; 5 to 10 s on an idle machine."""
TAKEOVER_LIMIT_S = 60.0
"""For a takeover that must come; 6 s on an idle machine."""
RETURN_LIMIT_S = 400.0
"""For a server that boots, loads its agent and is standby; 60 s on an idle machine."""


def ready(lab: VirtualLab, *, limit_s: float = READY_LIMIT_S) -> tuple[Guest, Guest]:
    """Wait until one node serves and the other could take over; return both, in this order.

    Raises:
        NotSeenError: It does not come to that.
    """
    answer = lab.client.wait_served(limit_s, after_ns=time.monotonic_ns())
    active = lab.machines[answer["node"]]
    standby = lab.other(active)
    for guest, wanted in ((active, "active"), (standby, "standby")):
        agent_of(guest).wait(
            lambda s, wanted=wanted: role(s) == wanted and takeover_possible(s),  # type: ignore[misc]
            limit_s,
            f"{wanted}, takeover possible",
        )
    return active, standby


def agent_of(guest: Guest) -> Agent:
    """The agent on a server, asked over ssh; the server is logged in to, if it was not yet."""
    guest.ssh.connected()
    return Agent(cast("Machine", guest))


def taken_over(lab: VirtualLab, lost: Guest, gains: Guest, fault_ns: int) -> int:
    """S1, S2, S9: see hil.proof; and the lost server's QEMU process is gone, or another one.

    Raises:
        AssertionError: One of these did not hold, or there was no takeover.
    """
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=gains.name)
    return proof.taken_over(_lab(lab), _machine(lost), _machine(gains), fault_ns)


def undisturbed(lab: VirtualLab, active: Guest, after_ns: int, *, gap_ms_max: float) -> None:
    """Nobody was shot, the address stayed, the client was served: see hil.proof.

    Raises:
        AssertionError: It was otherwise.
    """
    proof.undisturbed(_lab(lab), _machine(active), after_ns, gap_ms_max=gap_ms_max)


def held_alone(lab: VirtualLab, holder: Guest, after_ns: int) -> None:
    """Only one server answered for the address: see hil.proof.

    Raises:
        AssertionError: It was otherwise.
    """
    proof.held_alone(_lab(lab), _machine(holder), after_ns)


def wait_back(lab: VirtualLab, lost: Guest, fault_ns: int) -> None:
    """Wait until a server that was fenced has booted and is standby again.

    Raises:
        NotSeenError: It does not come back.
    """
    watch.wait_powered(_lab(lab), _machine(lost), fault_ns)
    lost.wait_up(fault_ns, RETURN_LIMIT_S)
    watch.wait_standby(_machine(lost), RETURN_LIMIT_S)


def shots(lab: VirtualLab, after_ns: int) -> list[tuple[str, str]]:
    """Every order that a BMC was given after a time: node and order."""
    return watch.orders(_lab(lab), after_ns)


def _lab(lab: VirtualLab) -> Lab:
    """The other bench's proofs ask only for what both have: client, observer, record of power."""
    return cast("Lab", lab)


def _machine(guest: Guest) -> Machine:
    """The same of a machine: its name, its hardware address and its agent's door."""
    return cast("Machine", guest)
