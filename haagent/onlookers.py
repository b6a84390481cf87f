# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever looks on and decides nothing: black box, history, hooks, counts, alerts, metrics.

They are shown each step after the core has made it. None of them can hold one up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from haagent.alerts.desk import Desk
from haagent.alerts.notice import Sender
from haagent.alerts.occurrences import of_happening, of_record
from haagent.blackbox.box import BlackBox
from haagent.config import Configuration
from haagent.core.effects import Record
from haagent.core.events import Event, PeerHeard
from haagent.core.state import State, Step
from haagent.happenings import happenings
from haagent.history import History
from haagent.homecoming import Homecoming
from haagent.hooks import Happening, Hooks
from haagent.links.loss import Loss
from haagent.metrics import MetricsSettings
from haagent.metrics.counts import Counts
from haagent.metrics.failovers import Failovers

if TYPE_CHECKING:
    from haagent.metrics.figures import Figures
    from haagent.metrics.publisher import Publisher

log = structlog.get_logger()


class Onlookers:
    """All of them.

    Args:
        configuration: Of this node.
        record: What earlier agents left on the disk.
        same_boot: The machine has not been down since.
        write: Runs what touches the disk, elsewhere.
    """

    def __init__(
        self,
        configuration: Configuration,
        record: Record,
        *,
        same_boot: bool,
        write: Callable[[Callable[[], None]], asyncio.Future[None]],
    ) -> None:
        names, groups = configuration.node_names, configuration.pair.groups
        me, peer = names[configuration.pair.me], names[configuration.pair.peer]
        self._write = write
        self._peer = peer
        self._settings = configuration.metrics
        self._publisher: Publisher | None = None
        self.history = History(me, configuration.state_dir / "history.jsonl")
        self.box = BlackBox(configuration, self.history)
        self.homecoming = Homecoming(record, same_boot=same_boot, peer=peer)
        self.hooks = Hooks(configuration.hooks, me, peer)
        self.desk = Desk(
            configuration.alerts,
            Sender(configuration.cluster, me, peer),
            configuration.state_dir / "alerts.json",
            write,
        )
        self.counts = Counts(
            Loss(len(configuration.links)),
            Failovers([group.name for group in groups], self.history.records),
        )

    def prepare(self, figures: Callable[[], Figures]) -> None:
        """Load what metrics need, before there is a heartbeat to keep up."""
        if self._settings != MetricsSettings():
            # Not for everybody: the library costs memory.
            from haagent.metrics.publisher import Publisher  # noqa: PLC0415

            self._publisher = Publisher(self._settings, figures)

    def open(self, status: Callable[[], Mapping[str, Any]]) -> None:
        """Answer whoever asks, and tell whoever is to be told."""
        self.desk.open(status)
        if self._publisher is not None:
            self._publisher.open()

    async def close(self) -> None:
        """Tell nobody any more."""
        closing = [self.desk.close(), self.hooks.close()]
        if self._publisher is not None:
            closing.append(self._publisher.close())
        # All at once: while an agent that only restarts ends its programs, the peer waits.
        await asyncio.gather(*closing)

    def observe(self, before: State, event: Event, step: Step, now_ns: int) -> None:
        """Look at one step."""
        after = step.state
        self.box.observe(before, event, step, now_ns)
        if isinstance(event, PeerHeard):
            self.counts.loss.observe(before, event, after)
        for happening in happenings(before, event, after):
            self._tell(happening)
        for happening in self.homecoming.observe(before, after):
            log.warning("group.returned", group=happening.group, detail=happening.detail)
            self._tell(happening)
        last = self.history.last_id
        if self.history.observe(before, event, step, now_ns):
            for record in self.history.since(last):
                self.desk.happened(of_record(record))
            self.counts.failovers.take(self.history.records)
            self.history.stamp(datetime.now(UTC).isoformat(timespec="milliseconds"))
            self.box.note_history()
            self._write(self._save_history)

    def _tell(self, happening: Happening) -> None:
        self.hooks.tell(happening)
        self.counts.tell(happening)
        if (subject := of_happening(happening, self._peer)) is not None:
            self.desk.happened(subject)

    def _save_history(self) -> None:
        try:
            self.history.save()
        except OSError as error:
            log.warning("history.not_saved", reason=error.strerror)
