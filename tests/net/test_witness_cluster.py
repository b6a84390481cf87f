# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole agents, and an etcd whose members lose each other, are slow, or come back anew."""

from __future__ import annotations

import time
from pathlib import Path

from hil.agent import Agent, alarms, blocked, role, takeover_possible
from hil.etcd import Etcd, Member
from hil.lab import Lab
from hil.power import Behaviour, Fault
from hil.proof import held_alone, taken_over, undisturbed
from hil.watch import TAKEOVER_LIMIT_S, orders, ready, wait_powered, wait_standby

from .witness_bench import (
    GROUPS,
    NOTICED_LIMIT_S,
    Build,
    pair_with_etcd,
    ready_in_two_groups,
    tables,
    wait_order,
    wait_stored,
)

CLIENTS, PEERS = 2379, 2380
"""Ports of a member."""
GAP_MS_MAX = 3000.0


def machine_of(etcd: Etcd, member: Member) -> str:
    """As the network calls it."""
    return f"etcd{etcd.members.index(member)}"


def test_member_that_lost_the_others_agrees_to_nothing(build: Build, tmp_path: Path) -> None:
    """S2 e: its leader is parted from the other two, and all that the nodes reach is that leader.

    It still takes their questions, and would be the first whom they ask. The service goes on, and
    a death is not answered until they reach the majority too.
    """
    with pair_with_etcd(build, tmp_path) as (pair, etcd):
        active, standby = ready(pair)
        wait_stored(etcd, "term", lambda text: text == "1")
        alone = etcd.leader()
        majority = [machine_of(etcd, member) for member in etcd.members if member is not alone]
        parted_ns = time.monotonic_ns()
        pair.network.part_tcp(machine_of(etcd, alone), "lan", PEERS)
        for name in majority:
            pair.network.part_tcp(name, "lan", CLIENTS)
        status = Agent(standby).wait(
            lambda s: "witness_etcd" in alarms(s), NOTICED_LIMIT_S, "the witness missed"
        )
        assert [r["code"] for r in status["takeover"]["reasons"]] == ["witness_unreachable"]
        undisturbed(pair, active, parted_ns, gap_ms_max=GAP_MS_MAX)
        frozen = active.freeze()
        Agent(standby).wait(
            lambda s: blocked(s) == ["witness_unreachable"], TAKEOVER_LIMIT_S, "the gate by name"
        )
        assert orders(pair, parted_ns) == []
        for name in majority:
            pair.network.mend_tcp(name, "lan", CLIENTS)
        taken_over(pair, active, standby, frozen.at_ns)


def test_slow_members_a_hung_leader_and_a_cluster_started_anew(
    build: Build, tmp_path: Path
) -> None:
    """S2 e: each of them lets a takeover happen without anybody's help, and no term is forgotten.

    The lock is given back after each.
    """
    with pair_with_etcd(build, tmp_path) as (pair, etcd):
        first, second = ready(pair)
        wait_stored(etcd, "term", lambda text: text == "1")
        with etcd.slow():
            frozen = first.freeze()
            taken_over(pair, first, second, frozen.at_ns)
        wait_powered(pair, first, frozen.at_ns)
        wait_standby(first)
        wait_stored(etcd, "term", lambda text: text == "2")
        wait_stored(etcd, "lock", lambda text: not text)
        for member in etcd.members:
            etcd.kill(member)
        Agent(first).wait(lambda s: "witness_etcd" in alarms(s), NOTICED_LIMIT_S, "missed")
        for member in etcd.members:
            etcd.start(member)
        etcd.wait_healthy()
        wait_stored(etcd, "term", lambda text: text == "2")
        Agent(first).wait(takeover_possible, NOTICED_LIMIT_S, "answers again")
        leads = etcd.leader()
        etcd.stop(leads)
        taken_over(pair, second, first, second.freeze().at_ns)
        etcd.cont(leads)
        wait_stored(etcd, "term", lambda text: text == "3")


def test_lock_that_runs_out_in_the_middle_of_a_fence(build: Build, tmp_path: Path) -> None:
    """S2 e, S9: who cannot renew its lock gives its fence up before the other node has the lock.

    Each holds a group and loses the other. The winner's order is taken by a BMC that does nothing,
    and it loses the cluster: nobody shoots any more until the lock has run out, then the other one.
    """
    more = tables(lease="9s")
    with pair_with_etcd(build, tmp_path, more=more, groups=GROUPS) as (pair, _):
        ready_in_two_groups(pair)
        for switch in pair.switches.values():
            switch.behaviour = Behaviour(Fault.ACK_ONLY)
        fault_ns = time.monotonic_ns()
        for name in pair.machines:
            pair.network.lose_from(name, "ring")
            pair.network.lose_from(name, "lan", heartbeat_only=True)
        loser, winner = shot_and_shooter(pair, fault_ns)
        pair.network.part_tcp(winner, "lan", CLIENTS)
        pair.switches[winner].behaviour = Behaviour()
        lost_ns = time.monotonic_ns()
        Agent(pair.machines[winner]).wait(
            lambda s: blocked(s) == ["witness_unreachable"], TAKEOVER_LIMIT_S, "given up"
        )
        gave_up_ns = time.monotonic_ns()
        events = [event["event"] for event in pair.machines[winner].agent_events()]
        assert "witness.consent_ran_out" in events
        wait_order(pair, winner, lost_ns)
        shots = pair.power.since(fault_ns)
        first_ns = min(e["at_ns"] for e in shots if (e["what"], e["node"]) == ("order", winner))
        assert gave_up_ns < first_ns, "the other one shot while the first had not given up"
        for name in ("web", "mail"):
            Agent(pair.machines[loser]).wait(
                lambda s, name=name: role(s, name) == "active",  # type: ignore[misc]
                TAKEOVER_LIMIT_S,
                f"{name} where the lock is now",
            )
        late = [
            e for e in pair.power.since(gave_up_ns) if (e["what"], e["node"]) == ("order", loser)
        ]
        assert late == [], "who had lost the lock went on shooting"
        pair.network.heal()
        held_alone(pair, pair.machines[loser], time.monotonic_ns())


def shot_and_shooter(pair: Lab, after_ns: int) -> tuple[str, str]:
    """Names of the first node that is shot after a time, and of the other one."""
    shot = pair.power.wait(
        lambda e: e["what"] == "order", TAKEOVER_LIMIT_S, after_ns=after_ns, what="a shot"
    )
    loser = str(shot["node"])
    return loser, pair.other(pair.machines[loser]).name
