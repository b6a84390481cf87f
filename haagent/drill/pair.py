# SPDX-License-Identifier: GPL-2.0-or-later
"""The two agents, as a drill asks them: this node's at its socket, the peer's through it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from haagent.errors import EdgeError

ANSWER_S = 5.0
ORDER_S = 60.0
"""A hand-over stops and starts a service."""

Status = Mapping[str, Any]


class Door(Protocol):
    """Asks the agent of this node; blocks (haagent.cli.client.ask)."""

    def __call__(self, request: Mapping[str, object], timeout_s: float) -> Mapping[str, Any]:
        """The reply; EdgeError if there is none."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Both agents."""

    door: Door
    me: str
    peer: str

    async def ask(self, request: Mapping[str, object], timeout_s: float = ANSWER_S) -> Any:
        """The data of a reply.

        Raises:
            EdgeError: Refused, or no answer.
        """
        reply = await asyncio.to_thread(self.door, request, timeout_s)
        if not reply.get("ok"):
            raise EdgeError(str(reply.get("message") or "refused without a reason"))
        return reply.get("data")

    async def order(self, what: str, node: str | None = None, **details: object) -> Any:
        """Have an agent do something for the drill: this node's, or that of the named one.

        Raises:
            EdgeError: Refused, or no answer: it may have been done or not.
        """
        request = {"verb": "drill", "what": what, "node": node or self.me, **details}
        return await self.ask(request)

    async def status(self, node: str) -> Status | None:
        """What an agent says of itself; None if it does not answer."""
        try:
            data = await self.order("status", node)
        except EdgeError:
            return None
        return data if isinstance(data, dict) else None

    async def witnesses(self, node: str) -> Sequence[Status] | None:
        """What the witnesses say to an agent that asks them now; None if it does not answer."""
        try:
            data = await self.order("witnesses", node)
        except EdgeError:
            return None
        return data if isinstance(data, list) else None


def roles(status: Status | None, key: str = "role") -> dict[str, str]:
    """The role of each group; with "peer_role", as the other node's frames say it."""
    if status is None:
        return {}
    return {str(group["name"]): str(group.get(key) or "?") for group in status["groups"]}


def holds_all(status: Status | None) -> bool:
    """Every group is active on that node."""
    found = roles(status)
    return bool(found) and set(found.values()) == {"active"}


def holds_none(status: Status | None) -> bool:
    """Every group stands by on that node."""
    found = roles(status)
    return bool(found) and set(found.values()) == {"standby"}


def may_take_over(status: Status | None) -> bool:
    """That node says that a takeover would work right now."""
    return status is not None and bool(status["takeover"]["possible"])


def codes(status: Status | None) -> set[str]:
    """Of everything that this node says a person should look at, or forbids a takeover."""
    if status is None:
        return set()
    return {str(one["code"]) for one in (*status["alarms"], *status["takeover"]["reasons"])}
