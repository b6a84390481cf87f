# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole agents with real observers as their witnesses, run as an operator would run them."""

from __future__ import annotations

import time

from hil.agent import Agent, alarms, blocked, takeover_possible
from hil.proof import taken_over, undisturbed
from hil.watch import READY_LIMIT_S, TAKEOVER_LIMIT_S, orders, ready

from .observer_bench import Build, grown, pair_with_observers

GAP_MS_MAX = 3000.0


def test_observers_agree_when_they_hear_nobody_either(build: Build) -> None:
    """S2 e: the active freezes: two of three observers miss it too, and the third is dead."""
    with pair_with_observers(build) as (pair, observers):
        active, standby = ready(pair)
        observers.kill("epsilon")
        grown(pair, 2)
        Agent(standby).wait(
            lambda s: "witness_epsilon" in alarms(s) and takeover_possible(s),
            READY_LIMIT_S,
            "one lost is an alarm",
        )
        taken_over(pair, active, standby, active.freeze().at_ns)


def test_observers_that_hear_the_active_refuse(build: Build) -> None:
    """S2 e: every link of the pair is cut, and the active serves: the observers keep it there."""
    with pair_with_observers(build, probe=True) as (pair, _):
        active, standby = ready(pair)
        grown(pair, 3)
        cut_ns = time.monotonic_ns()
        for name in pair.machines:
            pair.network.lose_from(name, "ring")
            pair.network.lose_to("192.0.2.11" if name == "alpha" else "192.0.2.12")
            pair.network.lose_from(name, "lan", heartbeat_only=True)
        Agent(standby).wait(
            lambda s: "witness_refuses" in blocked(s), TAKEOVER_LIMIT_S, "the gate by name"
        )
        # Between two refusals `status` may show what the regular look at the witnesses brought.
        Agent(standby).wait(
            lambda s: (
                blocked(s) == ["witness_refuses"]
                and {w["detail"] for w in s["witnesses"]} == {f"hears {active.name}"}
            ),
            TAKEOVER_LIMIT_S,
            "refused for what they hear, and by no grace any more",
        )
        assert orders(pair, cut_ns) == []
        pair.network.heal()
        Agent(standby).wait(takeover_possible, READY_LIMIT_S, "all is well again")
        undisturbed(pair, active, cut_ns, gap_ms_max=GAP_MS_MAX)


def test_too_few_observers_block_and_status_says_so(build: Build) -> None:
    """Two of three lost change nothing, and would forbid a takeover: said before it is needed."""
    with pair_with_observers(build) as (pair, observers):
        active, standby = ready(pair)
        grown(pair, 3)
        lost_ns = time.monotonic_ns()
        observers.kill("delta")
        observers.kill("epsilon")
        status = Agent(standby).wait(
            lambda s: not takeover_possible(s), READY_LIMIT_S, "too few are left"
        )
        assert [r["code"] for r in status["takeover"]["reasons"]] == ["witness_unreachable"]
        undisturbed(pair, active, lost_ns, gap_ms_max=GAP_MS_MAX)
        active.freeze()
        Agent(standby).wait(
            lambda s: blocked(s) == ["witness_unreachable"], TAKEOVER_LIMIT_S, "the gate by name"
        )
        assert orders(pair, lost_ns) == []
