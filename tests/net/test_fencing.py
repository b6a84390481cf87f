# SPDX-License-Identifier: GPL-2.0-or-later
"""BMCs that are dead, refuse, are late or lie: no takeover without proof."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from hil.agent import Agent, blocked, takeover_possible
from hil.lab import Lab
from hil.machine import Machine
from hil.pair import Options, bmc_address
from hil.power import Behaviour, Fault
from hil.proof import held_alone, taken_over
from hil.watch import TAKEOVER_LIMIT_S, orders, ready

Roles = tuple[Machine, Machine]
ON_ITS_WAY_NS = 200_000_000
"""What had been sent when the power went."""
UNPROVED_LIMIT_S = 60.0
"""Until a fence with a deadline of 8 s is given up and told."""


def unproved(lab: Lab, standby: Machine) -> None:
    """Wait until the standby says that it has no proof; it may not have taken over."""
    status = Agent(standby).wait(
        lambda s: "fence_unconfirmed" in blocked(s), UNPROVED_LIMIT_S, "fence_unconfirmed"
    )
    assert status["groups"][0]["role"] != "active"
    assert status["condition"] == "critical"
    assert status["alarms"]
    assert lab.machines[standby.name].mac not in lab.observer.holders()[-1:]


def test_dead_bmc_gives_no_takeover_until_the_operator_speaks(
    build: Callable[[Options], Lab],
) -> None:
    """S2, S3: power and BMC lost together: nobody serves until confirm-off, then the standby."""
    pair = build(Options(timing={"fence_retry": "1s"}, check_every="1s"))
    pair.power_on()
    active, standby = ready(pair)
    assert pair.observer.holders()[-1:] == [active.mac]
    pair.network.lose_to(bmc_address(active.name))
    fault_ns = pair.power_off(active.name)
    Agent(standby).wait(
        lambda s: "fence_unconfirmed" in blocked(s), UNPROVED_LIMIT_S, "fence_unconfirmed"
    )
    assert pair.observer.sightings(fault_ns + ON_ITS_WAY_NS) == []
    reply = Agent(standby).ask("confirm-off")
    assert reply["ok"], reply["message"]
    served = pair.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=standby.name)
    held_alone(pair, standby, served["at_ns"])


def test_confirm_off_is_refused_while_the_peer_lives(lab: Lab, roles: Roles) -> None:
    """S2: the operator's word is not taken against the peer's own frames."""
    active, standby = roles
    reply = Agent(standby).ask("confirm-off")
    assert not reply["ok"]
    assert reply["message"]
    assert lab.observer.holders()[-1:] == [active.mac]


@pytest.mark.parametrize("fault", [Fault.ACK_ONLY, Fault.REFUSE])
def test_no_proof_no_takeover(lab: Lab, roles: Roles, fault: Fault) -> None:
    """S3: a power-off that is refused, or acknowledged and not done, is no proof."""
    active, standby = roles
    lab.switches[active.name].behaviour = Behaviour(fault)
    frozen = active.freeze()
    unproved(lab, standby)
    assert orders(lab, frozen.at_ns, active), "no order was given at all"
    held_alone(lab, active, frozen.at_ns)
    lab.switches[active.name].behaviour = Behaviour()  # the next attempt succeeds
    taken_over(lab, active, standby, frozen.at_ns)


def test_late_power_off_is_waited_for(lab: Lab, roles: Roles) -> None:
    """S2: an order that is carried out two seconds late delays the takeover as long."""
    active, standby = roles
    lab.switches[active.name].behaviour = Behaviour(Fault.OFF_LATE, 2.0)
    frozen = active.freeze()
    taken_over(lab, active, standby, frozen.at_ns)


def test_slow_bmc_is_waited_for(lab: Lab, roles: Roles) -> None:
    """A BMC that takes 0.3 s for every answer makes the takeover slower, not wrong."""
    active, standby = roles
    lab.switches[active.name].behaviour = Behaviour(Fault.SLOW, 0.3)
    frozen = active.freeze()
    taken_over(lab, active, standby, frozen.at_ns)


def test_lying_bmc_is_distrusted(build: Callable[[Options], Lab]) -> None:
    """S8: a peer that was read as off and still answers for the address keeps it; alarm."""
    pair = build(Options(check_every="1s"))
    pair.power_on()
    active, standby = ready(pair)
    pair.switches[active.name].behaviour = Behaviour(Fault.LIE)
    frozen = active.freeze()
    pair.power.wait(
        lambda e: e["what"] == "read" and e["state"] == "off" and e["node"] == active.name,
        TAKEOVER_LIMIT_S,
        after_ns=frozen.at_ns,
        what="the lie",
    )
    Agent(standby).wait(
        lambda s: "vip_answers" in str(s) or "fence_distrusted" in str(s),
        TAKEOVER_LIMIT_S,
        "the named reason",
    )
    held_alone(pair, active, frozen.at_ns)
    active.thaw(frozen)
    threading.Event().wait(2.0)  # it lives again: still nobody may take over
    held_alone(pair, active, frozen.at_ns)


def test_wrong_password_is_known_before_it_is_needed(build: Callable[[Options], Lab]) -> None:
    """A BMC that would refuse us is shown while all is well; needed, it gives no takeover."""
    pair = build(Options(wrong_password="alpha", check_every="1s"))  # noqa: S106  # a node's name
    pair.power_on()
    pair.client.wait_served(TAKEOVER_LIMIT_S, by="alpha")
    alpha, beta = pair.machines["alpha"], pair.machines["beta"]
    status = Agent(beta).wait(
        lambda s: (
            "fence_not_ready" in str(s["takeover"]["reasons"])
            and "password" in str(s["fence"]).lower()
        ),
        TAKEOVER_LIMIT_S,
        "the bad password",
    )
    assert not takeover_possible(status)
    assert Agent(beta).call("status").returncode == 2
    fault_ns = pair.power_off(alpha.name)
    threading.Event().wait(4.0)  # nothing is to happen: no event to wait for
    assert pair.observer.sightings(fault_ns + ON_ITS_WAY_NS) == []
    assert orders(pair, fault_ns) == []
