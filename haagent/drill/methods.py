# SPDX-License-Identifier: GPL-2.0-or-later
"""What each kind of drill does, and what it holds against its hypothesis.

Each raises StoppedError or DeviatedError; what stands then is undone by the rollback.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from haagent.drill.cables import not_redundant
from haagent.drill.kinds import Kind
from haagent.drill.pair import ORDER_S, codes
from haagent.drill.scene import Scene
from haagent.drill.takeover import failover_times
from haagent.drill.watch import AGENT_GONE, DeviatedError
from haagent.errors import EdgeError

AGENT_BACK_S = 30.0
"""For systemd to start the agent again; it takes about a second."""
LINK_SEEN_S = 10.0
SPARE_S = 10.0
FINISH = 3
"""A takeover is waited for so many budgets: who begins one sees it through."""
ALWAYS_WRONG = (
    *("fence_distrusted", "too_many_", "vip_", "configuration_differs", "not_durable"),
    AGENT_GONE,
)
"""Alarms that are a second fault even while the peer is away."""
FREEZE_S_MAX = 3.0
"""Below the 5 s after which systemd takes a frozen agent for dead (WatchdogSec in the unit)."""


async def check(scene: Scene) -> None:
    """The checklist was most of it; what is left is a login of our own."""
    try:
        result = await scene.power.test()
    except EdgeError as error:
        raise DeviatedError(f"a fence device cannot be counted on: {error}") from None
    for device in result["devices"]:
        name, power = device.get("device"), device.get("power")
        scene.say(f"{name}: reads {power}, machine {device.get('identity') or 'not told'}")


async def switchover(scene: Scene) -> None:
    """Every group there, and back."""
    since_ns = time.monotonic_ns()
    moving(scene)
    for group, role in scene.began.items():
        await hand_over(scene, group, _other(role))
    for group, role in scene.began.items():
        await hand_over(scene, group, role)
    if fences(scene, since_ns):
        raise DeviatedError("somebody was shot during a hand-over in peace")


def moving(scene: Scene) -> None:
    """From now on groups are handed over in peace."""
    watch = scene.watch
    watch.gap_budget_s, watch.still = scene.settings.switchover_budget_s, False
    # A node that has just given a group away says so for some seconds.
    watch.allowed = lambda code: code.startswith(("inactive_", "resource_", "peer_not_promotable"))


async def hand_over(scene: Scene, group: str, role: str) -> None:
    """One group to the other node, once that can take it (one that has just given it waits)."""
    watch = scene.watch
    await watch.until(scene.peer_is_back, ORDER_S, "either node could take over")
    scene.say(f"hand {group} over: {role} here")
    asked_ns = time.monotonic_ns()
    try:
        await scene.pair.ask({"verb": "switchover", "group": group}, ORDER_S)
    except EdgeError as error:
        raise DeviatedError(f"{group} was not handed over: {error}") from None
    await watch.until(lambda: _role(scene, group) == role, ORDER_S, f"{group} is {role} here")
    scene.took(f"hand-over of {group}", asked_ns, scene.settings.switchover_budget_s)


def _role(scene: Scene, group: str) -> str:
    here = scene.watch.here
    return next((str(g["role"]) for g in here["groups"] if g["name"] == group), "") if here else ""


def _other(role: str) -> str:
    return "standby" if role == "active" else "active"


def fences(scene: Scene, since_ns: int) -> int:
    """Power-offs that this node's agent has ordered since a moment."""
    here, at_ns = scene.watch.here, scene.watch.here_ns
    return 0 if here is None else sum(at_ns - s * 1e9 > since_ns for s in here["fences_s_ago"])


async def agent_kill(scene: Scene) -> None:
    """The agent of the active dies; it is back in time, or its peer takes over."""
    watch, peer = scene.watch, scene.pair.peer
    assert watch.there is not None
    scene.killed, since_ns = watch.there["incarnation"], time.monotonic_ns()
    watch.allowed, watch.still = _absent, False
    await scene.pair.order("kill", peer)
    scene.say(f"the agent of {peer} is killed")
    limit_s = scene.patience_s + scene.fence_s + AGENT_BACK_S

    def ended() -> bool:
        return fences(scene, since_ns) > 0 or scene.peer_is_back()

    await watch.until(ended, limit_s, f"the agent of {peer} is back, or was shot")
    if fences(scene, since_ns):
        text = f"the agent of {peer} was not back within {scene.patience_s:g} s: it was shot for it"
        scene.say(text)
        await taken_over(scene, since_ns)
        if scene.probed:
            raise DeviatedError(text)  # With a probe there is time enough for a restart.
        return
    scene.took("agent back", since_ns, scene.patience_s)
    if not scene.as_it_began():
        raise DeviatedError("a group moved although the agent was back in time")


