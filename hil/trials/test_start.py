# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers that get power: both, one alone, and one whose agent cannot work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from hil.qemu.lab import VirtualLab
from hil.qemu.proof import RETURN_LIMIT_S, agent_of, held_alone, ready, shots, undisturbed
from hil.record import NotSeenError
from hil.trials.conftest import Roles

WAIT_S = 20.0
"""For what must not happen: many times dead_after."""


def test_cold_start_of_both_gives_one_holder(build: Callable[..., VirtualLab]) -> None:
    """S2 (d): both get power at one moment; they agree on one, and nobody is shot."""
    lab = build(cold=True)
    at_ns = lab.power_on()
    for guest in lab.machines.values():
        guest.wait_up(at_ns)
    active, _ = ready(lab, limit_s=RETURN_LIMIT_S)
    held_alone(lab, active, time.monotonic_ns())
    assert lab.observer.holders() == [active.mac]
    assert shots(lab, 0) == []


def test_cold_start_of_one_alone_starts_nothing(build: Callable[..., VirtualLab]) -> None:
    """S5: a server that boots alone waits for its peer, says so, and shoots nobody."""
    lab = build(cold=True)
    at_ns = lab.power_on("alpha")
    alone = lab.machines["alpha"]
    alone.wait_up(at_ns)
    agent_of(alone).wait(
        lambda s: "peer_never_heard" in {r["code"] for r in s["takeover"]["reasons"]},
        RETURN_LIMIT_S,
        "peer never heard",
    )
    threading.Event().wait(WAIT_S)  # nothing is to happen: no event to wait for
    assert lab.observer.holders() == []
    assert shots(lab, 0) == []


def test_server_that_boots_while_the_other_serves_takes_nothing(
    lab: VirtualLab, roles: Roles
) -> None:
    """A standby that lost its power and boots comes back as standby; nothing moves."""
    active, standby = roles
    fault_ns = lab.power_off(standby.name)
    with pytest.raises(NotSeenError):
        # It is the active's to give it power again only after a fence: nobody fenced.
        standby.wait_up(fault_ns, limit_s=WAIT_S)
    lab.power_on(standby.name)
    standby.wait_up(fault_ns)
    ready(lab, limit_s=RETURN_LIMIT_S)
    undisturbed(lab, active, fault_ns, gap_ms_max=3000)
