# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks at the status once a second and tells each receiver what is news to it.

What was delivered as raised is kept in a file, so that an agent that starts anew raises nothing
twice and clears what is over. What was not delivered is raised again by it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from haagent.alerts import Receiver, Severity, undelivered_code
from haagent.alerts.courier import Courier
from haagent.alerts.notice import Kind, Notice, Sender, Subject
from haagent.alerts.standing import Standing, alarms
from haagent.bugs import die_of_bugs
from haagent.core.settings import S

LOOK_S = 1.0
"""A status takes half a millisecond."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Client:
    """One receiver, and what it knows."""

    receiver: Receiver
    courier: Courier
    standing: Standing
    raised: dict[str, Subject] = field(default_factory=dict)
    """Delivered as raised, and not as cleared."""

    @property
    def own_code(self) -> str:
        """Of the alarm that says that it cannot be told."""
        return undelivered_code(self.receiver.name)


class Desk:
    """Every receiver.

    Args:
        receivers: Of this configuration.
        sender: This node.
        path: File of what was delivered.
        write: Runs what touches the disk, elsewhere.
    """

    def __init__(
        self,
        receivers: Sequence[Receiver],
        sender: Sender,
        path: Path,
        write: Callable[[Callable[[], None]], asyncio.Future[None]],
    ) -> None:
        self._sender = sender
        self._path = path
        self._write = write
        self._status: Callable[[], Mapping[str, Any]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        known = _load(path) if receivers else {}
        self._clients = [self._client(one, known.get(one.name, {})) for one in receivers]

    def _client(self, receiver: Receiver, known: Mapping[str, Subject]) -> _Client:
        courier = Courier(receiver, self._sender, lambda notice: self._delivered(client, notice))
        standing = Standing(round(receiver.after_s * S), receiver.severity, known)
        client = _Client(receiver, courier, standing, dict(known))
        return client

    @property
    def couriers(self) -> Mapping[str, Courier]:
        """By the receiver's name."""
        return {client.receiver.name: client.courier for client in self._clients}

    @property
    def undelivered(self) -> Mapping[str, str]:
        """Why nothing gets through, by the receiver's name."""
        return {name: one.trouble for name, one in self.couriers.items() if one.trouble}

    def open(self, status: Callable[[], Mapping[str, Any]]) -> None:
        """Begin to look, if there is anybody to tell."""
        self._status = status
        if self._clients:
            self._task = asyncio.get_running_loop().create_task(self._look(status))
            self._task.add_done_callback(die_of_bugs)

    def reconfigure(self, receivers: Sequence[Receiver]) -> None:
        """Go on with these. Who is as before keeps its queue, who changed what it knows."""
        assert self._status is not None, "opened first"
        before = {client.receiver.name: client for client in self._clients}
        clients = []
        for receiver in receivers:
            known = before.get(receiver.name)
            if known is not None and known.receiver == receiver:
                clients.append(before.pop(receiver.name))
            else:
                clients.append(self._client(receiver, known.raised if known else {}))
        self._clients = clients
        for gone in before.values():
            self._close_later(gone.courier)
        if clients and self._task is None:
            self.open(self._status)

    def _close_later(self, courier: Courier) -> None:
        task = asyncio.get_running_loop().create_task(courier.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        task.add_done_callback(die_of_bugs)

    async def close(self) -> None:
        """Tell nobody any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        couriers = (client.courier.close() for client in self._clients)
        await asyncio.gather(*couriers, *self._closing)

    def happened(self, subject: Subject) -> None:
        """Tell everybody whom it concerns of an event."""
        for client in self._clients:
            if subject.severity >= client.receiver.severity:
                client.courier.tell(Notice(Kind.HAPPENED, subject, _now()))

    async def _look(self, status: Callable[[], Mapping[str, Any]]) -> None:
        while True:
            standing, now_ns = alarms(status()), time.monotonic_ns()
            for client in self._clients:
                # That nothing gets through to it is for the others to say.
                known = {code: one for code, one in standing.items() if code != client.own_code}
                for kind, subject in client.standing.news(known, now_ns):
                    client.courier.tell(Notice(kind, subject, _now()))
            await asyncio.sleep(LOOK_S)

    def _delivered(self, client: _Client, notice: Notice) -> None:
        if notice.kind is Kind.HAPPENED:
            return
        if notice.kind is Kind.RAISED:
            client.raised[notice.subject.code] = notice.subject
        else:
            client.raised.pop(notice.subject.code, None)
        kept = {
            one.receiver.name: [
                [subject.code, subject.severity.word, subject.detail]
                for subject in one.raised.values()
            ]
            for one in self._clients
        }
        self._write(partial(_save, self._path, json.dumps(kept)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _save(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(text)
        fresh.replace(path)
    except OSError as error:
        log.warning("alert.not_saved", reason=error.strerror)


def _load(path: Path) -> dict[str, dict[str, Subject]]:
    """By receiver and code; a file that cannot be read is none."""
    try:
        kept = json.loads(path.read_text())
        return {
            name: {
                code: Subject(code, Severity[word.upper()], detail) for code, word, detail in all_
            }
            for name, all_ in kept.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