async def agent_freeze(scene: Scene) -> None:
    """The agent of the active stops for less than its peer's patience: no more than suspected."""
    watch, peer = scene.watch, scene.pair.peer
    timing = scene.configuration.pair.timing
    suspect_s, since_ns = timing.suspect_after_ns / 1e9, time.monotonic_ns()
    for_s = min((suspect_s + scene.patience_s) / 2, FREEZE_S_MAX)
    watch.allowed = _absent
    await scene.pair.order("freeze", peer, scope="agent", for_s=for_s)
    scene.say(f"the agent of {peer} is frozen for {for_s:g} s")
    asked_s, watch.silent_s_max = time.monotonic(), 0.0

    def thawed() -> bool:
        over = time.monotonic() > asked_s + for_s and watch.silent_s_max > suspect_s
        return over and scene.peer_is_back()

    await watch.until(thawed, for_s + AGENT_BACK_S, f"{peer} fell silent, and is back")
    scene.say(f"{peer} was silent for {watch.silent_s_max:.2f} s and goes on")
    if fences(scene, since_ns):
        raise DeviatedError(f"{peer} was shot although it was frozen for {for_s:g} s only")


async def ring_loss(scene: Scene) -> None:
    """One link after the other is lost; the others carry the pair."""
    watch, since_ns = scene.watch, time.monotonic_ns()
    shared = not_redundant(scene.configuration.links)
    if shared:
        raise DeviatedError(shared)
    for_s = 3 * scene.configuration.pair.timing.dead_after_ns / 1e9 + 2
    for link in scene.configuration.links:
        await _lose(scene, link.name, for_s)
    if fences(scene, since_ns):
        raise DeviatedError("somebody was shot for a lost link")
    watch.allowed = _nothing


async def _lose(scene: Scene, name: str, for_s: float) -> None:
    watch = scene.watch
    watch.allowed = lambda code: code == f"link_{name}"
    await watch.silence([name])
    scene.say(f"link {name} is silenced")
    seen = f"the status says that {name} is lost"
    await watch.until(lambda: _link(scene, name) == "down", LINK_SEEN_S, seen)
    await watch.quiet(for_s)
    if watch.here is not None and watch.here["peer_state"]["phase"] != "alive":
        raise DeviatedError(f"without {name} the peer was lost")
    await watch.mend()

    def back() -> bool:
        said = codes(watch.here) | codes(watch.there)
        return scene.peer_is_back() and f"link_{name}" not in said

    await watch.until(back, LINK_SEEN_S, f"{name} is back, as both nodes say")


def _nothing(_code: str) -> bool:
    return False


def _link(scene: Scene, name: str) -> str:
    here = scene.watch.here
    return next((str(x["state"]) for x in here["links"] if x["name"] == name), "") if here else ""


async def fence_standby(scene: Scene) -> None:
    """A real power cycle of the standby, by the devices on which a takeover from it depends."""
    watch, peer = scene.watch, scene.pair.peer
    watch.check()
    watch.allowed, watch.committed, scene.cut = _absent, True, True
    since_ns = time.monotonic_ns()
    scene.say(f"cutting the power of {peer}")
    try:
        result = await scene.power.cycle()
    except EdgeError as error:
        raise DeviatedError(f"{peer} was not proved off and on again: {error}") from None
    for attempt in result["attempts"]:
        scene.say(f"{attempt['device']}: {attempt['outcome']}, {attempt['detail']}".rstrip(", "))
        if attempt["read_off_s"] is not None and attempt["ordered_s"] is not None:
            took_ms = (attempt["read_off_s"] - attempt["ordered_s"]) * 1000
            budget_ms = scene.fence_s * 1000
            row = {"name": f"{attempt['device']} ordered to read off", "ms": round(took_ms, 1)}
            scene.times.append({**row, "budget_ms": budget_ms})
    scene.took("power cycle", since_ns)
    await came_back(scene, since_ns)
    if not scene.as_it_began():
        raise DeviatedError("a group moved for the death of a standby")


async def crash_active(scene: Scene) -> None:
    """The active dies as machines do: its kernel, or everything on it, stops."""
    peer = scene.pair.peer
    scene.watch.check()
    since_ns = time.monotonic_ns()
    _commit(scene)
    if scene.settings.crash == "kernel":
        await scene.pair.order("crash", peer)
    else:
        for_s = scene.patience_s + scene.fence_s + SPARE_S
        await scene.pair.order("freeze", peer, scope="machine", for_s=for_s)
    scene.say(f"{peer} crashes ({scene.settings.crash})")
    await taken_over(scene, since_ns)


