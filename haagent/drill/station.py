# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything of drills that lives in the agent, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from haagent.config import Configuration
from haagent.core.state import State
from haagent.core.wire import cluster_id
from haagent.drill.archive import Archive
from haagent.drill.desk import Desk
from haagent.drill.faults import Faults
from haagent.links.letters import MAGIC, Seal
from haagent.links.linkset import LinkSet
from haagent.links.post import Post
from haagent.witness import WitnessState


@dataclass(slots=True)
class Station:
    """The drills' part of an agent; idle until somebody asks."""

    configuration: Configuration
    incarnation: int
    """Of this agent."""
    links: LinkSet
    """Carry the letters, and can be silenced."""
    state: Callable[[], State]
    """Gives the agent's newest one."""
    status: Callable[[], Mapping[str, object]]
    """Makes this node's."""
    witnesses: Callable[[], Awaitable[list[WitnessState]]]
    """Asks them."""
    write: Callable[[Callable[[], None]], Awaitable[None]]
    """Runs what touches the disk beside the loop."""
    _faults: Faults = field(init=False)
    _desk: Desk = field(init=False)
    _post: Post = field(init=False)

    def __post_init__(self) -> None:
        configuration = self.configuration
        me, names = configuration.pair.me, configuration.node_names
        self._faults = Faults(self.links.silence, configuration.control_socket.parent)
        self._desk = Desk(
            names[me],
            names[configuration.pair.peer],
            tuple(link.name for link in configuration.links),
            self._faults,
            Archive(configuration.state_dir),
            configuration.drill.practice,
            self.status,
            self.witnesses,
            self.write,
        )
        answer, seal = self._desk.answer_peer, _seal(configuration)
        self._post = Post(me, self.incarnation, seal, self._send, self._peer, answer)

    def adopt(self, configuration: Configuration) -> None:
        """Go by another configuration, as far as that needs no other agent."""
        self.configuration, self._post.seal = configuration, _seal(configuration)
        self._desk.practice = configuration.drill.practice

    def _peer(self) -> int | None:
        """The incarnation of the peer that is heard."""
        view = self.state().view
        return view.incarnation if view else None

    def _send(self, data: bytes) -> None:
        for index in range(len(self.configuration.links)):
            self.links.send(index, data)

    def open(self) -> None:
        """Lift what an earlier agent's drill may have left."""
        self._faults.lift_left_over()

    async def close(self) -> None:
        """Lift everything, answer nobody any more."""
        self._faults.close()
        await self._post.close()

    def took(self, data: bytes) -> bool:
        """Whether a datagram was a letter; it is taken in then."""
        if not data.startswith(MAGIC):
            return False
        self._post.take(data)
        return True

    async def answer(self, request: Mapping[str, object]) -> Mapping[str, object]:
        """A request from the control socket."""
        return await self._desk.answer(request, self._post.ask)

    def standing(self) -> dict[str, Any]:
        """What the status says of drills."""
        return {**self._desk.standing(), "letters_refused": self._post.refused}

    def overdue(self) -> list[dict[str, str]]:
        """Alarms about what should have been practised."""
        return self._desk.overdue()


def _seal(configuration: Configuration) -> Seal:
    keys = configuration.keys
    return Seal(cluster_id(configuration.cluster), keys.send, keys.secrets)
