# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets this node in to the shared disks: registers its keys there, and sees that they stay.

Who takes our place cuts us off by removing them, and is cut off by us in the same way: so a standby
needs them too. Only a node by which nothing can be written that another holds lets itself in:

- nothing of the groups that stand on the disks runs here, as was seen; or
- the peer is known to hold none of them: proved off, gone with its farewell, or heard to say so
  after our key was found missing, while it hears us.

So a node that was cut off and runs on stays cut off, until it has stopped everything. It is the
core's knowledge by which this is judged, and no knowledge of the core depends on it.
Source: docs/adr/0018.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence

import structlog

from fencing import DeviceSettings, Power
from fencing.client import DeviceClient
from fencing.drivers import cuts_power
from haagent.bugs import die_of_bugs
from haagent.config.settings import PERMISSION_NAME
from haagent.core.gates import configuration_agrees
from haagent.core.operator import peer_hears_us
from haagent.core.phases import HOLDING, Active, Alive, Fenced, Left, PoweringOn, Starting
from haagent.core.state import State
from haagent.resources import Condition, Reading, ResourceError

LET_IN_S = 20.0
"""A start waits so long for the disks; an agent needs about a second for each."""
LOST_NS = 5_000_000_000
"""A group whose node was left out is given up so much later; by then it could be in again."""
RETRY_NS = 5_000_000_000

log = structlog.get_logger()


