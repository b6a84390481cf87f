# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole agents, and observers that hang, are slow, cannot be reached, or were started just now."""

from __future__ import annotations

import time

from hil.agent import Agent, alarms, blocked, takeover_possible
from hil.proof import taken_over, undisturbed
from hil.watch import READY_LIMIT_S, TAKEOVER_LIMIT_S, orders, ready

from .observer_bench import ADDRESSES, LEASE_S, Build, grown, pair_with_observers

GAP_MS_MAX = 3000.0


def test_hung_parted_and_slow_observers(build: Build) -> None:
    """One that hangs is an alarm, two out of reach are a reason, and none of it moves anything.

    Nor does it if none of them hears the active any more: nobody asks them. Slow ones agree late.
    """
    with pair_with_observers(build) as (pair, observers):
        active, standby = ready(pair)
        grown(pair, 3)
        begun_ns = time.monotonic_ns()
        observers.stop("epsilon")
        Agent(standby).wait(
            lambda s: "witness_epsilon" in alarms(s) and takeover_possible(s),
            READY_LIMIT_S,
            "one that hangs is an alarm",
        )
        pair.network.part(ADDRESSES["delta"], standby.address)
        status = Agent(standby).wait(
            lambda s: not takeover_possible(s), READY_LIMIT_S, "too few are left"
        )
        assert [r["code"] for r in status["takeover"]["reasons"]] == ["witness_unreachable"]
        assert "witness_delta" not in alarms(Agent(active).status() or {"alarms": ()})
        pair.network.heal()
        observers.cont("epsilon")
        for address in ADDRESSES.values():
            pair.network.part(address, active.address)
        Agent(active).wait(
            lambda s: {f"witness_{name}" for name in ADDRESSES} <= alarms(s),
            READY_LIMIT_S,
            "it misses all of them",
        )
        Agent(standby).wait(takeover_possible, READY_LIMIT_S, "which the other one does not")
        undisturbed(pair, active, begun_ns, gap_ms_max=GAP_MS_MAX)
        with observers.slow():
            taken_over(pair, active, standby, active.freeze().at_ns)


def test_observers_started_anew_agree_to_nothing_for_their_lease(build: Build) -> None:
    """S9: two of three do not know to whom they had agreed: a death waits for that, no longer."""
    with pair_with_observers(build) as (pair, observers):
        active, standby = ready(pair)
        grown(pair, 3)
        for name in ("delta", "epsilon"):
            observers.kill(name)
        started_ns = time.monotonic_ns()
        for name in ("delta", "epsilon"):
            observers.start(name)
        frozen = active.freeze()
        Agent(standby).wait(
            lambda s: (
                blocked(s) == ["witness_unreachable"]
                and any("was started just now" in w["detail"] for w in s["witnesses"])
            ),
            TAKEOVER_LIMIT_S,
            "young",
        )
        taken_over(pair, active, standby, frozen.at_ns)
        first_ns = next(e["at_ns"] for e in pair.power.since(started_ns) if e["what"] == "order")
        assert first_ns - started_ns > LEASE_S * 1e9
        assert {node for node, _ in orders(pair, started_ns)} == {active.name}
