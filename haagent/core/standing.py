# SPDX-License-Identifier: GPL-2.0-or-later
"""Standing orders: what operators tell the pair once, and both nodes keep to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from haagent.core import detector
from haagent.core.effects import Reply
from haagent.core.events import AwayAsked, FailoverAsked, GroupOrdered, MaintenanceAsked
from haagent.core.gates import barred
from haagent.core.operator import peer_role
from haagent.core.orders import Orders
from haagent.core.phases import Alive, Blocked, Standby, Wanting, Yielded
from haagent.core.reasons import Reason
from haagent.core.settings import S
from haagent.core.state import Group, State
from haagent.core.turn import Turn
from haagent.core.wire import Role

ACCEPT_LOSS_NS = 600 * S
"""An operator's word about lost data is for the failover at hand, not for the next one."""
_MAY_ACCEPT = (Standby, Wanting, Yielded, Blocked)
_ACCEPTABLE = (None, Reason.DATA_TOO_OLD, Reason.NOT_IN_SYNC)


def maintenance_asked(turn: Turn, event: MaintenanceAsked) -> None:
    """The pair's switch: a higher version travels to the peer and is kept by both."""
    if turn.state.orders.maintenance != event.on:
        _order(turn, maintenance=event.on)
    word = "on" if event.on else "off"
    turn.emit(Reply(event.request, ok=True, message=f"maintenance is {word}"))


def _order(turn: Turn, **changes: Any) -> None:
    """New standing orders: a higher version travels to the peer and is kept by both."""
    orders = turn.state.orders
    detector.follow(turn, replace(orders, version=orders.version + 1, **changes))
    turn.set(beat_ns=turn.now_ns)


def ordered(turn: Turn, event: AwayAsked | GroupOrdered) -> None:
    """A standing order; the nodes act on it as on everything else, in their next steps."""
    orders = turn.state.orders
    if isinstance(event, AwayAsked):
        away = [*orders.away]
        away[event.node] = event.on
        _order(turn, away=(away[0], away[1]))
        message = "holds nothing that the other could hold" if event.on else "may hold groups"
    else:
        name = turn.group(event.group).settings.name
        refusal, changes, message = _group_order(orders, name, event.what)
        if refusal:
            turn.emit(Reply(event.request, ok=False, message=refusal))
            return
        _order(turn, **changes)
    turn.emit(Reply(event.request, ok=True, message=message))


def _group_order(
    orders: Orders, name: str, what: str
) -> tuple[str, dict[str, frozenset[str]], str]:
    """Why it is refused ("" if it is not), what it changes, and what to say."""
    one = frozenset({name})
    match what:
        case "stop" | "start" if name in orders.frozen:
            return f"{name} is frozen; unfreeze it first", {}, ""
        case "stop":
            return "", {"stopped": orders.stopped | one}, f"{name} is to run nowhere"
        case "start":
            return "", {"stopped": orders.stopped - one}, f"{name} is to run"
        case "freeze":
            return "", {"frozen": orders.frozen | one}, f"{name} stays as it is"
        case _:
            return "", {"frozen": orders.frozen - one}, f"{name} is looked after again"


def failover_asked(turn: Turn, event: FailoverAsked) -> None:
    """Too old data is accepted for this once; every other gate stands."""
    state = turn.state
    wanted = range(len(state.groups)) if event.group is None else [event.group]
    waiting = [i for i in wanted if isinstance(state.groups[i].phase, _MAY_ACCEPT)]
    served = [i for i in waiting if peer_role(state, i) is Role.ACTIVE]
    bars = [bar for i in waiting if (bar := barred(state, state.groups[i])) not in _ACCEPTABLE]
    if not waiting:
        message = "refused: the group runs here, or is about to"
    elif served and isinstance(state.pair, Alive):
        message = "refused: the peer is alive and serves; use switchover, or fence it first"
    elif bars:
        message = f"refused: {bars[0].text}"
    else:
        for index in waiting:
            turn.set(groups=_accepting(turn.state, index), wake_ns=turn.now_ns)
        names = ", ".join(turn.group(index).settings.name for index in waiting)
        limit_min = ACCEPT_LOSS_NS // (60 * S)
        message = (
            f"{names}: lost data is accepted for {limit_min} minutes; "
            "it starts as soon as the peer is proved off"
        )
        turn.emit(Reply(event.request, ok=True, message=message))
        return
    turn.emit(Reply(event.request, ok=False, message=message))


def _accepting(state: State, index: int) -> tuple[Group, ...]:
    groups = list(state.groups)
    until_ns = state.now_ns + ACCEPT_LOSS_NS
    groups[index] = replace(groups[index], accept_loss_until_ns=until_ns)
    return tuple(groups)
