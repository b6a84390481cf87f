# SPDX-License-Identifier: GPL-2.0-or-later
"""The watchdog as the last fence level (S2 e): no BMC and no PDU answers, an etcd stands by one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hil.agent import Agent
from hil.etcd import Etcd
from hil.network import Port
from hil.proof import held_alone
from hil.qemu.configuration import Settings
from hil.qemu.guest import Guest
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import RETURN_LIMIT_S, TAKEOVER_LIMIT_S, ready
from hil.trials.conftest import VirtualRoles
from hil.watch import wait_standby

pytestmark = pytest.mark.virtual("a configuration that the bench may change")
ETCD = "192.0.2.51"
UNFED_AFTER_S, TIMEOUT_S = 15, 10
LEAST_S = UNFED_AFTER_S + 2 * TIMEOUT_S
"""No takeover by this level is earlier than that."""
LIMIT_S = LEAST_S + 30.0 + TAKEOVER_LIMIT_S
"""The PDU's deadline is 30 s, the wait runs meanwhile; then come its margin and the takeover."""
SETTINGS = Settings(
    extra=f"""\
[watchdog]
mode = "required"
timeout = "{TIMEOUT_S}s"
fence = true
unfed_after = "{UNFED_AFTER_S}s"

[[witness]]
kind = "etcd"
name = "etcd"
endpoints = ["http://{ETCD}:2379"]
timeout = "1500ms"
lease = "40s"
"""
)


@pytest.fixture
def guarded(lab: VirtualLab, roles: VirtualRoles) -> Iterator[VirtualRoles]:
    """The pair with an etcd on its LAN, and watchdogs that are a fence."""
    assert roles
    cable = Port("lan", "eth0", "02:00:00:00:05:00", (f"{ETCD}/24",))
    with Etcd(lab.directory, [(ETCD, lab.wiring.attach("etcd", (cable,)))]):
        lab.configure(SETTINGS)
        yield ready(lab, limit_s=RETURN_LIMIT_S)


def test_pulled_cord_without_a_pdu_is_outwaited(lab: VirtualLab, guarded: VirtualRoles) -> None:
    """S2 e: server and BMC are dark, nothing can be read off: it takes the watchdog's time."""
    active, standby = guarded
    lab.supplies[active.name].pdu.line.deaf = True
    fault_ns = lab.pull_cord(active.name)
    served = lab.client.wait_served(LIMIT_S, after_ns=fault_ns, by=standby.name)
    assert (served["at_ns"] - fault_ns) / 1e9 > LEAST_S
    held_alone(lab, standby, served["at_ns"])


def test_active_without_peer_and_witness_is_reset(lab: VirtualLab, guarded: VirtualRoles) -> None:
    """S1, S2 e: it serves, and nobody can shoot it: its watchdog does; only then it is replaced."""
    active, standby = guarded
    lab.bmcs[active.name].kill()
    lab.supplies[active.name].pdu.line.deaf = True
    fault_ns = time.monotonic_ns()
    for guest in guarded:
        for wire in ("lan", "ring"):
            lab.wiring.lose_from(guest, wire, heartbeat_only=True)
    active.run("ip", "route", "add", "unreachable", f"{ETCD}/32")
    reset = wait_reset(lab, active, fault_ns)
    served = lab.client.wait_served(LIMIT_S, after_ns=reset, by=standby.name)
    assert reset < served["at_ns"]
    assert standby.mac not in lab.observer.holders(fault_ns, reset)
    held_alone(lab, standby, served["at_ns"])
    lab.wiring.heal()
    active.wait_up(fault_ns, RETURN_LIMIT_S)
    wait_standby(active, RETURN_LIMIT_S)


def test_active_that_loses_the_peer_alone_is_left_alone(
    lab: VirtualLab, guarded: VirtualRoles
) -> None:
    """S2 e: a dead standby costs the active nothing while the witness stands by it."""
    active, standby = guarded
    fault_ns = lab.power_off(standby.name)
    Agent(active).wait(
        lambda s: (
            s["peer_state"]["phase"] == "silent" and s["peer_state"]["silent_ms"] > LEAST_S * 1e3
        ),
        LIMIT_S,
        "a long silence",
    )
    held_alone(lab, active, fault_ns)


def wait_reset(lab: VirtualLab, guest: Guest, after_ns: int) -> int:
    """Wait until its watchdog has reset the server; return when."""
    entry = {}
    for event in ("WATCHDOG", "RESET"):
        entry = lab.power.wait(
            lambda e, event=event: (e["node"], e.get("event")) == (guest.name, event),  # type: ignore[misc]
            LIMIT_S,
            after_ns=after_ns,
            what=event,
        )
    return int(entry["at_ns"])
