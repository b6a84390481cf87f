# SPDX-License-Identifier: GPL-2.0-or-later
"""Failures in a row make a restart, and restarts are bounded whatever the readings are."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from haagent.resources import Condition, Reading
from haagent.resources.health import (
    Decision,
    Health,
    Lost,
    Nothing,
    Policy,
    Restart,
    fail,
    judge,
)

S = 1_000_000_000
GOOD = Reading(Condition.ACTIVE)
BAD = Reading(Condition.FAILED, "no answer")

policies = st.builds(
    Policy,
    failures=st.integers(1, 5),
    restarts=st.integers(0, 4),
    restart_window_ns=st.integers(1, 100 * S),
)
readings = st.sampled_from([GOOD, *(Reading(each) for each in Condition), BAD])
looks = st.lists(st.tuples(st.integers(0, 40 * S), st.sampled_from("abc"), readings), max_size=80)


def decide(policy: Policy, history: list[tuple[int, str, Reading]]) -> list[tuple[int, Decision]]:
    """Every decision and its time; the first number of each look is the pause before it."""
    health, now_ns, decisions = Health(), 0, []
    for pause_ns, name, reading in history:
        now_ns += pause_ns
        health, decision = judge(health, policy, name, reading, now_ns)
        decisions.append((now_ns, decision))
    return decisions


@given(policies, looks)
@example(Policy(1, 1, 10), [(0, "a", BAD), (10, "a", BAD), (9, "a", BAD)])
def test_restarts_are_bounded_in_any_window(
    policy: Policy, history: list[tuple[int, str, Reading]]
) -> None:
    """However readings flap: in no window are there more restarts than the policy allows."""
    restarts_ns = [at for at, decision in decide(policy, history) if isinstance(decision, Restart)]
    for first in restarts_ns:
        window = [at for at in restarts_ns if 0 <= at - first < policy.restart_window_ns]
        assert len(window) <= policy.restarts


@given(policies, looks)
def test_a_failure_is_a_row(policy: Policy, history: list[tuple[int, str, Reading]]) -> None:
    """Something is done exactly if the resource's last readings since anything was done, so many
    as the policy says, were bad without one good among them.
    """  # noqa: D205 - one claim
    rows: dict[str, int] = {}
    for (_, name, reading), (_, decision) in zip(history, decide(policy, history), strict=True):
        rows[name] = 0 if reading.condition is Condition.ACTIVE else rows.get(name, 0) + 1
        assert isinstance(decision, Nothing) == (rows[name] < policy.failures)
        if not isinstance(decision, Nothing):
            assert name in (decision.name if isinstance(decision, Restart) else decision.detail)
            rows.clear()


@given(policies, looks)
def test_lost_only_when_no_restart_is_left(
    policy: Policy, history: list[tuple[int, str, Reading]]
) -> None:
    """A group is given up only with as many restarts as allowed within the window before."""
    restarts_ns: list[int] = []
    for now_ns, decision in decide(policy, history):
        if isinstance(decision, Restart):
            restarts_ns.append(now_ns)
        elif isinstance(decision, Lost):
            recent = [at for at in restarts_ns if now_ns - at < policy.restart_window_ns]
            assert len(recent) == policy.restarts


def test_alternating_readings_do_nothing() -> None:
    """Good and bad in turn never is a row of two."""
    history = [(S, "a", GOOD if number % 2 else BAD) for number in range(100)]
    assert {type(decision) for _, decision in decide(Policy(failures=2), history)} == {Nothing}


def test_flapping_between_restarts_ends_in_lost() -> None:
    """A service that comes up and breaks again is restarted twice, then given up; later anew."""
    policy = Policy(failures=1, restarts=2, restart_window_ns=60 * S)
    history = [(S, "a", GOOD if number % 2 else BAD) for number in range(6)]
    history += [(60 * S, "a", BAD)]
    decisions = [d for _, d in decide(policy, history) if not isinstance(d, Nothing)]
    assert decisions == [
        Restart("a", "no answer"),
        Restart("a", "no answer"),
        Lost("a: no answer (2 restarts within 60 s did not cure it)"),
        Restart("a", "no answer"),
    ]


@pytest.mark.parametrize("condition", [Condition.STOPPED, Condition.STANDBY, Condition.FAILED])
def test_only_active_is_good(condition: Condition) -> None:
    """A group that is to serve is not served by what is stopped or unpromoted either."""
    (_, decision), *_ = decide(Policy(failures=1), [(0, "a", Reading(condition))])
    assert decision == Restart("a", condition.value)


def test_a_policy_without_restarts_gives_up_at_once() -> None:
    """Zero restarts: the first failure is the group's end here, in plain words."""
    policy = Policy(failures=1, restarts=0)
    assert fail(Health(), policy, "a", "no answer", 0)[1] == Lost("a: no answer")
