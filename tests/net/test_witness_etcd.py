# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole agents with a real etcd as their witness: lost, slow, robbed, and chosen between two."""

from __future__ import annotations

import json
import time
from pathlib import Path

from hil.agent import Agent, alarms, blocked, role, takeover_possible
from hil.power import Behaviour, Fault
from hil.proof import held_alone, taken_over, undisturbed
from hil.watch import TAKEOVER_LIMIT_S, orders, ready

from .witness_bench import (
    GROUPS,
    NOTICED_LIMIT_S,
    Build,
    key,
    lease_of_the_lock,
    pair_with_etcd,
    ready_in_two_groups,
    tables,
    wait_order,
    wait_stored,
)

GAP_MS_MAX = 3000.0


def test_witness_lost_alone_changes_nothing(build: Build, tmp_path: Path) -> None:
    """Two members of three die: the service goes on, status names it; then a death is not answered.

    And it is, as soon as a majority is back: the blocked takeover needs nobody.
    """
    with pair_with_etcd(build, tmp_path) as (pair, etcd):
        active, standby = ready(pair)
        lost_ns = time.monotonic_ns()
        etcd.stop(etcd.members[0])
        etcd.kill(etcd.members[1])
        status = Agent(standby).wait(
            lambda s: "witness_etcd" in alarms(s), NOTICED_LIMIT_S, "the witness missed"
        )
        assert [reason["code"] for reason in status["takeover"]["reasons"]] == [
            "witness_unreachable"
        ]
        Agent(active).wait(
            lambda s: "witness_etcd" in alarms(s) and takeover_possible(s), NOTICED_LIMIT_S, "alarm"
        )
        undisturbed(pair, active, lost_ns, gap_ms_max=GAP_MS_MAX)
        frozen = active.freeze()
        Agent(standby).wait(
            lambda s: blocked(s) == ["witness_unreachable"], TAKEOVER_LIMIT_S, "the gate by name"
        )
        assert orders(pair, lost_ns) == []
        etcd.start(etcd.members[1])
        taken_over(pair, active, standby, frozen.at_ns)


def test_ignored_witness_keeps_nobody(build: Build, tmp_path: Path) -> None:
    """`unreachable = "ignore"`: without etcd the takeover goes as without a witness."""
    more = tables(unreachable="ignore")
    with pair_with_etcd(build, tmp_path, more=more) as (pair, etcd):
        active, standby = ready(pair)
        for member in etcd.members:
            etcd.kill(member)
        status = Agent(standby).wait(
            lambda s: "witness_etcd" in alarms(s), NOTICED_LIMIT_S, "the witness missed"
        )
        assert takeover_possible(status)
        taken_over(pair, active, standby, active.freeze().at_ns)


def test_fence_goes_on_without_the_witness(build: Build, tmp_path: Path) -> None:
    """The lock is lost and taken again in the middle of a fence, then all hang: it goes on.

    No second fence is begun, and the takeover follows the first.
    """
    with pair_with_etcd(build, tmp_path) as (pair, etcd):
        active, standby = ready(pair)
        pair.switches[active.name].behaviour = Behaviour(Fault.OFF_LATE, 6.0)
        frozen = active.freeze()
        wait_order(pair, active.name, frozen.at_ns)
        lease = lease_of_the_lock(etcd)
        etcd.control("lease", "revoke", f"{lease:x}")
        wait_stored(etcd, "lock", bool)
        assert lease_of_the_lock(etcd) != lease
        for member in etcd.members:
            etcd.stop(member)
        taken_over(pair, active, standby, frozen.at_ns)
        effects = [event.get("effect") for event in standby.agent_events()]
        assert effects.count("Fence") == 1
        for member in etcd.members:
            etcd.cont(member)


def test_lock_lost_to_another_in_the_middle_of_a_fence(build: Build, tmp_path: Path) -> None:
    """S2 e: only the holder fences: who lost the lock gives up, and goes on when it is free."""
    with pair_with_etcd(build, tmp_path) as (pair, etcd):
        active, standby = ready(pair)
        pair.switches[active.name].behaviour = Behaviour(Fault.OFF_LATE, 6.0)
        frozen = active.freeze()
        wait_order(pair, active.name, frozen.at_ns)
        etcd.control("put", key("lock"), json.dumps({"node": active.name, "term": 9}))
        status = Agent(standby).wait(
            lambda s: blocked(s) == ["witness_refuses"], TAKEOVER_LIMIT_S, "the gate by name"
        )
        assert role(status) == "standby"
        etcd.control("del", key("lock"))
        taken_over(pair, active, standby, frozen.at_ns)


def test_of_two_that_would_shoot_one_is_chosen(build: Build, tmp_path: Path) -> None:
    """S9: each holds a group and loses the other: the lock's holder shoots, and at once."""
    with pair_with_etcd(build, tmp_path, groups=GROUPS) as (pair, etcd):
        ready_in_two_groups(pair)
        fault_ns = time.monotonic_ns()
        for name in pair.machines:
            pair.network.lose_from(name, "ring")
            pair.network.lose_from(name, "lan", heartbeat_only=True)
        shot = pair.power.wait(
            lambda e: e["what"] == "order", TAKEOVER_LIMIT_S, after_ns=fault_ns, what="a shot"
        )
        loser = str(shot["node"])
        winner = pair.other(pair.machines[loser])
        for name in ("web", "mail"):
            Agent(winner).wait(
                lambda s, name=name: role(s, name) == "active",  # type: ignore[misc]
                TAKEOVER_LIMIT_S,
                f"{name} on the winner",
            )
        assert {node for node, _ in orders(pair, fault_ns)} == {loser}
        pair.network.heal()
        held_alone(pair, winner, time.monotonic_ns())
        assert etcd.members
