# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of each group: asks every 20 ms, and knows who answered and when nobody did.

It asks what the group's probe asks (tcp, http). Of a group with addresses alone, or with a probe
that is a command and so too dear for that, it asks the first address by echo request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from haagent.bugs import die_of_bugs
from haagent.config import Configuration
from haagent.config.settings import CommandTarget, GroupPlan
from haagent.netlink import Netlink
from haagent.probes import Probe
from haagent.reach import Reference
from haagent.reach.echo import EchoAsker
from haagent.resources.build import make_probe
from haagent.vip import Vip

ASK_EVERY_S = 0.02
ASKED_AT_ONCE_MAX = 50
"""Questions under way; a service that is gone answers none of them for a second or so."""
GAP_NOTED_NS = 100_000_000
"""A pause that long between two answers is kept; shorter ones are a busy machine's."""
SEGMENTS_MAX = 2000


@dataclass(slots=True)
class Experience:
    """What the client of one group met."""

    group: str
    node: Callable[[], str]
    """Who has the group now, for an answer that has just come."""
    answers: int = 0
    last_ns: int = field(default_factory=time.monotonic_ns)
    """When the last answer came."""
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """Last answer before and first after."""
    held: list[tuple[int, str]] = field(default_factory=list)
    """From when on which node answered."""

    def answered(self) -> None:
        """A good answer has come."""
        now_ns, node = time.monotonic_ns(), self.node()
        waited = self.answers and now_ns - self.last_ns > GAP_NOTED_NS
        if waited and len(self.gaps) < SEGMENTS_MAX:
            self.gaps.append((self.last_ns, now_ns))
        if (not self.held or self.held[-1][1] != node) and len(self.held) < SEGMENTS_MAX:
            self.held.append((now_ns, node))
        self.last_ns, self.answers = now_ns, self.answers + 1

    def unanswered_s(self) -> float:
        """For how long nobody has answered now."""
        return (time.monotonic_ns() - self.last_ns) / 1e9

    def worst_s(self, since_ns: int) -> float:
        """The longest time without an answer that ended after a moment, or has not ended."""
        gaps = [end - max(begin, since_ns) for begin, end in self.gaps if end > since_ns]
        running = time.monotonic_ns() - max(self.last_ns, since_ns)
        return max(0, *gaps, running if running > GAP_NOTED_NS else 0) / 1e9

    def report(self, ms: Callable[[int], float]) -> dict[str, Any]:
        """For the record."""
        return {
            "answers": self.answers,
            "gaps": [[ms(begin), ms(end)] for begin, end in self.gaps],
            "held": [[ms(at_ns), node] for at_ns, node in self.held],
            "last_ms": ms(self.last_ns),
        }


class Clients:
    """One client for each group that has something to be asked."""

    def __init__(self, configuration: Configuration, netlink: Netlink, me: str, peer: str) -> None:
        self._netlink = netlink
        self._names = me, peer
        self.of: dict[str, Experience] = {}
        """By group."""
        self._probes: list[tuple[Experience, Probe]] = []
        self._echoes: dict[Reference, Experience] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        for plan in configuration.groups:
            self._add(plan)
        self._asker = EchoAsker(self._echoes, lambda reference, _: self._heard(reference))
        self._asking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask.

        Raises:
            EdgeError: No raw socket.
        """
        self._asker.open()
        self._asking = asyncio.get_running_loop().create_task(self._ask())
        self._asking.add_done_callback(die_of_bugs)

    async def close(self) -> None:
        """Ask no more."""
        tasks = [*self._tasks, *([self._asking] if self._asking else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._asker.close()

    def here(self, vip: Vip) -> bool:
        """Whether this node has that address now."""
        held = self._netlink.interface(vip.interface).addresses
        return any(address.ip == vip.address.ip for address in held)

    def _add(self, plan: GroupPlan) -> None:
        vips, settings = plan.vips, plan.probe

        def node() -> str:
            me, peer = self._names
            return me if vips and self.here(vips[0]) else peer if vips else "?"

        experience = Experience(plan.name, node)
        if settings is not None and not isinstance(settings.target, CommandTarget):
            self._probes.append((experience, make_probe(plan.name, settings)))
        elif vips:
            self._echoes[Reference(vips[0].address.ip)] = experience
        else:
            return
        self.of[plan.name] = experience

    def _heard(self, reference: Reference) -> None:
        self._echoes[reference].answered()

    async def _ask(self) -> None:
        number, due_s = 0, time.monotonic()
        while True:
            number = (number + 1) % 65536
            self._asker.ask(number)
            for experience, probe in self._probes:
                if len(self._tasks) < ASKED_AT_ONCE_MAX * len(self._probes):
                    task = asyncio.get_running_loop().create_task(_asked(experience, probe))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                    task.add_done_callback(die_of_bugs)
            due_s = max(due_s + ASK_EVERY_S, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())


async def _asked(experience: Experience, probe: Probe) -> None:
    answer = await probe.answers()
    if answer.ok:
        experience.answered()
