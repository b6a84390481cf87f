# SPDX-License-Identifier: GPL-2.0-or-later
"""One failure meets another: the agent dies in the middle of a takeover, the fence meets a boot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from hil.power import Behaviour, Fault
from hil.qemu.lab import VirtualLab
from hil.qemu.mishaps import mend, two_at_once
from hil.qemu.proof import (
    RETURN_LIMIT_S,
    TAKEOVER_LIMIT_S,
    agent_of,
    held_alone,
    ready,
    taken_over,
)
from hil.qemu.soak import SETTLE_S
from hil.record import Entry
from hil.trials.conftest import Roles


def _ordered(entry: Entry) -> bool:
    return (entry["what"], entry.get("order")) == ("order", "power_off")


def _off(entry: Entry) -> bool:
    return (entry["what"], entry.get("state")) == ("power", "off")


def _read_off(entry: Entry) -> bool:
    return (entry["what"], entry.get("state")) == ("read", "off")


@pytest.mark.parametrize("phase", [_ordered, _off, _read_off], ids=["ordered", "off", "read-off"])
def test_agent_killed_during_its_takeover_leaves_one_holder(
    lab: VirtualLab, roles: Roles, phase: Callable[[Entry], bool]
) -> None:
    """S1: the standby's agent is killed while it fences: never two; with power for both, one."""
    active, standby = roles
    fault_ns = active.freeze()
    lab.power.wait(
        lambda e: e["node"] == active.name and phase(e),
        TAKEOVER_LIMIT_S,
        after_ns=fault_ns,
        what="that phase",
    )
    standby.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "haagent.service")
    threading.Event().wait(SETTLE_S)  # its next agent, or its watchdog, comes within
    holder, _ = mend(lab)
    held_alone(lab, holder, time.monotonic_ns())
    assert two_at_once(lab) == []


def test_taker_that_dies_right_after_is_replaced_by_the_first(
    lab: VirtualLab, roles: Roles
) -> None:
    """The new active loses its power as soon as it serves; the first one boots and takes over."""
    first, second = roles
    fault_ns = first.crash()
    taken_over(lab, first, second, fault_ns)
    first.wait_up(fault_ns)
    ready(lab, limit_s=RETURN_LIMIT_S)
    again_ns = lab.power_off(second.name)
    taken_over(lab, second, first, again_ns)


def test_fence_that_comes_late_meets_a_booting_server(lab: VirtualLab, roles: Roles) -> None:
    """S2: the active boots while its fence is under way: off is waited for, then taken."""
    active, standby = roles
    lab.switches[active.name].behaviour = Behaviour(Fault.OFF_LATE, 4.0)
    fault_ns = time.monotonic_ns()
    active.qmp.order("system_reset")
    taken_over(lab, active, standby, fault_ns)


def test_both_lose_their_power_and_one_comes_back(lab: VirtualLab, roles: Roles) -> None:
    """S5: both dark; the one that boots alone serves nothing; with the other, one serves."""
    active, standby = roles
    for guest in roles:
        lab.power_off(guest.name)
    dark_ns = time.monotonic_ns()
    lab.power_on(standby.name)
    standby.wait_up(dark_ns)
    agent_of(standby).wait(
        lambda s: "peer_never_heard" in {r["code"] for r in s["takeover"]["reasons"]},
        RETURN_LIMIT_S,
        "peer never heard",
    )
    assert lab.observer.holders(dark_ns) == []
    lab.power_on(active.name)
    active.wait_up(dark_ns)
    holder, _ = ready(lab, limit_s=RETURN_LIMIT_S)
    held_alone(lab, holder, time.monotonic_ns())
    assert len(lab.observer.holders(dark_ns)) == 1