async def partition(scene: Scene) -> None:
    """No heartbeat passes; until a shot is ordered, mending it is free."""
    watch, since_ns = scene.watch, time.monotonic_ns()
    watch.allowed, watch.still = _absent, False
    watch.gap_budget_s = scene.settings.takeover_budget_s
    for_s = scene.patience_s + scene.fence_s + SPARE_S
    names = [link.name for link in scene.configuration.links]
    await watch.silence(names)
    scene.say("all heartbeat links are silenced")
    await watch.until(lambda: _shooting(scene, since_ns), for_s, f"{scene.pair.peer} is shot")
    _commit(scene)
    # The groups are to be here before a word of the returning peer is heard; then it is mended.
    try:
        await taken_over(scene, since_ns, back=False)
    finally:
        await watch.mend()
    await came_back(scene, since_ns)


def _shooting(scene: Scene, since_ns: int) -> bool:
    here = scene.watch.here
    fencing = here is not None and here["peer_state"]["phase"] == "fencing"
    return fencing or fences(scene, since_ns) > 0


async def fence_active(scene: Scene) -> None:
    """Somebody else cuts the power of the active; its peer has to find out by itself."""
    peer = scene.pair.peer
    scene.watch.check()
    since_ns = time.monotonic_ns()
    _commit(scene)
    scene.say(f"cutting the power of {peer} from outside")
    try:
        await scene.power.cut(scene.patience_s + scene.fence_s + SPARE_S)
    except EdgeError as error:
        scene.watch.deviations.append(f"{peer} was not read off after the cut: {error}")
    await taken_over(scene, since_ns)


def _commit(scene: Scene) -> None:
    """From here on the takeover has to be seen through."""
    watch = scene.watch
    watch.allowed, watch.still, watch.committed, scene.cut = _absent, False, True, True
    watch.gap_budget_s = scene.settings.takeover_budget_s


async def taken_over(scene: Scene, since_ns: int, *, back: bool = True) -> None:
    """The groups come here, after exactly one shot; then the peer comes back.

    Raises:
        DeviatedError: They did not, or not so; only after all that could be waited for.
    """
    _commit(scene)
    scene.took_over = True
    budget_s = scene.settings.takeover_budget_s
    gone = False

    def ended() -> bool:
        nonlocal gone
        here = scene.watch.here
        gone = gone or (here is not None and here["peer_state"]["phase"] != "alive")
        return scene.all_here() or (gone and scene.peer_is_back())

    await scene.watch.until(ended, budget_s * FINISH, "every group is active here")
    if not scene.all_here():
        raise DeviatedError(f"{scene.pair.peer} is back, and was not taken over from")
    scene.took("takeover, from the fault", since_ns, budget_s)
    scene.times += await failover_times(scene, since_ns)
    ordered = fences(scene, since_ns)
    if ordered != 1:
        scene.watch.deviations.append(f"{ordered} power-offs were ordered, not one")
    if back:
        await came_back(scene, since_ns)
    late = [row for row in scene.times if row["budget_ms"] and row["ms"] > row["budget_ms"]]
    if late:
        names = ", ".join(f"{row['name']} took {row['ms']:.0f} ms" for row in late)
        raise DeviatedError(f"beyond its budget: {names}")
    if ordered != 1:
        raise DeviatedError(f"{ordered} power-offs were ordered, not one")


async def came_back(scene: Scene, since_ns: int) -> None:
    """The peer has its power again, and stands by."""
    what = f"{scene.pair.peer} is back, and either node could take over"
    budget_s = scene.settings.return_budget_s
    await scene.watch.until(scene.peer_is_back, budget_s, what)
    scene.took("peer back as standby", since_ns, budget_s)


def _absent(code: str) -> bool:
    """What is said of a peer that is silent, dead, or on its way back."""
    return not code.startswith(ALWAYS_WRONG)


METHODS: dict[Kind, Callable[[Scene], Awaitable[None]]] = {
    Kind.CHECK: check,
    Kind.SWITCHOVER: switchover,
    Kind.AGENT_KILL: agent_kill,
    Kind.AGENT_FREEZE: agent_freeze,
    Kind.RING_LOSS: ring_loss,
    Kind.FENCE_STANDBY: fence_standby,
    Kind.CRASH_ACTIVE: crash_active,
    Kind.PARTITION: partition,
    Kind.FENCE_ACTIVE: fence_active,
}
