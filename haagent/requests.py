# SPDX-License-Identifier: GPL-2.0-or-later
"""What comes over the control socket: questions answered here, wishes put to the core."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import structlog

from fencing.settle import Shot
from haagent.changes import changes
from haagent.config import Configuration
from haagent.control import Tell
from haagent.core.effects import Reply
from haagent.core.events import (
    AwayAsked,
    ConfirmOffAsked,
    Event,
    FailoverAsked,
    GroupOrdered,
    GroupWord,
    MaintenanceAsked,
    OffProved,
    SwitchoverAsked,
)
from haagent.core.state import State
from haagent.errors import EdgeError
from haagent.history import History

FLUSH_S = 2.0
"""For the black box's last entries to be on the disk."""

log = structlog.get_logger()

GROUP_WORDS: Mapping[str, GroupWord] = {
    "stop": "stop",
    "start": "start",
    "freeze": "freeze",
    "unfreeze": "unfreeze",
}

Asked = (
    SwitchoverAsked
    | MaintenanceAsked
    | ConfirmOffAsked
    | OffProved
    | AwayAsked
    | GroupOrdered
    | FailoverAsked
)
"""What an operator may put to the core; each is answered by one Reply."""


@dataclass(frozen=True, slots=True)
class ConsoleShot:
    """What the console tells of one device of the level that it read off."""

    device: str
    ordered_ns: int
    first_off_ns: int


