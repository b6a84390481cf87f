# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole agents on a shared disk: cut off with the power, and let in by themselves (ADR 18)."""

from __future__ import annotations

import time
from collections.abc import Callable

from hil.agent import Agent, blocked, held_up, role, takeover_possible
from hil.lab import Lab
from hil.machine import Machine
from hil.pair import KEYS, Options
from hil.power import Behaviour, Fault
from hil.proof import taken_over
from hil.shared_disk import SharedDisk
from hil.watch import TAKEOVER_LIMIT_S, orders, power_entry, ready, wait_powered, wait_standby

OPTIONS = Options(
    timing={"max_fences": 100, "fence_retry": "1s"},
    check_every="1s",
    shared_disk=True,
    tables="""
[[group]]
name = "web"
preferred = "alpha"
failures = 100
[[group.resource]]
kind = "command"
name = "volume"
start = ["VOLUME", "start"]
stop = ["VOLUME", "stop"]
monitor = ["VOLUME", "monitor"]
interval = "1s"
stop_timeout = "5s"
[[group.vip]]
address = "192.0.2.10/24"
""",
)
Roles = tuple[Machine, Machine]


def disk_of(lab: Lab) -> SharedDisk:
    """What both machines reach."""
    assert lab.disk is not None
    return lab.disk


def test_a_frozen_active_is_cut_off_and_comes_back(lab: Lab, roles: Roles) -> None:
    """Disk and power are cut together; it comes back, lets itself in, and can have the group.

    Who cuts it off has been booted since it let itself in, and its key was there all the while.
    """
    active, standby = roles
    disk = disk_of(lab)
    lab.power_off(standby.name)
    lab.power_on(standby.name)
    ready(lab)
    assert disk.keys == KEYS
    before = len(disk.writes(standby.name))
    frozen = active.freeze()
    taken_over(lab, active, standby, frozen.at_ns)
    assert ("start", True) in disk.writes(standby.name)[before:]
    wait_powered(lab, active, frozen.at_ns)
    wait_standby(active)
    ready(lab)
    assert disk.keys == KEYS
    before = len(disk.writes(active.name))
    assert Agent(standby).ask("switchover")["ok"]
    Agent(active).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "active again")
    assert ("start", True) in disk.writes(active.name)[before:]


def test_power_alone_is_not_enough_where_the_disk_is_asked_for(lab: Lab, roles: Roles) -> None:
    """S3: a disk that takes the order and does nothing keeps a level with a good BMC unproved."""
    active, standby = roles
    disk = disk_of(lab)
    disk.fault(standby.name, "deaf")
    before = disk.writes(standby.name)
    frozen = active.freeze()
    Agent(standby).wait(lambda s: "fence_unconfirmed" in blocked(s), 60, "fence_unconfirmed")
    assert power_entry(lab, active, frozen.at_ns, what="read", state="off")
    assert disk.writes(standby.name) == before
    disk.fault(standby.name, "")
    taken_over(lab, active, standby, frozen.at_ns)


def test_keys_that_the_disk_forgot_are_registered_again(lab: Lab, roles: Roles) -> None:
    """The holder of a living, idle peer lets itself in where it stands: nothing moves."""
    active, standby = roles
    disk = disk_of(lab)
    before, forgot_ns = disk.writes(standby.name), time.monotonic_ns()
    disk.forget()
    Agent(active).wait(lambda _: disk.keys == KEYS, TAKEOVER_LIMIT_S, "both keys again")
    ready(lab)
    assert role(Agent(active).wait(lambda _: True, 10, "status")) == "active"
    assert disk.writes(standby.name) == before
    assert not orders(lab, forgot_ns)


def test_a_holder_that_stays_left_out_gives_the_group_away(lab: Lab, roles: Roles) -> None:
    """A node that cannot let itself in again says why, and the other takes the group."""
    active, standby = roles
    disk = disk_of(lab)
    disk.fault(active.name, "deaf")
    disk.remove(active.name)
    Agent(standby).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "active")
    status = Agent(active).wait(
        lambda s: held_up(s) == "start_failed", TAKEOVER_LIMIT_S, "its reason"
    )
    assert f"permission: not let in: {active.name}-disk" in str(status["groups"])
    said = f"permission of web: failed not let in: {active.name}-disk"
    assert any(said in alarm["text"] for alarm in status["alarms"]), status["alarms"]
    disk.fault(active.name, "")
    Agent(active).wait(lambda _: disk.keys == KEYS, TAKEOVER_LIMIT_S, "let in")


def test_a_group_starts_nowhere_but_where_its_disk_is(lab: Lab, roles: Roles) -> None:
    """A standby that cannot reach the disk says so all day, and does not take the group."""
    active, standby = roles
    disk = disk_of(lab)
    disk.fault(standby.name, "gone")
    Agent(standby).wait(
        lambda s: not takeover_possible(s) and "this node is not let in" in str(s["takeover"]),
        TAKEOVER_LIMIT_S,
        "the reason for no takeover",
    )
    Agent(active).wait(lambda s: not takeover_possible(s), TAKEOVER_LIMIT_S, "told by the peer")
    assert not Agent(active).ask("switchover")["ok"]
    disk.fault(standby.name, "")
    Agent(standby).wait(takeover_possible, TAKEOVER_LIMIT_S, "reached again")
    assert role(Agent(active).wait(lambda _: True, 10, "status")) == "active"


def test_a_node_that_was_said_to_be_off_writes_no_more(build: Callable[[Options], Lab]) -> None:
    """S8: behind a BMC that lies, a thawed holder is kept from the disk until it has let go."""
    pair = build(OPTIONS)
    pair.power_on()
    active, standby = ready(pair)
    disk = disk_of(pair)
    pair.switches[active.name].behaviour = Behaviour(Fault.LIE)
    frozen = active.freeze()
    for wire in ("lan", "ring"):  # its kernel would answer for the address
        pair.network.cut(active.name, wire)
    Agent(standby).wait(lambda s: role(s) == "active", TAKEOVER_LIMIT_S, "takeover")
    assert active.name not in disk.keys
    assert active.run(str(disk.program), "write", "late", check=False).returncode != 0
    before = len(disk.writes(active.name))
    active.thaw(frozen)
    Agent(active).wait(  # it hears nobody, and has all the time to let itself in
        lambda _: any(event["event"] == "permission.lost" for event in active.agent_events()),
        TAKEOVER_LIMIT_S,
        "it finds that it was cut off",
    )
    assert active.name not in disk.keys
    pair.network.heal()
    Agent(active).wait(lambda s: role(s) == "standby", TAKEOVER_LIMIT_S, "it lets go")
    assert not any(there for _, there in disk.writes(active.name)[before:])
    Agent(active).wait(
        lambda _: active.name in disk.keys, TAKEOVER_LIMIT_S, "let in once it has let go"
    )
    stopped = [
        event
        for event in active.agent_events()
        if event["event"] in ("resource.stopped", "permission.taking")
    ]
    assert stopped[-1]["event"] == "permission.taking"
    assert stopped[-2]["event"] == "resource.stopped"
