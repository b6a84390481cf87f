# SPDX-License-Identifier: GPL-2.0-or-later
"""One drill, from its checklist to its record on both nodes.

If this program dies, the faults end by themselves where they are (`faults`), and the agents do
what they do anyway.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from haagent.config import Configuration
from haagent.drill import preconditions
from haagent.drill.archive import Archive, Verdict, new_id
from haagent.drill.client import Clients
from haagent.drill.experiment import experiment, report
from haagent.drill.holders import Holders
from haagent.drill.kinds import Chaos, Kind
from haagent.drill.pair import Door, Pair
from haagent.drill.power import Power
from haagent.drill.preconditions import Found, Item
from haagent.drill.scene import Scene
from haagent.drill.timeline import Timeline
from haagent.drill.watch import Watch
from haagent.drill.writes import Writes
from haagent.errors import EdgeError
from haagent.netlink import Netlink

SIGNALS = {
    signal.SIGINT: ("interrupted", "interrupted"),
    signal.SIGTERM: ("interrupted", "told to end"),
    signal.SIGHUP: ("terminal_lost", "the controlling terminal is gone"),
}
FORM = 1
"""Version of the record."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person, or the timer, wants."""

    kind: Kind
    config: Path
    socket: Path
    despite: frozenset[str] = frozenset()
    """Items of the checklist that are passed over."""
    by: str = "person"
    chaos: Chaos | None = None
    """What is drawn from, if the kind is chaos."""

    @property
    def level(self) -> Kind:
        """The hardest kind that it may come to."""
        return self.chaos.max_level if self.chaos else self.kind

    @property
    def power(self) -> bool:
        """Power is cut, or may be."""
        kinds = self.chaos.kinds if self.chaos else (self.kind,)
        return any(kind.plan.power for kind in kinds)

    @property
    def method(self) -> str:
        """What is done, in a sentence."""
        return self.chaos.method if self.chaos else self.kind.plan.method


@dataclass(slots=True)
class Drill:
    """One run."""

    wish: Wish
    configuration: Configuration
    door: Door
    say: Callable[[str], None]
    """Shows a line; never raises."""
    confirm: Callable[[str], bool]
    """Has a person type the name of the node whose power is touched."""
    _record: dict[str, Any] = field(default_factory=dict, init=False)

    async def run(self) -> dict[str, Any]:
        """Run it, keep its record on both nodes, and return it."""
        names, pair = self.configuration.node_names, self.configuration.pair
        both = Pair(self.door, names[pair.me], names[pair.peer])
        kind, timeline = self.wish.kind, Timeline(self.say)
        archive, began = Archive(self.configuration.state_dir), datetime.now(UTC)
        self._record = {
            "form": FORM,
            "id": new_id(began, kind, both.me),
            "kind": kind.value,
            "level": self.wish.level.level,
            "node": both.me,
            "peer": both.peer,
            "by": self.wish.by,
            "began": began.isoformat(timespec="seconds"),
            "method": self.wish.method,
            "expects": kind.plan.expects,
            "configuration_hash": pair.configuration_hash.hex(),
        }
        refused, unconfirmed = await self._refused(both, archive), False
        if not refused and self.wish.power:
            unconfirmed = not self.confirm(both.peer)
            if not unconfirmed:  # Whoever was asked may have taken an hour over it.
                refused = await self._refused(both, archive)
        if refused:
            # A check that finds something has done its work; any other drill did not begin.
            verdict = Verdict.FAILED if kind is Kind.CHECK else Verdict.SKIPPED
            self._end(verdict, "; ".join(f"{item.code}: {item.text}" for item in refused))
        elif unconfirmed:
            self._end(Verdict.SKIPPED, "not confirmed: nothing was done")
        else:
            await self._carry_out(both, timeline)
        self._record["took_s"] = round((time.monotonic_ns() - timeline.zero_ns) / 1e9, 1)
        await self._keep(both, archive)
        return self._record

    def _end(self, verdict: Verdict, reason: str) -> None:
        self._record |= {"verdict": verdict.value, "reason": reason, "deviations": [reason]}

    async def _refused(self, both: Pair, archive: Archive) -> list[Item]:
        """The checklist, and what of it keeps the drill from beginning."""
        here, there = await both.status(both.me), await both.status(both.peer)
        now = datetime.now().astimezone()
        entries = archive.entries()
        witnesses = {node: await both.witnesses(node) for node in (both.me, both.peer)}
        found = Found(self.configuration, self.wish.kind, here, there, entries, now, witnesses)
        items = preconditions.checklist(found)
        refused = preconditions.refused(items, self.wish.despite)
        for item in refused if "preconditions" in self._record else items:
            self.say(item.line)
        self._record["preconditions"] = preconditions.data(items)
        self._record["versions"] = {name: status["version"] for name, status in found.both()}
        return refused

    async def _carry_out(self, both: Pair, timeline: Timeline) -> None:
        """With eyes open; all of them are closed again."""
        async with AsyncExitStack() as stack:
            netlink = Netlink()
            await netlink.open()
            stack.callback(netlink.close)
            clients = Clients(self.configuration, netlink, both.me, both.peer)
            vips = tuple(vip for plan in self.configuration.groups for vip in plan.vips)
            holders = Holders(netlink, vips, clients)
            watch = Watch(both, timeline, clients, holders)
            power = Power(self.wish.config, both.me, both.peer, self.wish.socket)
            # A check writes nothing: it has no effect.
            logins = {} if self.wish.kind is Kind.CHECK else self.configuration.drill.writes
            writes = Writes(self.configuration.groups, logins, self._record["id"])
            stack.push_async_callback(writes.close)
            kind, chaos = self.wish.kind, self.wish.chaos
            scene = Scene(kind, self.configuration, both, power, timeline, watch, writes, chaos)
            hear(watch)
            stack.push_async_callback(clients.close)
            stack.push_async_callback(holders.close)
            try:
                clients.start()
                await holders.start()
                for node in (both.me, both.peer):
                    await both.order("begin", node, id=self._record["id"])
                await writes.start()
            except EdgeError as error:
                # Ctrl-C is for whatever is started here as well, which then fails for it.
                self._end(Verdict.ABORTED, f"not begun: {watch.stopped or error}")
                return
            watch.start(self._record["id"])
            stack.push_async_callback(watch.close)
            self._record |= report(scene, await experiment(scene))

    async def _keep(self, both: Pair, archive: Archive) -> None:
        """On this node's disk, then on the peer's, where the next drill makes good what fails."""
        try:
            await asyncio.to_thread(archive.store, self._record)
            await both.order("share")
        except EdgeError as error:
            self.say(f"the record is not on both nodes: {error}")
        for node in (both.me, both.peer):
            with suppress(EdgeError):
                await both.order("end", node, id=self._record["id"])


def hear(watch: Watch) -> None:
    """From now on signals, and bugs of ours, stop the drill, which still puts everything back."""
    loop = asyncio.get_running_loop()
    for number, (code, text) in SIGNALS.items():
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # Begun with nohup: it is to outlive its terminal.
        loop.add_signal_handler(number, watch.stop, code, text)

    def died(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)
        watch.stop("bug", f"a bug in the drill: {context.get('exception')!r}")

    loop.set_exception_handler(died)
