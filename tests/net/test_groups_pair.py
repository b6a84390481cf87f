# SPDX-License-Identifier: GPL-2.0-or-later
"""An active-active pair: each node has its own group, and takes the other's when it must."""

from __future__ import annotations

import threading
import time

import pytest

from hil.agent import Agent, alarms, held_up, role
from hil.groups import BOTH, FAILBACK_S, MOVES_MAX, OTHER_VIP
from hil.lab import Lab
from hil.machine import Machine
from hil.power import Behaviour, Fault
from hil.proof import held_alone, never_both, taken_over
from hil.services import FAIL
from hil.watch import TAKEOVER_LIMIT_S, orders, power_entry, wait_powered

OPTIONS = BOTH
MOVE_LIMIT_S = 90.0
"""OCF agents are shell scripts, and nginx's sleeps a second in each stop."""
ON_ITS_WAY_NS = 200_000_000


@pytest.fixture
def home(lab: Lab) -> tuple[Machine, Machine]:
    """Both nodes, alpha first, each with the groups that prefer it."""
    alpha, beta = lab.machines["alpha"], lab.machines["beta"]
    Agent(beta).wait(lambda s: role(s, "data") == "active", MOVE_LIMIT_S, "data at home")
    for name in ("web", "other"):
        if role(Agent(beta).wait(lambda _: True, 1.0, "status"), name) == "active":
            assert Agent(beta).ask("switchover", group=name)["ok"]
        Agent(alpha).wait(lambda s, of=name: role(s, of) == "active", MOVE_LIMIT_S, "at home")  # type: ignore[misc]
    return alpha, beta


def carries(machine: Machine, *names: str) -> None:
    """Wait until these groups are active on a machine."""
    Agent(machine).wait(
        lambda s: all(role(s, name) == "active" for name in names), MOVE_LIMIT_S, f"{names}"
    )


def test_node_that_returns_gets_back_what_is_to_fail_back(
    lab: Lab, home: tuple[Machine, Machine]
) -> None:
    """The other node serves both groups; when this one is back, its own fails back to it."""
    alpha, beta = home
    observer = lab.observe(OTHER_VIP)
    observer.wait_holder(beta.mac, TAKEOVER_LIMIT_S)
    lost_ns = lab.power_off(beta.name)
    carries(alpha, "web", "data")
    took = observer.wait_holder(alpha.mac, TAKEOVER_LIMIT_S, after_ns=lost_ns)
    read_off = lab.power.wait(
        lambda e: e["what"] == "read" and e["state"] == "off" and e["node"] == beta.name,
        0,
        after_ns=lost_ns,
    )
    assert read_off["at_ns"] < took["at_ns"], "taken over without proof"
    held_alone(lab, alpha, lost_ns)
    back = wait_powered(lab, beta, lost_ns)
    assert back["at_ns"] > took["at_ns"], "power came back before the takeover was complete"
    Agent(beta).wait(lambda s: s["peer_state"]["phase"] == "alive", TAKEOVER_LIMIT_S, "back")
    home_again = observer.wait_holder(beta.mac, MOVE_LIMIT_S, after_ns=took["at_ns"])
    assert (home_again["at_ns"] - took["at_ns"]) / 1e9 > FAILBACK_S
    carries(beta, "data")
    assert observer.holders(took["at_ns"] - 1) == [alpha.mac, beta.mac]
    held_alone(lab, alpha, lost_ns)
    assert not orders(lab, lost_ns, alpha), "alpha was shot at as well"


def test_node_that_returns_does_not_get_back_what_is_never_to(
    lab: Lab, home: tuple[Machine, Machine]
) -> None:
    """The other node serves all groups; those with `failback = "never"` stay there."""
    alpha, beta = home
    observer = lab.observe(OTHER_VIP)
    lost_ns = lab.power_off(alpha.name)
    first_ns = taken_over(lab, alpha, beta, lost_ns)
    carries(beta, "web", "data", "other")
    wait_powered(lab, alpha, lost_ns)
    Agent(alpha).wait(lambda s: s["peer_state"]["phase"] == "alive", TAKEOVER_LIMIT_S, "back")
    threading.Event().wait(FAILBACK_S + 1)  # nothing is to happen: no event to wait for
    held_alone(lab, beta, first_ns)
    assert observer.holders(lost_ns + ON_ITS_WAY_NS) == [beta.mac]


def test_parted_nodes_do_not_shoot_each_other(lab: Lab, home: tuple[Machine, Machine]) -> None:
    """S9: both would gain, so the first node shoots at once, and the second one never does."""
    alpha, beta = home
    observer = lab.observe(OTHER_VIP)
    # Time enough for the second node to shoot, if it did not wait.
    lab.switches[beta.name].behaviour = Behaviour(Fault.OFF_LATE, 1.0)
    since_ns = time.monotonic_ns()
    for machine in home:
        lab.network.lose_from(machine.name, "lan", heartbeat_only=True)
        lab.network.lose_from(machine.name, "ring")
    carries(alpha, "web", "data", "other")
    assert not orders(lab, since_ns, alpha), "the second node shot as well"
    off = power_entry(lab, beta, since_ns, what="read", state="off")
    took = observer.wait_holder(alpha.mac, TAKEOVER_LIMIT_S, after_ns=since_ns)
    assert off is not None
    assert off["at_ns"] < took["at_ns"], "taken over without proof"
    lab.network.heal()
    wait_powered(lab, beta, since_ns)
    Agent(beta).wait(lambda s: s["peer_state"]["phase"] == "alive", TAKEOVER_LIMIT_S, "back")
    held_alone(lab, alpha, since_ns)
    assert not orders(lab, since_ns, alpha), "the second node shot as well"


def test_restless_group_stays_put_and_alarms(lab: Lab, home: tuple[Machine, Machine]) -> None:
    """After `max_moves` changes of node a failure makes no other one, and somebody is told."""
    alpha, beta = home
    for source, target in ((alpha, beta), (beta, alpha)):
        assert Agent(source).ask("switchover", group="other")["ok"]
        carries(target, "other")
    since_ns = time.monotonic_ns()
    lab.services.spoil(alpha, "start", FAIL, name="other")
    lab.services.kill(alpha, "other")
    Agent(alpha).wait(
        lambda s: held_up(s, "other") == "start_failed" and "too_many_moves_other" in alarms(s),
        TAKEOVER_LIMIT_S,
        f"not moved after {MOVES_MAX} moves, and told",
    )
    assert lab.services.told(since_ns, "start", beta, name="other") == []
    lab.services.mend(alpha)
    lab.services.wait(alpha, "start", since_ns, TAKEOVER_LIMIT_S, what="0", name="other")
    carries(alpha, "other")
    never_both(lab, "other")
