# SPDX-License-Identifier: GPL-2.0-or-later
"""How a group ends on this node: let go of, found running against all orders, seen stopped or not.

Only what was *seen* stopped is over (S2 a); what cannot be stopped makes this node ask to be shot
(S7).
"""

from __future__ import annotations

from dataclasses import replace

from haagent.core import moves
from haagent.core.effects import StopGroup
from haagent.core.phases import (
    HOLDING,
    Active,
    Assessing,
    Blocked,
    Releasing,
    Standby,
    Starting,
    Stuck,
    TakingOver,
)
from haagent.core.reasons import Reason
from haagent.core.settings import S
from haagent.core.turn import Turn

HAND_OVER_NS = 5 * S
"""For so long after a hand-over the other node goes first."""
STOP_RETRY_NS = 1 * S
"""A stop that failed may succeed when a client has let go; the stop budget bounds the trying."""
START_FAILED_NS = 60 * S
"""Pause before a node that could not hold a group offers itself again."""


def release(turn: Turn, index: int, reason: Reason | None = None, detail: str = "") -> None:
    """Stop the group here; the term stays ours until everything was seen stopped."""
    group = turn.group(index)
    assert isinstance(group.phase, Active | Starting)
    attempt = order_stop(turn, index)
    until_ns = turn.now_ns + turn.timing.stop_budget_ns
    turn.enter(index, Releasing(group.phase.term, attempt, until_ns, reason, detail))
    # Not only when all of it is stopped: an agent killed then must not find it "held" (ADR 3).
    turn.persist()


def order_stop(turn: Turn, index: int) -> int:
    """Have the group stopped here; the attempt number answers."""
    attempt = turn.attempt()
    turn.emit(StopGroup(index, attempt))
    return attempt


def escaped(turn: Turn, index: int) -> None:
    """Something of the group serves here although it is not held: stopped, or S7.

    In a frozen group it is as the operator wants it: status tells, nothing is touched.
    """
    group = turn.group(index)
    frozen = group.settings.name in turn.state.orders.frozen
    if not frozen and not isinstance(group.phase, (*HOLDING, TakingOver)):
        until_ns = turn.now_ns + turn.timing.stop_budget_ns
        turn.enter(index, Assessing(order_stop(turn, index), until_ns))


def stop_failed(turn: Turn, index: int) -> None:
    """It still runs: tried again until the stop budget is over; then this node is Stuck (S7)."""
    phase = turn.group(index).phase
    if isinstance(phase, Assessing | Releasing):
        turn.enter(index, replace(phase, retry_ns=turn.now_ns + STOP_RETRY_NS))


def stopped(turn: Turn, index: int) -> None:
    """Everything of the group was seen stopped here."""
    phase = turn.group(index).phase
    moves_ns = moves.one_more(turn, index)
    if isinstance(phase, Releasing) and phase.reason is not None:
        blocked = Blocked(phase.reason, phase.detail, turn.now_ns + START_FAILED_NS)
        turn.enter(index, blocked, moves_ns=moves_ns, gave_up=True)
    elif isinstance(phase, Releasing | Stuck):
        turn.enter(index, Standby(turn.now_ns + HAND_OVER_NS), moves_ns=moves_ns)
    else:
        turn.enter(index, Standby())
    turn.set(wake_ns=turn.now_ns)
    turn.persist()
