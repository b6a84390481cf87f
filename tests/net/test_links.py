# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeat links are lost, one, all, and in one direction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from hil.agent import Agent, link_state, takeover_possible
from hil.lab import Lab
from hil.machine import Machine
from hil.network import Network
from hil.pair import Options
from hil.proof import taken_over, undisturbed
from hil.watch import TAKEOVER_LIMIT_S, ready, wait_powered, wait_standby

Roles = tuple[Machine, Machine]
WATCH_S = 3.0
"""Three times dead_after: how long it is watched that nothing happens."""


def lose_heartbeats(network: Network, *machines: Machine) -> None:
    """No heartbeat of these machines arrives; all else does."""
    for machine in machines:
        network.lose_from(machine.name, "lan", heartbeat_only=True)
        network.lose_from(machine.name, "ring")


@pytest.mark.parametrize("silently", [False, True])
def test_one_link_lost_is_named_and_changes_nothing(
    lab: Lab, roles: Roles, *, silently: bool
) -> None:
    """A lost ring, by carrier or silently, is in both nodes' status; no roles change."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    if silently:
        lab.network.lose_from(active.name, "ring")
        lab.network.lose_from(standby.name, "ring")
    else:
        lab.network.cut(active.name, "ring")
    for machine in roles:
        status = Agent(machine).wait(
            lambda s: link_state(s, "ring") != "up", TAKEOVER_LIMIT_S, "ring lost"
        )
        assert link_state(status, "lan") == "up"
        assert status["condition"] == "degraded"
        assert takeover_possible(status)
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    undisturbed(lab, active, since_ns, gap_ms_max=500)
    lab.network.heal()
    for machine in roles:
        Agent(machine).wait(
            lambda s: link_state(s, "ring") == "up", TAKEOVER_LIMIT_S, "ring healed by itself"
        )


def test_lan_heartbeats_lost_alone_change_nothing(lab: Lab, roles: Roles) -> None:
    """The ring alone carries the pair when multicast on the LAN is lost."""
    active, _ = roles
    since_ns = time.monotonic_ns()
    for machine in roles:
        lab.network.lose_from(machine.name, "lan", heartbeat_only=True)
    for machine in roles:
        Agent(machine).wait(lambda s: link_state(s, "lan") != "up", TAKEOVER_LIMIT_S, "lan lost")
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    undisturbed(lab, active, since_ns, gap_ms_max=500)


def test_all_links_lost_shoots_the_active_only(lab: Lab, roles: Roles) -> None:
    """S9: in a full partition exactly one node is shot, by the standby; the other never is."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    lose_heartbeats(lab.network, active, standby)
    taken_over(lab, active, standby, fault_ns)
    wait_powered(lab, active, fault_ns)
    lab.network.heal()
    wait_standby(active)


def test_partitioned_peer_that_serves_gets_its_grace(build: Callable[[Options], Lab]) -> None:
    """A silent peer whose service answers is left alone for serving_grace, and then shot."""
    grace_s = 3
    pair = build(Options(probe=True, timing={"serving_grace": f"{grace_s}s"}))
    pair.power_on()
    active, standby = ready(pair)
    fault_ns = time.monotonic_ns()
    lose_heartbeats(pair.network, active, standby)
    Agent(standby).wait(
        lambda s: "still_serving" in str(s["peer_state"]["blocked"]), TAKEOVER_LIMIT_S, "reason"
    )
    first_ns = taken_over(pair, active, standby, fault_ns)
    assert first_ns - fault_ns > grace_s * 1_000_000_000


def test_one_way_loss_on_one_link_is_named_by_both(lab: Lab, roles: Roles) -> None:
    """A link that works in one direction only is degraded on both nodes, and nobody is shot."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    lab.network.lose_from(active.name, "ring")
    for machine in roles:
        status = Agent(machine).wait(
            lambda s: "one-way" in str(s["links"]), TAKEOVER_LIMIT_S, "one-way loss named"
        )
        assert link_state(status, "ring") == "degraded"
    assert Agent(standby).status() is not None
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    undisturbed(lab, active, since_ns, gap_ms_max=500)


def test_active_that_cannot_send_is_silent(lab: Lab, roles: Roles) -> None:
    """Whoever cannot send is treated as silent: an active unheard on all links is replaced."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    lose_heartbeats(lab.network, active)
    taken_over(lab, active, standby, fault_ns)
    wait_powered(lab, active, fault_ns)
    lab.network.heal()
    wait_standby(active)


def test_standby_that_cannot_send_is_left_alone(lab: Lab, roles: Roles) -> None:
    """S9: nobody is shot for a standby that is not heard; it still hears the active."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    lose_heartbeats(lab.network, standby)
    Agent(standby).wait(
        lambda s: "peer_does_not_hear_us" in str(s["takeover"]["reasons"]),
        TAKEOVER_LIMIT_S,
        "that it is not heard",
    )
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    undisturbed(lab, active, since_ns, gap_ms_max=500)


def test_isolated_standby_does_not_shoot(lab: Lab, roles: Roles) -> None:
    """S6: a standby that lost its LAN and the ring judges itself first and shoots nobody."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    lab.network.cut(standby.name, "lan")
    lab.network.cut(standby.name, "ring")
    Agent(standby).wait(
        lambda s: "isolated" in str(s["peer_state"]["blocked"]), TAKEOVER_LIMIT_S, "isolated"
    )
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    undisturbed(lab, active, since_ns, gap_ms_max=500)


def test_active_without_its_lan_gives_the_service_away(lab: Lab, roles: Roles) -> None:
    """An active whose LAN cable is pulled hands over, or is fenced; the client is served again."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    lab.network.cut(active.name, "lan")
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=standby.name)
    lab.network.heal()
    healed_ns = time.monotonic_ns()
    wait_standby(active)
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=healed_ns, by=standby.name)
    lab.observer.wait_holder(standby.mac, TAKEOVER_LIMIT_S, after_ns=healed_ns)
    assert lab.observer.holders(healed_ns) == [standby.mac]


def test_other_transport_of_the_lan(build: Callable[[Options], Lab]) -> None:
    """Unicast is a first-class choice: the same pair without multicast fails over."""
    pair = build(replace(Options(), unicast=True))
    pair.power_on()
    active, standby = ready(pair)
    taken_over(pair, active, standby, active.freeze().at_ns)