class Requests:
    """Turns requests into events and the core's replies into answers.

    Args:
        configuration: Of this node.
        take: Queues an event for the core.
        status: Makes the status data.
        history: Has the records.
        measure_settle: Takes the console's shots at the peer as a measurement.
        flush: Has the black box written, and says where it is.
        reload: Takes in the configuration anew; gives the answer.
        drill: Answers what a drill asks for.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # all that can be asked for
        self,
        configuration: Configuration,
        take: Callable[[Event], None],
        status: Callable[[], Mapping[str, object]],
        history: History,
        measure_settle: Callable[[Sequence[Shot]], None],
        flush: Callable[[], Awaitable[Mapping[str, object]]],
        *,
        reload: Callable[..., Awaitable[Mapping[str, object]]],
        drill: Callable[[Mapping[str, object]], Awaitable[Mapping[str, object]]],
    ) -> None:
        self._configuration = configuration
        self._take = take
        self._status = status
        self._history = history
        self._measure_settle = measure_settle
        self._flush = flush
        self._reload = reload
        self._drill = drill
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._listening: dict[int, Tell] = {}
        """Who wants to hear of roles that change while a request of his is under way."""
        self._request = 0

    def settle(self, reply: Reply) -> None:
        """The core answered a request."""
        waiting = self._waiting.pop(reply.request, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def observe(self, before: State, after: State) -> None:
        """Tell those who wait of the roles that this step changed."""
        if not self._listening:
            return
        for change in changes(before, after, self._configuration.node_names):
            for tell in self._listening.values():
                tell(asdict(change))

    async def answer(self, request: Mapping[str, object], tell: Tell) -> Mapping[str, object]:
        """Answer one request from the control socket."""
        match request.get("verb"):
            case "status":
                return {"ok": True, "message": "", "data": self._status()}
            case "history":
                limit = request.get("limit", 20)
                records = list(self._history.records)
                kept = records[-limit:] if isinstance(limit, int) and limit > 0 else records
                return {"ok": True, "message": "", "data": kept}
            case "black-box":
                return await self._flushed()
            case "reload":
                return await self._reload(dry_run=request.get("dry_run") is True)
            case "switchover":
                dry_run = request.get("dry_run") is True
                group = self._group(request.get("group"))
                asked = SwitchoverAsked(self._next_request(), group, dry_run)
                return await self._submit(asked, tell)
            case "standby" if isinstance(request.get("on"), bool):
                return await self._asked_for_standby(request.get("node"), on=bool(request["on"]))
            case "group":
                return await self._asked_of_group(request.get("group"), request.get("what"))
            case "failover":
                return await self._asked_for_failover(request.get("group"))
            case "maintenance" if isinstance(request.get("on"), bool):
                return await self._submit(
                    MaintenanceAsked(self._next_request(), on=bool(request["on"]))
                )
            case "confirm-off":
                return await self._asked_to_confirm(request)
            case "drill":
                return await self._drill(request)
            case "fence-proof" if type(request.get("read_ns")) is int:
                return await self._shown_a_proof(request)
            case verb:
                return {"ok": False, "message": f"unknown request {verb!r}", "data": None}

    async def _flushed(self) -> Mapping[str, object]:
        """The black box's directory; a disk that hangs has not got the newest of it."""
        try:
            async with asyncio.timeout(FLUSH_S):
                return {"ok": True, "message": "", "data": await self._flush()}
        except TimeoutError:
            return {"ok": False, "message": "the black box's disk hangs", "data": None}

    async def _shown_a_proof(self, request: Mapping[str, object]) -> Mapping[str, object]:
        """The console fenced the peer and read it off at "read_ns" (CLOCK_MONOTONIC)."""
        if (refusal := self._other_peer(request)) is not None:
            return refusal
        read_ns = request["read_ns"]
        assert isinstance(read_ns, int)
        reply = await self._submit(OffProved(self._next_request(), read_ns))
        if reply["ok"]:
            self._measure_settle(_shots(request.get("shots")))
        return reply

    def _other_peer(self, request: Mapping[str, object]) -> Mapping[str, object] | None:
        peer = self._configuration.node_names[self._configuration.pair.peer]
        if request.get("peer", peer) == peer:
            return None
        return {"ok": False, "message": f"the peer of this node is {peer}", "data": None}

    async def _asked_to_confirm(self, request: Mapping[str, object]) -> Mapping[str, object]:
        if (refusal := self._other_peer(request)) is not None:
            return refusal
        force = request.get("force") is True
        return await self._submit(ConfirmOffAsked(self._next_request(), force=force))

    async def _asked_for_failover(self, name: object) -> Mapping[str, object]:
        index = self._group(name)
        return await self._submit(FailoverAsked(self._next_request(), index))

    async def _asked_of_group(self, name: object, what: object) -> Mapping[str, object]:
        index = self._group(name)
        if index is None:
            raise EdgeError("which group?")
        if not isinstance(what, str) or what not in GROUP_WORDS:
            raise EdgeError(f"a group is told one of: {', '.join(sorted(GROUP_WORDS))}")
        return await self._submit(GroupOrdered(self._next_request(), index, GROUP_WORDS[what]))

    async def _asked_for_standby(self, name: object, *, on: bool) -> Mapping[str, object]:
        names = self._configuration.node_names
        name = names[self._configuration.pair.me] if name is None else name
        if name not in names:
            raise EdgeError(f"no node {name}; there are: {', '.join(names)}")
        return await self._submit(AwayAsked(self._next_request(), names.index(str(name)), on))

    def _group(self, name: object) -> int | None:
        """The group of that name, None for all."""
        names = [group.name for group in self._configuration.pair.groups]
        if name is not None and name not in names:
            raise EdgeError(f"no group {name}; there are: {', '.join(names)}")
        return None if name is None else names.index(str(name))

    def _next_request(self) -> int:
        self._request += 1
        return self._request

    async def _submit(self, event: Asked, tell: Tell | None = None) -> Mapping[str, object]:
        """Put an operator's wish to the core and wait for its answer.

        Args:
            event: The wish.
            tell: Is told of the roles that change meanwhile.
        """
        waiting: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[event.request] = waiting
        log.info("operator.asked", cause=type(event).__name__, request=event.request)
        if tell is not None:
            self._listening[event.request] = tell
        try:
            self._take(event)
            reply = await waiting
        finally:
            self._listening.pop(event.request, None)
        log.info("operator.answered", request=event.request, ok=reply.ok, message=reply.message)
        return {"ok": reply.ok, "message": reply.message, "data": None}


def _shots(told: object) -> list[Shot]:
    """The request's "shots" of that form; what is of another measures nothing."""
    shots: list[Shot] = []
    for shot in told if isinstance(told, list) else []:
        match shot:
            case {"device": str(device), "ordered_ns": int(ordered), "first_off_ns": int(first)}:
                shots.append(ConsoleShot(device, ordered, first))
            case _:
                log.warning("operator.shot_unknown")
    return shots