class Admission:
    """This node's keys.

    Args:
        devices: Of this node; those that cut its power are not asked.
        groups: Those that stand on the disks, by number.
        lost: Called once with the reason, when this node was left out for long.
        changed: Called when `trouble` has changed.
    """

    def __init__(
        self,
        devices: Sequence[DeviceSettings],
        groups: frozenset[int],
        lost: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self._groups = groups
        self._lost = lost
        self._changed = changed
        self._clients = [self._client(device) for device in permissions(devices)]
        self._state: State | None = None
        self._out_ns: dict[str, int] = {}
        """By device: when we learned that the key is missing, as long as it is."""
        self._unasked = {client.settings.name for client in self._clients}
        """Devices that were not ordered to let us in since this agent started: an agent keeps our
        key in a file that a boot removes, and cuts nobody off without it."""
        self._tried_ns: dict[str, int] = {}
        """By device: when the node last tried to let itself in."""
        self._refused: dict[str, str] = {}
        """By device: why that failed."""
        self._told = False
        self._said = self.trouble
        self._turn = asyncio.Event()
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Ask the disks from now on, in the background."""
        for client in self._clients:
            client.start()
        self._spawn(self._keep())

    async def close(self) -> None:
        """Ask no more; the keys stay where they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in self._clients))

    def reconfigure(self, devices: Sequence[DeviceSettings]) -> None:
        """Go on with these. What stays as it was is asked on; what goes keeps its key."""
        wanted = permissions(devices)
        kept = {c.settings.name: c for c in self._clients if c.settings in wanted}
        for client in self._clients:
            if client.settings.name not in kept:
                self._out_ns.pop(client.settings.name, None)
                self._unasked.discard(client.settings.name)
                self._refused.pop(client.settings.name, None)
                self._spawn(client.close())
        self._clients = [kept.get(one.name) or self._client(one) for one in wanted]
        for client in self._clients:
            if client.settings.name not in kept:
                self._unasked.add(client.settings.name)
                client.start()
        self._say()

    @property
    def trouble(self) -> str:
        """Why this node may not write to every disk, as far as it knows; "" if it may."""
        return "; ".join(
            f"{client.settings.name}: {self._why(client)}"
            for client in self._clients
            if client.readiness.power is not Power.ON
        )

    def reading(self, *, rests: bool) -> Reading:
        """For status, beside the resources of a group."""
        if self.trouble:
            return Reading(Condition.FAILED, f"not let in: {self.trouble}")
        return Reading(Condition.STANDBY if rests else Condition.ACTIVE)

    def observe(self, state: State) -> None:
        """After each step of the core."""
        self._state = state
        if self._unasked:
            self._turn.set()
        if not self._out_ns:
            return
        self._turn.set()
        if self._told or not any(isinstance(state.groups[i].phase, Active) for i in self._groups):
            return
        if time.monotonic_ns() - min(self._out_ns.values()) > LOST_NS:
            self._told = True
            log.error("permission.lost", reason=self.trouble)
            self._lost(f"{PERMISSION_NAME}: not let in: {self.trouble}")

    async def let_in(self) -> None:
        """Return once this node may write to every disk: at once, where that is known.

        Raises:
            ResourceError: It may not, and why.
        """
        for client in self._clients:
            if client.readiness.power is not Power.ON:
                client.recheck()
        try:
            async with asyncio.timeout(LET_IN_S):
                while self.trouble:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise ResourceError(f"{PERMISSION_NAME}: not let in: {self.trouble}") from None

    def _client(self, settings: DeviceSettings) -> DeviceClient:
        return DeviceClient(settings, lambda _: self._read(), lambda: None, lambda _: 0.0)

    def _read(self) -> None:
        """A disk was asked, or could not be."""
        for client in self._clients:
            name, reading = client.settings.name, client.readiness
            if reading.power is Power.ON:
                self._refused.pop(name, None)
                if self._out_ns.pop(name, None) is not None:
                    log.info("permission.given", device=name)
            elif reading.power is Power.OFF and name not in self._out_ns:
                self._out_ns[name] = time.monotonic_ns()
                log.warning("permission.missing", device=name, evidence=reading.evidence)
        if not self._out_ns:
            self._told = False
        self._turn.set()
        self._news.set()
        self._say()

    async def _keep(self) -> None:
        """Let this node in whenever it is left out and may be let in."""
        while True:
            await self._turn.wait()
            self._turn.clear()
            for client in self._clients:
                if self._due(client):
                    await self._register(client)

    def _due(self, client: DeviceClient) -> bool:
        name, now_ns = client.settings.name, time.monotonic_ns()
        missed_ns = self._out_ns.get(name)
        if missed_ns is None:
            if name not in self._unasked or client.readiness.power is not Power.ON:
                return False
            missed_ns = 0
        if now_ns - self._tried_ns.get(name, -RETRY_NS) < RETRY_NS:
            return False
        return self._state is not None and admissible(self._state, self._groups, missed_ns)

    async def _register(self, client: DeviceClient) -> None:
        name = client.settings.name
        log.info("permission.taking", device=name)
        ok, detail = await client.on()
        self._tried_ns[name] = time.monotonic_ns()
        if ok:
            self._unasked.discard(name)
        else:
            log.warning("permission.refused", device=name, reason=detail)
            self._refused[name] = detail
        client.recheck()
        self._say()

    def _say(self) -> None:
        if self.trouble != self._said:
            self._said = self.trouble
            self._changed()

    def _why(self, client: DeviceClient) -> str:
        refused = self._refused.get(client.settings.name)
        missing = "its key is not on the disk" if client.readiness.power is Power.OFF else ""
        return refused or client.readiness.detail or missing

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(die_of_bugs)


def permissions(devices: Sequence[DeviceSettings]) -> list[DeviceSettings]:
    """Those of a node's devices that are its permissions."""
    return [device for device in devices if not cuts_power(device)]


def admissible(state: State, groups: frozenset[int], missed_ns: int) -> bool:
    """Whether a node that was found left out may let itself in.

    Args:
        state: What it is and what it knows of its peer.
        groups: Those that stand on the disks.
        missed_ns: When it learned that, monotonic.
    """
    standing = [state.groups[index] for index in groups]
    held = [group.phase for group in standing if isinstance(group.phase, HOLDING)]
    if not held:
        return True
    if not all(isinstance(phase, Starting | Active) for phase in held):
        return False  # It is being stopped, or cannot be: then the peer may be about to cut us off.
    match state.pair:
        case Fenced() | Left():
            return True
        case PoweringOn():
            return state.pair.fenced_ns is not None
        case Alive():
            view = state.view
            if view is None or view.heard_ns <= missed_ns or not peer_hears_us(state):
                return False
            roles = [view.role(group.settings.name) for group in standing]
            return configuration_agrees(state) and not any(
                role is None or role.holds for role in roles
            )
        case _:
            return False
