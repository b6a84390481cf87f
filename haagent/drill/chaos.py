# SPDX-License-Identifier: GPL-2.0-or-later
"""Chaos: one random fault after the other, until the time is over or something deviates.

Each fault is a drill of its kind, undone and held against the same steady state before the next one
is drawn. The seed makes the same draws again; what the pair does not allow at that moment (its
limits of power-offs and moves) is passed over.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from haagent.drill import steady
from haagent.drill.kinds import Kind, Where
from haagent.drill.methods import METHODS, hand_over, moving
from haagent.drill.pair import roles
from haagent.drill.rollback import SETTLE_S, roll_back
from haagent.drill.scene import Scene
from haagent.drill.watch import BY_A_PERSON, DeviatedError, StoppedError
from haagent.errors import EdgeError

APART_MAX = 3.0
"""The time between two faults is drawn from once to so many times the minimum."""
THERE_AND_BACK = 2
"""Moves of every group in a drill that moves them."""


async def chaos(scene: Scene) -> None:
    """One fault after the other.

    Raises:
        StoppedError: A person had it stopped.
        DeviatedError: Something was not as it should be.
    """
    plan = scene.chaos
    assert plan is not None, "chaos is run with its plan"
    # Which fault comes when: nobody is kept from guessing it.
    draws = random.Random(plan.seed)  # noqa: S311
    end_s = time.monotonic() + plan.for_s
    number = 0
    while True:
        pause_s = draws.uniform(1, APART_MAX) * plan.apart_s
        order = draws.sample(plan.kinds, len(plan.kinds))
        await _in_peace(scene, min(pause_s, end_s - time.monotonic()))
        if time.monotonic() >= end_s:
            scene.say(f"{number} faults, and all is well")
            return
        kind = next((kind for kind in order if possible(scene, kind)), None)
        if kind is None:
            scene.say("no fault now: each would exceed max_fences or max_moves")
            continue
        number += 1
        await _fault(scene, number, kind)


async def _in_peace(scene: Scene, for_s: float) -> None:
    """The steady state for so long."""
    scene.timeline.phase("rest")
    steady.at_rest(scene)
    scene.watch.committed = False
    with _deviating("between two faults"):
        await scene.watch.quiet(max(for_s, 0.0))
        scene.watch.check()


async def _fault(scene: Scene, number: int, kind: Kind) -> None:
    """One drill, undone and proved undone."""
    name = f"fault {number}, {kind}"
    scene.say(name)
    with _deviating(f"before {name}"):
        await _place(scene, kind.plan.where)
    since_ns, earlier = time.monotonic_ns(), len(scene.times)
    # Its times go into our list: a fault that deviates is told with them, too.
    one = replace(scene, kind=kind, began=roles(scene.watch.here), took_over=False)
    scene.timeline.phase(kind)
    try:
        with _deviating(name):
            await METHODS[kind](one)
    finally:
        scene.cut = one.cut
        for row in scene.times[earlier:]:
            row["name"] = f"{number} {kind}: {row['name']}"
    scene.timeline.phase("rollback")
    failed = [step.text for step in await roll_back(one) if not step.ok]
    if failed:
        raise DeviatedError(f"{name}, was not undone: {'; '.join(failed)}")
    scene.cut = False
    with _deviating(f"after {name}"):
        await steady.after(one)
        steady.within_budgets(one, since_ns)
        await scene.writes.count()


@contextmanager
def _deviating(where: str) -> Iterator[None]:
    """What stops a drill is a deviation here, unless a person wants it to end.

    Raises:
        StoppedError: A person does.
        DeviatedError: Something else went wrong, there.
    """
    try:
        yield
    except StoppedError as stopped:
        if stopped.code in BY_A_PERSON:
            raise
        raise DeviatedError(f"{where}: {stopped}") from None
    except (DeviatedError, EdgeError) as deviated:
        raise DeviatedError(f"{where}: {deviated}") from None


async def _place(scene: Scene, where: Where) -> None:
    """Have every group where this kind wants it: the fault is always the peer's to bear."""
    strays = _strays(scene, where)
    if not strays:
        return
    watch = scene.watch
    scene.timeline.phase("move")
    moving(scene)
    for group in strays:
        await hand_over(scene, group, _role(where))
    calm = "either node could take over, and nothing is wrong that was not"
    await watch.until(lambda: scene.peer_is_back() and watch.calm(), SETTLE_S, calm)
    watch.settle()
    steady.at_rest(scene)


def _strays(scene: Scene, where: Where) -> list[str]:
    """Groups that are not where that kind wants them."""
    here = roles(scene.watch.here)
    return [] if where is Where.ANY else [n for n, role in here.items() if role != _role(where)]


def _role(where: Where) -> str:
    return "active" if where is Where.ACTIVE else "standby"


def possible(scene: Scene, kind: Kind) -> bool:
    """Whether the pair's own limits leave room for it, and for the way home."""
    plan, timing = kind.plan, scene.configuration.pair.timing
    limits = {group.name: group.max_moves for group in scene.configuration.pair.groups}
    moves = 1 if _strays(scene, plan.where) else 0
    if plan.takeover or kind in {Kind.SWITCHOVER, Kind.AGENT_KILL}:
        moves += THERE_AND_BACK
    for status in (scene.watch.here, scene.watch.there):
        if status is None or (plan.power and status["fences_in_window"] >= timing.max_fences):
            return False
        for group in status["groups"]:
            # One more for the way home, and the limit itself is an alarm.
            if moves and group["moves_in_window"] + moves + 1 >= limits[group["name"]]:
                return False
    return True
