# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts the pair back as it began: always run, each step even if the one before failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from haagent.drill.pair import ORDER_S, roles
from haagent.drill.scene import Scene
from haagent.drill.watch import DeviatedError
from haagent.errors import EdgeError

SETTLE_S = 60.0
LIFT_S = 30.0
"""For an agent that was killed to be started again, or one that is frozen to go on."""
LIFT_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is undone."""

    name: str
    ok: bool
    text: str
    command: str = ""
    """What a person does who undoes it by hand; empty if nothing is left to be done."""


async def roll_back(scene: Scene) -> list[Step]:
    """Lift all faults, give the power back, wait for the peer, put every group where it was."""
    watch = scene.watch
    # Nothing stops it any more, and what is wrong meanwhile is what it undoes.
    watch.committed, watch.still, watch.allowed = True, False, lambda _: True
    me, peer = scene.pair.me, scene.pair.peer
    steps = [await _tried("lift", f"faults on {me}", _lift(scene, me), "systemctl restart haagent")]
    if scene.cut:
        command = f"haagent fence on {peer}"
        given = _give(scene)
        steps.append(await _tried("power", f"{peer} has power", given, command))
        limit_s = scene.settings.return_budget_s
    else:
        command = f"ssh {peer} systemctl restart haagent"
        lifted = _lift(scene, peer)
        steps.append(await _tried("lift", f"faults on {peer}", lifted, command))
        limit_s = SETTLE_S
    what = f"{peer} is there, and either node could take over"
    command = f"haagent status; ssh {peer} haagent status"
    back = watch.until(scene.peer_is_back, limit_s, what)
    steps.append(await _tried("return", what, back, command))
    await watch.look()  # A hand-over that was under way has ended since.
    for group, role in scene.began.items():
        if roles(watch.here).get(group) != role or not _at_rest(scene, group):
            text = f"{group} is {role} on {me} again"
            command = f"haagent switchover {group}"
            steps.append(await _tried("roles", text, _move(scene, group, role), command))
    return steps


async def _tried(name: str, text: str, work: Awaitable[None], command: str) -> Step:
    try:
        await work
    except (EdgeError, DeviatedError) as error:
        return Step(name, ok=False, text=f"{text}: NO: {error}", command=command)
    return Step(name, ok=True, text=text)


async def _lift(scene: Scene, node: str) -> None:
    """Asked again for a while: an agent that is dead or frozen carries nothing once it is back."""
    end_s = time.monotonic() + LIFT_S
    while True:
        try:
            if node == scene.pair.me:
                await scene.watch.mend()
            else:
                await scene.pair.order("lift", node)
        except EdgeError:
            if time.monotonic() > end_s:
                raise
            await asyncio.sleep(LIFT_EVERY_S)
        else:
            return


async def _give(scene: Scene) -> None:
    """Unless it is seen to live already."""
    if not scene.peer_is_back():
        await scene.power.give()
    await scene.power.given()


async def _move(scene: Scene, group: str, role: str) -> None:
    """Hand a group back, as soon as it is somewhere and its node takes it again."""
    watch = scene.watch

    def ready() -> bool:
        return scene.peer_is_back() and _at_rest(scene, group)

    await watch.until(ready, SETTLE_S, f"{group} is active on one node, either could take over")
    if roles(watch.here).get(group) != role:
        scene.say(f"hand {group} back")
        await scene.pair.ask({"verb": "switchover", "group": group}, ORDER_S)
    await watch.until(lambda: roles(watch.here).get(group) == role, ORDER_S, "it is back")


def _at_rest(scene: Scene, group: str) -> bool:
    """It is active on exactly one node, as this one sees it."""
    here = roles(scene.watch.here).get(group) == "active"
    return here != (roles(scene.watch.here, "peer_role").get(group) == "active")
