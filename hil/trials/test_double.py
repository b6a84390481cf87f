# SPDX-License-Identifier: GPL-2.0-or-later
"""One failure meets another: the agent dies in the middle of a takeover, the fence meets a boot."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace

import pytest

from hil.agent import Agent
from hil.labs import Lab
from hil.power import Behaviour, Fault
from hil.proof import held_alone
from hil.qemu.furniture import SERVICE_UNIT, STARTING
from hil.qemu.guest import Guest
from hil.qemu.lab import VirtualLab
from hil.qemu.mishaps import two_at_once
from hil.qemu.proof import RETURN_LIMIT_S, TAKEOVER_LIMIT_S, ready, taken_over
from hil.qemu.saved import LENIENT
from hil.qemu.soak import SETTLE_S
from hil.trials.conftest import Roles, VirtualRoles
from hil.watch import power_entry

STOPPING = "stopping"
"""What the slow service's unit tells the bench before it does so, as it does of every STARTING."""
_SLOW = f"""\
[Service]
ExecStartPre=/bin/sleep 3
ExecStop=/bin/sh -c 'echo {STOPPING} >/dev/ttyS1; sleep 3'
"""
_KILL = ("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "haagent.service")
LINGERS_S = 8.0
"""How long a phase is drawn out, in which an agent is to be killed over ssh."""

Moment = tuple[int, dict[str, str]]
"""Of whom (the active is 0, the standby 1) the record of power says what."""
OFF: Moment = 0, {"what": "power", "state": "off"}
STARTS: Moment = 1, {"what": "bell", "line": STARTING}


@dataclass(frozen=True)
class Phase:
    """A part of a takeover, by what others see of it."""

    begins: Moment
    ends: Moment | None = None
    """What has not been seen when the agent is dead; None where nothing can be drawn out."""
    bmc: Behaviour = field(default_factory=Behaviour)
    """What draws it out,"""
    off_settle: str = "0s"
    """or this."""


_SETTLES = f"{LINGERS_S:g}s"
PHASES = {
    "ordered": Phase(
        begins=(0, {"what": "order", "order": "power_off"}),
        ends=OFF,
        bmc=Behaviour(Fault.OFF_LATE, LINGERS_S),
    ),
    "off": Phase(begins=OFF, ends=STARTS, off_settle=_SETTLES),
    "read-off": Phase(
        begins=(0, {"what": "read", "state": "off"}), ends=STARTS, off_settle=_SETTLES
    ),
    "starting": Phase(begins=STARTS),
    "power-back": Phase(begins=(0, {"what": "power", "state": "on"})),
}
"""A takeover, from the order to the end."""


@pytest.mark.lenient
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.virtual("BMCs that tell of every order")
def test_agent_killed_during_its_takeover_leaves_one_holder(
    lab: VirtualLab, roles: VirtualRoles, phase: str
) -> None:
    """S1: the standby's agent is killed in the midst: never two; in the end one, by itself."""
    now = PHASES[phase]
    _, standby = roles
    if now.off_settle != LENIENT.off_settle:
        lab.reload(replace(LENIENT, off_settle=now.off_settle))
        assert ready(lab) == roles
    lab.switches[roles[0].name].behaviour = now.bmc
    _slow_down(standby)
    fault_ns = roles[0].freeze()
    _wait(lab, roles, now.begins, fault_ns)
    standby.run(*_KILL)
    if now.ends is not None:
        node, wanted = now.ends
        assert power_entry(lab, roles[node], fault_ns, **wanted) is None, "killed too late"
    _one_holder_in_the_end(lab)


@pytest.mark.lenient
@pytest.mark.virtual("BMCs that tell of every order")
def test_agent_killed_when_it_has_the_address_leaves_one_holder(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """S1: the standby's agent is killed as soon as its address is seen: never two."""
    active, standby = roles
    fault_ns = active.freeze()
    lab.observer.wait_holder(standby.mac, TAKEOVER_LIMIT_S, after_ns=fault_ns)
    standby.run(*_KILL)
    _one_holder_in_the_end(lab)


@pytest.mark.lenient
@pytest.mark.virtual("servers that tell the bench of every step")
@pytest.mark.parametrize(("phase", "whose"), [(STOPPING, 0), (STARTING, 1)])
def test_agent_killed_during_a_hand_over_leaves_one_holder(
    lab: VirtualLab, roles: VirtualRoles, phase: str, whose: int
) -> None:
    """S1: the agent that stops the service, or starts it, is killed: never two; in the end one."""
    for guest in roles:
        _slow_down(guest)
    ordered_ns = time.monotonic_ns()
    roles[0].ssh.throw("haagent switchover")
    _wait(lab, roles, (whose, {"what": "bell", "line": phase}), ordered_ns)
    roles[whose].run(*_KILL)
    _one_holder_in_the_end(lab)


def _wait(lab: VirtualLab, roles: VirtualRoles, moment: Moment, after_ns: int) -> None:
    node, wanted = moment
    lab.power.wait(
        lambda e: e["node"] == roles[node].name and wanted.items() <= e.items(),
        TAKEOVER_LIMIT_S,
        after_ns=after_ns,
        what=str(wanted),
    )


def _slow_down(guest: Guest) -> None:
    """Have a server's service take its time, and tell the bench of its stop as of its start."""
    drop_in = f"/run/systemd/system/{SERVICE_UNIT}.d/slow.conf"
    guest.ssh.write(drop_in, _SLOW)
    guest.run("systemctl", "daemon-reload")


def _one_holder_in_the_end(lab: VirtualLab) -> None:
    """S1: one serves, the other could take over, and at no time were there two."""
    threading.Event().wait(SETTLE_S)  # its next agent, or its watchdog, comes within
    holder, _ = ready(lab, limit_s=RETURN_LIMIT_S)
    held_alone(lab, holder, time.monotonic_ns())
    assert two_at_once(lab) == []


def test_taker_that_dies_right_after_is_replaced_by_the_first(lab: Lab, roles: Roles) -> None:
    """The new active loses its power as soon as it serves; the first one boots and takes over."""
    first, second = roles
    fault_ns = first.crash()
    taken_over(lab, first, second, fault_ns)
    first.wait_up(fault_ns)
    ready(lab, limit_s=RETURN_LIMIT_S)
    again_ns = lab.power_off(second.name)
    taken_over(lab, second, first, again_ns)


@pytest.mark.virtual("BMCs that fail when told to")
def test_fence_that_comes_late_meets_a_booting_server(lab: VirtualLab, roles: VirtualRoles) -> None:
    """S2: the active boots while its fence is under way: off is waited for, then taken."""
    active, standby = roles
    lab.switches[active.name].behaviour = Behaviour(Fault.OFF_LATE, 4.0)
    fault_ns = time.monotonic_ns()
    active.qmp.order("system_reset")
    taken_over(lab, active, standby, fault_ns)


def test_both_lose_their_power_and_one_comes_back(lab: Lab, roles: Roles) -> None:
    """S5: both dark; the one that boots alone serves nothing; with the other, one serves."""
    active, standby = roles
    for guest in roles:
        lab.power_off(guest.name)
    dark_ns = time.monotonic_ns()
    lab.power_on(standby.name)
    standby.wait_up(dark_ns)
    Agent(standby).wait(
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
