# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole agents with a real etcd as their witness: lost, slow, robbed, and chosen between two."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.agent import Agent, alarms, blocked, role, takeover_possible
from hil.etcd import Etcd
from hil.lab import Lab
from hil.pair import Options
from hil.power import Behaviour, Fault
from hil.proof import held_alone, taken_over, undisturbed
from hil.record import NotSeenError
from hil.watch import READY_LIMIT_S, TAKEOVER_LIMIT_S, orders, ready

from .witness_bench import etcd_beside, key, tables

Build = Callable[[Options], Lab]
TIMING: dict[str, str | int] = {"fence_retry": "1s"}
NOTICED_LIMIT_S = 60.0
"""A lost witness is noticed at the next look, every 5 s."""
GAP_MS_MAX = 3000.0
STEP_S = 0.1


@contextmanager
def pair_with_etcd(
    build: Build, directory: Path, *, more: str | None = None, groups: str | None = None
) -> Iterator[tuple[Lab, Etcd]]:
    """A pair that is ready, and its witness."""
    pair = build(
        Options(
            timing=TIMING, check_every="1s", more=tables() if more is None else more, tables=groups
        )
    )
    with etcd_beside(pair, directory) as etcd:
        pair.power_on()
        yield pair, etcd


def stored(etcd: Etcd, name: str) -> str:
    """What stands under a key of the group, "" for nothing."""
    found = json.loads(etcd.control("get", key(name))).get("kvs", ())
    return b64decode(found[0]["value"]).decode() if found else ""


def wait_stored(etcd: Etcd, name: str, wanted: Callable[[str], bool]) -> None:
    """Return when the key is as wanted."""
    end_s = time.monotonic() + NOTICED_LIMIT_S
    while not wanted(value := stored(etcd, name)):
        if time.monotonic() > end_s:
            raise NotSeenError(f"{name} is {value!r}")
        threading.Event().wait(STEP_S)


def test_takeover_takes_the_lock_and_gives_it_back(build: Build, tmp_path: Path) -> None:
    """S2 e: a takeover with the lock; its term is written down, the lock free again afterwards."""
    with pair_with_etcd(build, tmp_path) as (pair, etcd):
        active, standby = ready(pair)
        wait_stored(etcd, "term", lambda text: text == "1")
        frozen = active.freeze()
        taken_over(pair, active, standby, frozen.at_ns)
        wait_stored(etcd, "term", lambda text: text == "2")
        wait_stored(etcd, "lock", lambda text: not text)


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
    """All members hang in the middle of a fence that they agreed to: it ends as it would have."""
    with pair_with_etcd(build, tmp_path) as (pair, etcd):
        active, standby = ready(pair)
        pair.switches[active.name].behaviour = Behaviour(Fault.OFF_LATE, 4.0)
        frozen = active.freeze()
        _wait_order(pair, active.name, frozen.at_ns)
        for member in etcd.members:
            etcd.stop(member)
        taken_over(pair, active, standby, frozen.at_ns)
        for member in etcd.members:
            etcd.cont(member)


def test_lock_lost_to_another_in_the_middle_of_a_fence(build: Build, tmp_path: Path) -> None:
    """S2 e: only the holder fences: who lost the lock gives up, and goes on when it is free."""
    with pair_with_etcd(build, tmp_path) as (pair, etcd):
        active, standby = ready(pair)
        pair.switches[active.name].behaviour = Behaviour(Fault.OFF_LATE, 6.0)
        frozen = active.freeze()
        _wait_order(pair, active.name, frozen.at_ns)
        etcd.control("put", key("lock"), json.dumps({"node": active.name, "term": 9}))
        status = Agent(standby).wait(
            lambda s: blocked(s) == ["witness_refuses"], TAKEOVER_LIMIT_S, "the gate by name"
        )
        assert role(status) == "standby"
        etcd.control("del", key("lock"))
        taken_over(pair, active, standby, frozen.at_ns)


GROUPS = """
[[group]]
name = "web"
preferred = "alpha"
[[group.vip]]
address = "192.0.2.10/24"
[[group]]
name = "mail"
preferred = "beta"
[[group.vip]]
address = "192.0.2.20/24"
"""


def test_of_two_that_would_shoot_one_is_chosen(build: Build, tmp_path: Path) -> None:
    """S9: each holds a group and loses the other: the lock's holder shoots, and at once."""
    with pair_with_etcd(build, tmp_path, groups=GROUPS) as (pair, etcd):
        for name, machine in pair.machines.items():
            Agent(machine).wait(
                lambda s, name=name: role(s, "web" if name == "alpha" else "mail") == "active",  # type: ignore[misc]
                READY_LIMIT_S,
                "its group",
            )
            Agent(machine).wait(takeover_possible, READY_LIMIT_S, "takeover possible")
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


def _wait_order(pair: Lab, node: str, after_ns: int) -> None:
    pair.power.wait(
        lambda e: e["what"] == "order" and e["node"] == node,
        TAKEOVER_LIMIT_S,
        after_ns=after_ns,
        what="fence order",
    )
