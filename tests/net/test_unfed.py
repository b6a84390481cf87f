# SPDX-License-Identifier: GPL-2.0-or-later
"""S2 e: whole agents whose watchdogs are the last fence level, and a real etcd as witness."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from hil.agent import Agent
from hil.dog import Dogs
from hil.lab import Lab
from hil.pair import Options
from hil.proof import held_alone
from hil.watch import TAKEOVER_LIMIT_S, ready

from .witness_bench import etcd_beside, tables

UNFED_AFTER_S, TIMEOUT_S = 5, 5
LEAST_S = UNFED_AFTER_S + 2 * TIMEOUT_S
LIMIT_S = 2 * LEAST_S + TAKEOVER_LIMIT_S
OPTIONS = Options(
    timing={"fence_retry": "1s"},
    check_every="1s",
    program="hil.dog",
    watchdog=f"""\
mode = "required"
timeout = "{TIMEOUT_S}s"
fence = true
unfed_after = "{UNFED_AFTER_S}s"
""",
    more=tables(),
)


def test_the_active_is_reset_and_only_then_replaced(
    build: Callable[[Options], Lab], tmp_path: Path
) -> None:
    """S1, S2 e: without witness and peer, its watchdog ends it, though it serves all the while.

    No BMC answers, and the standby waits for as long as that can take.
    """
    pair = build(OPTIONS)
    dogs = Dogs(pair.switches, list(pair.machines.values()))
    with etcd_beside(pair, tmp_path) as etcd, dogs:
        pair.power_on()
        active, standby = ready(pair)
        pair.bmcs[active.name].kill()
        said = Agent(standby).wait(
            lambda s: "fence_by_watchdog" in {one["code"] for one in s["alarms"]}, LIMIT_S, "told"
        )
        assert said["takeover"]["possible"], said["takeover"]
        pair.network.lose_tcp(active.name, "lan", 2379)
        fault_ns = time.monotonic_ns()
        for name in pair.machines:
            pair.network.lose_from(name, "ring")
            pair.network.lose_from(name, "lan", heartbeat_only=True)
        served = pair.client.wait_served(LIMIT_S, after_ns=fault_ns, by=standby.name)
        assert set(dogs.fired_ns) == {active.name}
        assert dogs.fired_ns[active.name] < served["at_ns"]
        assert (served["at_ns"] - fault_ns) / 1e9 > LEAST_S
        held_alone(pair, standby, served["at_ns"])
        assert etcd.members
