# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agents do for a drill: on this node, and through a letter on the other.

A request has "what", one of `ORDERS`, and what belongs to it. With "node" it is for that node:
for the peer's it goes on as it is, and the peer's agent does the same with it. Between the two
agents it is as authentic as a heartbeat, which may have a node shot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import structlog

from haagent.drill.archive import Archive, Entry, last_proofs
from haagent.drill.due import Practice
from haagent.drill.faults import Faults
from haagent.errors import EdgeError
from haagent.witness import WitnessState

ORDERS = (
    *("status", "witnesses", "begin", "end", "share", "store", "list", "load"),
    *("silence", "freeze", "kill", "crash", "lift"),
)
LETTER_S = 3.0
"""What a question to the peer may take; on a good link it is a millisecond or two."""
SESSION_S = 6.0
"""A drill that says nothing for so long is over: whoever runs it has died."""

log = structlog.get_logger()
Reply = dict[str, Any]


class Ask(Protocol):
    """Asks the peer's agent (haagent.links.post.Post.ask)."""

    def __call__(self, question: Mapping[str, object], timeout_s: float) -> Awaitable[Reply]:
        """The reply; EdgeError if there is none."""


@dataclass(frozen=True, slots=True)
class Session:
    """The drill that is under way, as it said itself."""

    id: str
    until_s: float
    """Monotonic; it says that it lives before."""


@dataclass(slots=True)
class Desk:
    """Takes drills' requests."""

    me: str
    peer: str
    links: tuple[str, ...]
    """Their names, in their order."""
    faults: Faults
    """What this node can be made to carry."""
    archive: Archive
    practice: Practice
    status: Callable[[], Mapping[str, object]]
    """Makes this node's."""
    witnesses: Callable[[], Awaitable[list[WitnessState]]]
    """Asks them, from here."""
    write: Callable[[Callable[[], None]], Awaitable[None]]
    """Runs what touches the disk beside the loop."""
    _session: Session | None = field(default=None, init=False)
    _entries: list[Entry] = field(init=False)

    def __post_init__(self) -> None:
        self._entries = self.archive.entries()

    def standing(self) -> dict[str, Any]:
        """What the status says of drills."""
        proofs = last_proofs(self._entries)
        session = self._running()
        return {
            "under_way": None if session is None else session.id,
            "faults": self.faults.standing(),
            "proven": {
                kind.value: {"when": entry.began.isoformat(), "id": entry.id}
                for kind, entry in proofs.items()
            },
        }

    def overdue(self) -> list[dict[str, str]]:
        """Alarms about what should have been practised."""
        return self.practice.overdue(last_proofs(self._entries), time.time())

    async def answer(self, request: Mapping[str, object], ask: Ask) -> Reply:
        """One request from the control socket of this node."""
        if request.get("node", self.me) == self.peer:
            return await ask(_for_the_peer(request), LETTER_S)
        if request.get("node", self.me) != self.me:
            raise EdgeError(f"no node {request['node']}; there are: {self.me}, {self.peer}")
        if request.get("what") == "share":
            return await self._share(ask)
        return await self.answer_peer(request)

    async def answer_peer(self, request: Mapping[str, object]) -> Reply:
        """One request of whoever may ask; EdgeError is a refusal."""
        match request:
            case {"what": "status"}:
                return _done(data=self.status())
            case {"what": "witnesses"}:
                return _done(data=[asdict(one) for one in await self.witnesses()])
            case {"what": "begin", "id": str(identity)}:
                running = self._running()
                if running is not None and running.id != identity:
                    raise EdgeError(f"the drill {running.id} is under way")
                self._session = Session(identity, time.monotonic() + SESSION_S)
            case {"what": "end", "id": str(identity)}:
                if self._session is not None and self._session.id == identity:
                    self._session = None
            case {"what": "silence", "links": list(names), "for_s": float(for_s)}:
                self.faults.silence(self._numbers(names), for_s)
            case {"what": "freeze", "scope": "agent" | "machine" as scope, "for_s": float(for_s)}:
                await self.faults.freeze(scope, for_s)
            case {"what": "kill"}:
                self.faults.kill()
            case {"what": "crash"}:
                self.faults.crash()
            case {"what": "lift"}:
                self.faults.lift()
            case {"what": "store", "record": dict(record)}:
                await self._keep(record)
            case {"what": "list"}:
                return _done(data=[entry.id for entry in self._entries])
            case {"what": "load", "id": str(identity)}:
                return _done(data=await asyncio.to_thread(self.archive.load, identity))
            case _:
                raise EdgeError(f"a drill asks one of: {', '.join(ORDERS)}")
        return _done()

    def _running(self) -> Session | None:
        session = self._session
        return session if session is not None and time.monotonic() < session.until_s else None

    def _numbers(self, names: list[object]) -> frozenset[int]:
        unknown = [name for name in names if name not in self.links]
        if unknown:
            raise EdgeError(f"no link {unknown[0]}; there are: {', '.join(self.links)}")
        return frozenset(self.links.index(str(name)) for name in names)

    async def _keep(self, record: Mapping[str, object]) -> None:
        failed: list[EdgeError] = []

        def store() -> None:
            try:
                self.archive.store(record)
            except EdgeError as error:
                failed.append(error)

        await self.write(store)
        if failed:
            raise failed[0]
        await self._look()

    async def _look(self) -> None:
        """Learn what records there are: the drill itself writes them on its own node."""
        self._entries = await asyncio.to_thread(self.archive.entries)

    async def _share(self, ask: Ask) -> Reply:
        """Give the peer what it lacks of our records, and take what we lack of its."""
        await self._look()
        reply = await ask({"what": "list"}, LETTER_S)
        listed = reply.get("data")
        theirs = set(map(str, listed)) if isinstance(listed, list) else set()
        lacking = [entry for entry in self._entries if entry.id not in theirs]
        for entry in lacking:
            await self._give(entry, ask)
        missed = theirs - {entry.id for entry in self._entries}
        for identity in sorted(missed):
            await self._take(identity, ask)
        return _done(f"{len(lacking)} records given to {self.peer}, {len(missed)} taken")

    async def _give(self, entry: Entry, ask: Ask) -> None:
        record = await asyncio.to_thread(self.archive.load, entry.id)
        reply = await ask({"what": "store", "record": record}, LETTER_S)
        if not reply.get("ok"):
            raise EdgeError(f"{self.peer} did not keep {entry.id}: {reply.get('message')}")

    async def _take(self, identity: str, ask: Ask) -> None:
        reply = await ask({"what": "load", "id": identity}, LETTER_S)
        record = reply.get("data")
        if not isinstance(record, dict):
            raise EdgeError(f"{self.peer} did not give {identity}: {reply.get('message')}")
        await self._keep(record)


def _for_the_peer(request: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in request.items() if key not in {"verb", "node", "stream"}}


def _done(message: str = "", data: object = None) -> Reply:
    return {"ok": True, "message": message, "data": data}
