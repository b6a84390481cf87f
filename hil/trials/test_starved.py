# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers that run out of disk, processor, memory, or of their agent's attention."""

from __future__ import annotations

import json
import threading
import time

import pytest

from hil.agent import Agent
from hil.labs import Lab
from hil.proof import held_alone
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import RETURN_LIMIT_S, TAKEOVER_LIMIT_S, ready, taken_over
from hil.trials.conftest import Roles, VirtualRoles, without_a_next_agent
from hil.watch import orders

LOADED_S = 20.0
"""For what must not happen: many times dead_after."""
WATCHDOG_LIMIT_S = 60.0
BUSY_LIMIT_S = 180
"""For a service that shares an emulated processor with eight others."""
BUSY = """\
for i in $(seq $((8 * $(nproc)))); do timeout {seconds} sh -c 'while :; do :; done' & done; wait"""
FULL = "/var/lib/full"


@pytest.mark.virtual("a disk that is small enough to be filled")
def test_full_disk_lets_nothing_start_until_there_is_room(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """A standby that cannot make its term durable serves nothing; with room again, it does."""
    active, standby = roles
    standby.run("sh", "-c", f"cat /dev/zero >{FULL}; sync; cat /dev/zero >>{FULL}", check=False)
    fault_ns = lab.power_off(active.name)
    Agent(standby).wait(
        lambda s: "not_durable" in json.dumps(s), TAKEOVER_LIMIT_S, "term not durable"
    )
    assert standby.mac not in lab.observer.holders(fault_ns)
    standby.run("rm", FULL)
    taken_over(lab, active, standby, fault_ns)


def test_busy_servers_shoot_nobody(lab: Lab, roles: Roles) -> None:
    """Eight processes that want all of each processor, on both servers: nothing moves."""
    active, _ = roles
    fault_ns = time.monotonic_ns()
    for guest in roles:
        guest.ssh.throw(BUSY.format(seconds=30))
    threading.Event().wait(LOADED_S)  # nothing is to happen: no event to wait for
    assert orders(lab, fault_ns) == []
    held_alone(lab, active, fault_ns)


def test_busy_standby_takes_over_all_the_same(lab: Lab, roles: Roles) -> None:
    """S1, S2: the active dies while eight processes want all of each processor of the standby."""
    active, standby = roles
    standby.ssh.throw(BUSY.format(seconds=BUSY_LIMIT_S))
    fault_ns = active.crash()
    taken_over(lab, active, standby, fault_ns, limit_s=BUSY_LIMIT_S)


@pytest.mark.virtual("a disk that crawls when told to")
def test_disk_that_crawls_moves_nothing(lab: VirtualLab, roles: VirtualRoles) -> None:
    """Four accesses a second are left of each disk, and a program wants all: nobody is shot."""
    active, _ = roles
    fault_ns = time.monotonic_ns()
    for guest in roles:
        limits = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops_rd", "iops_wr"), 0)
        guest.qmp.order("block_set_io_throttle", device="virtio0", iops=DISK_RATE, **limits)
        guest.ssh.throw(f"while dd if=/dev/zero of={FULL} bs=64k count=100 conv=fsync; do :; done")
    threading.Event().wait(LOADED_S)  # nothing is to happen: no event to wait for
    assert orders(lab, fault_ns) == []
    held_alone(lab, active, fault_ns)


DISK_RATE = 4


@pytest.mark.virtual("a memory that is small enough to be filled")
def test_memory_that_runs_out_kills_the_eater_and_not_the_agent(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """A process that takes all memory is ended by the kernel; the agent is the last to go."""
    active, _ = roles
    fault_ns = time.monotonic_ns()
    before = active.run("systemctl", "show", "-P", "MainPID", "haagent").stdout
    eaten = active.run("sh", "-c", "head -c 2G /dev/zero | tail -n 1 | wc -c; true").stdout
    assert int(eaten or 0) == 0  # tail was killed before it had all
    assert active.run("systemctl", "show", "-P", "MainPID", "haagent").stdout == before
    assert orders(lab, fault_ns) == []
    held_alone(lab, active, fault_ns)


@pytest.mark.virtual("a clock that nothing else depends on")
def test_stepped_clocks_change_nothing(lab: VirtualLab, roles: VirtualRoles) -> None:
    """A wall clock that jumps a year, forwards and backwards: nothing looks at it."""
    active, standby = roles
    fault_ns = time.monotonic_ns()
    for guest, step in ((active, "+1 year"), (standby, "-1 year"), (active, "-3 years")):
        guest.run("date", "--set", step)
    threading.Event().wait(LOADED_S)  # nothing is to happen: no event to wait for
    assert orders(lab, fault_ns) == []
    held_alone(lab, active, fault_ns)


@pytest.mark.smoke
def test_hung_agent_of_the_active_costs_it_the_service(lab: Lab, roles: Roles) -> None:
    """S7: its agent stands still while the service runs on: off before it is replaced."""
    active, standby = roles
    without_a_next_agent(active)
    fault_ns = time.monotonic_ns()
    active.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "haagent.service")
    taken_over(lab, active, standby, fault_ns)


@pytest.mark.virtual("BMCs and PDUs that fail when told to")
def test_hung_agent_without_a_fence_is_reset_by_the_watchdog(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """S7: nobody can fence it, so its hardware watchdog resets it; then one serves again."""
    active, _ = roles
    lab.bmcs[active.name].kill()
    lab.supplies[active.name].pdu.line.deaf = True
    since_ns = time.monotonic_ns()
    active.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "haagent.service")
    for event in ("WATCHDOG", "RESET"):
        lab.power.wait(
            lambda e, event=event: (e["node"], e.get("event")) == (active.name, event),  # type: ignore[misc]
            WATCHDOG_LIMIT_S,
            after_ns=since_ns,
            what=event,
        )
    lab.bmcs[active.name].start()
    lab.supplies[active.name].pdu.line.deaf = False
    active.wait_up(since_ns)
    holder, _ = ready(lab, limit_s=RETURN_LIMIT_S)
    held_alone(lab, holder, time.monotonic_ns())
