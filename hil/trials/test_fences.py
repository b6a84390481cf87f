# SPDX-License-Identifier: GPL-2.0-or-later
"""What has to cut the power is itself not well: slow, deaf, of another make, or a liar."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from hil.pdu.makes import MAKES
from hil.pdu.terminal import LineFaults
from hil.power import Behaviour, Fault
from hil.proof import held_alone, undisturbed
from hil.qemu.configuration import Settings
from hil.qemu.image import Image
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import TAKEOVER_LIMIT_S, ready, taken_over, taken_over_by_outlets
from hil.qemu.saved import resumed
from hil.qemu.supplies import APC, OUTLETS
from hil.trials.conftest import VirtualRoles

pytestmark = pytest.mark.virtual("BMCs and PDUs that fail when told to")

QUIET_S = 5.0
"""For what must not happen: longer than dead_after, in which it would."""
LET_GO_S = 5.0
"""For a thawed server to see that it stood still, and to stop what it served: 1 s on metal."""


def _behave(fault: Fault, seconds: float = 0.0) -> Callable[[VirtualLab, str], None]:
    def happen(lab: VirtualLab, name: str) -> None:
        lab.switches[name].behaviour = Behaviour(fault, seconds)

    return happen


def _other_password(lab: VirtualLab, name: str) -> None:
    bmc = lab.bmcs[name]
    bmc.kill()
    bmc.password = "changed-meanwhile"  # noqa: S105  # of the bench
    bmc.start()


BMC_FAULTS = {
    "a-minute-for-each-answer": _behave(Fault.SLOW, 60.0),
    "refuses-the-order": _behave(Fault.REFUSE),
    "does-nothing": _behave(Fault.ACK_ONLY),
    "other-password": _other_password,
}


@pytest.mark.parametrize("fault", BMC_FAULTS)
def test_bmc_that_proves_nothing_leaves_the_outlets(
    lab: VirtualLab, roles: VirtualRoles, fault: str
) -> None:
    """S2, S3: an order without a reading is no proof; both outlets are cut, and read as off."""
    active, standby = roles
    BMC_FAULTS[fault](lab, active.name)
    fault_ns = active.freeze()
    taken_over_by_outlets(lab, active, standby, fault_ns)


def test_bmc_that_restarts_in_the_midst_is_asked_again(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """S2, S3: it carries the order out and forgets the session: off is read in another one."""
    active, standby = roles
    lab.supplies[active.name].pdu.line.deaf = True  # or the outlets may be quicker
    fault_ns = active.freeze()
    lab.power.wait(
        lambda e: (e["what"], e["node"], e.get("state")) == ("power", active.name, "off"),
        TAKEOVER_LIMIT_S,
        after_ns=fault_ns,
        what="off",
    )
    lab.bmcs[active.name].kill()
    lab.bmcs[active.name].start()
    taken_over(lab, active, standby, fault_ns)


@pytest.mark.parametrize("make", [make for make in MAKES if make != APC])
def test_outlets_of_every_make_feed_the_server(
    servers: Image, build: Callable[[VirtualLab], VirtualLab], make: str
) -> None:
    """S2: the BMC is dead: both outlets of this make are cut, and read as off, in its dialect."""
    lab = build(resumed(servers, make=make))
    lab.power_on()
    ready(lab)
    lab.reload(Settings(pdu=make))
    active, standby = ready(lab)
    lab.bmcs[active.name].kill()
    fault_ns = active.freeze()
    taken_over_by_outlets(lab, active, standby, fault_ns)


def test_character_lost_on_the_serial_line_costs_no_proof(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """S2: an order that was mutilated on its way is refused by the PDU, and given again."""
    active, standby = roles
    lab.bmcs[active.name].kill()
    lab.supplies[active.name].pdu.line.lose = 5
    fault_ns = active.freeze()
    taken_over_by_outlets(lab, active, standby, fault_ns)


def test_noisy_serial_line_gives_no_takeover(lab: VirtualLab, roles: VirtualRoles) -> None:
    """S3: what is read through noise without end is no proof; when that ends, there is one."""
    active, standby = roles
    line = lab.supplies[active.name].pdu
    line.line.noise = 0.2
    lab.bmcs[active.name].kill()
    fault_ns = active.freeze()
    threading.Event().wait(TAKEOVER_LIMIT_S)  # nothing is to happen: no event to wait for
    assert standby.mac not in lab.observer.holders(fault_ns)
    line.line = LineFaults()
    taken_over_by_outlets(lab, active, standby, fault_ns)


def test_loss_of_one_supply_changes_nothing(lab: VirtualLab, roles: VirtualRoles) -> None:
    """A server with two supplies lives on with one, and nobody is shot for it."""
    active, _ = roles
    fault_ns = time.monotonic_ns()
    lab.supplies[active.name].pdu.relays.switch(OUTLETS[:1], on=False)
    threading.Event().wait(QUIET_S)  # nothing is to happen: no event to wait for
    undisturbed(lab, active, fault_ns, gap_ms_max=3000)
    assert (active.is_on, active.boots) == (True, 1)


@pytest.mark.sabotage
def test_lie_of_a_bmc_costs_seconds_and_not_a_split(lab: VirtualLab, roles: VirtualRoles) -> None:
    """S8: frozen, and off only by its BMC's word; thawed after the takeover, it lets go at once."""
    active, standby = roles
    lab.switches[active.name].behaviour = Behaviour(Fault.LIE)
    fault_ns = active.freeze()
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=standby.name)
    assert active.thaw()
    thawed_ns = time.monotonic_ns()
    threading.Event().wait(LET_GO_S)  # it is to fall silent: no event to wait for
    held_alone(lab, standby, thawed_ns + round(LET_GO_S * 1e9))
