# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers that get power: both, one alone, and one whose agent cannot work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from hil.agent import Agent
from hil.labs import Lab
from hil.proof import held_alone, undisturbed
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import RETURN_LIMIT_S, ready, taken_over, wait_back
from hil.record import NotSeenError
from hil.trials.conftest import Roles, VirtualRoles
from hil.watch import orders

WAIT_S = 20.0
"""For what must not happen: many times dead_after."""


def test_cold_start_of_both_gives_one_holder(build: Callable[..., Lab]) -> None:
    """S2 (d): both get power at one moment; they agree on one, and nobody is shot."""
    lab = build(cold=True)
    at_ns = lab.power_on()
    for guest in lab.machines.values():
        guest.wait_up(at_ns)
    active, _ = ready(lab, limit_s=RETURN_LIMIT_S)
    held_alone(lab, active, time.monotonic_ns())
    assert lab.observer.holders(at_ns) == [active.mac]
    assert orders(lab, at_ns) == []


@pytest.mark.virtual("a network that the bench has set up")
def test_cold_start_of_one_alone_starts_nothing(build: Callable[..., VirtualLab]) -> None:
    """S5: a server that boots alone, its network half dead, waits for its peer, and says so."""
    lab = build(cold=True)
    at_ns = lab.power_on("alpha")
    alone = lab.machines["alpha"]
    alone.wait_up(at_ns)
    Agent(alone).wait(
        lambda s: "peer_never_heard" in {r["code"] for r in s["takeover"]["reasons"]},
        RETURN_LIMIT_S,
        "peer never heard",
    )
    # The direct cable has no carrier, so systemd waits for ever for that network to be online.
    online = alone.run("systemctl", "is-active", "network-online.target", check=False).stdout
    assert online == "inactive\n"
    threading.Event().wait(WAIT_S)  # nothing is to happen: no event to wait for
    assert lab.observer.holders() == []
    assert orders(lab, 0) == []


def test_server_that_boots_while_the_other_serves_takes_nothing(lab: Lab, roles: Roles) -> None:
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


@pytest.mark.virtual("BMCs that tell of every order")
def test_boot_loop_costs_one_shot_and_no_service(lab: VirtualLab, roles: VirtualRoles) -> None:
    """An active that crashes and then dies at each boot is shot once, and comes back."""
    active, standby = roles
    active.ssh.run("install", "-m", "644", "/dev/stdin", f"{UNITS}/loop.service", text=_LOOP)
    active.run("sh", "-c", f"systemctl enable loop.service && echo {LOOPS} >{LEFT} && sync")
    fault_ns = active.crash()
    first_ns = taken_over(lab, active, standby, fault_ns)
    wait_back(lab, active, fault_ns)
    assert active.run("cat", LEFT).stdout == "0\n"
    resets = [e for e in lab.power.since(first_ns) if e.get("event") == "RESET"]
    assert len(resets) >= LOOPS
    assert orders(lab, fault_ns) == [(active.name, "power_off"), (active.name, "power_on")]
    held_alone(lab, standby, first_ns)
    assert ready(lab) == (standby, active)


UNITS = "/etc/systemd/system"
LEFT = "/var/lib/loops-left"
LOOPS = 3
_LOOP = f"""\
[Unit]
DefaultDependencies=no
After=local-fs.target
Before=haagent.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'left=$$(cat {LEFT}); [ $$left = 0 ] && exit; \
    echo $$((left - 1)) >{LEFT}; sync; echo b >/proc/sysrq-trigger'
[Install]
WantedBy=sysinit.target
"""
"""Resets the server, as one does whose kernel crashes in its boot."""
