# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the black box from a thread of its own: the loop only hands over what it has anyway.

Steps are values that nobody changes, so the loop puts references into a bounded queue and goes on.
What the queue or the disk cannot take is lost and counted; the next segment says how much. Each
segment begins with the state before its first step, so a gap costs what lies in it and no more.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from haagent import __version__, host
from haagent.blackbox.codec import Encoder
from haagent.blackbox.entries import Entry, Noted, Snapshot, Started, Stepped
from haagent.blackbox.ring import SEGMENT_BYTES, Ring
from haagent.blackbox.segment import SegmentWriter
from haagent.core.effects import DANGEROUS, Beat
from haagent.core.events import DeadlinePassed, Event, PeerHeard, PositionRead, SyncRead
from haagent.core.state import State, Step

QUEUE_MAX = 4096
"""Two minutes of heartbeats: a disk that hangs for longer costs a gap, not memory."""
PACK_EVERY_S = 1.0
"""Short turns: while the thread packs, the loop may have to wait for the interpreter."""
PACK_MAX = 32
"""Entries in one turn, about half a millisecond; then the loop has its way."""
BREATH_S = 0.0001
WRITE_EVERY_S = 10.0
"""Of heartbeats; what decides something is written at once."""
SYNC_AFTER_S = 1.0
"""Not at once: a takeover's own record is being synced then, and must not wait for this one."""
SYNC_EVERY_S = 5.0
RETRY_S = 10.0
"""After the disk failed."""
CLOSE_S = 1.0
"""What the last entries may take when the agent ends."""

QUIET_EVENTS = (PeerHeard, DeadlinePassed, PositionRead, SyncRead)


@dataclass(frozen=True, slots=True)
class _Taken:
    """One step as the loop made it."""

    before: State
    event: Event
    step: Step
    now_ns: int


@dataclass(frozen=True, slots=True)
class _Begun:
    """The core's start and what it made."""

    started: Started
    state: State


class Recorder:
    """The agent's end of the black box. Its methods are for the loop, and never wait.

    Args:
        ring: Where to.
        facts: Of the node, for each segment's header; JSON values, without secrets.
    """

    def __init__(self, ring: Ring, facts: Mapping[str, object]) -> None:
        self.directory: Final = ring.directory
        self.trouble = ""
        """Why nothing is recorded now."""
        self._queue: deque[_Begun | _Taken | Noted] = deque()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._called = False
        self._overflowed = 0
        self._writer = _Writer(ring, facts)
        self._thread = Thread(target=self._run, name="black-box", daemon=True)

    @property
    def lost(self) -> int:
        """Entries that are in no segment."""
        return self._overflowed + self._writer.unwritten

    def begin(self, started: Started, state: State) -> None:
        """The core began with that state: start recording."""
        self._put(_Begun(started, state))
        self._thread.start()
        self._call()

    def observe(self, before: State, event: Event, step: Step, now_ns: int) -> None:
        """Take one step in."""
        self._put(_Taken(before, event, step, now_ns))
        if _decides(before, event, step):
            self._call()

    def note(self, name: str, facts: Mapping[str, object]) -> None:
        """Take in what an edge has to say; JSON values. For any thread."""
        self._put(Noted(time.monotonic_ns(), name, facts))

    async def flush(self) -> None:
        """Return when everything so far is in a file, or lost."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not done.done():
                done.set_result(None)

        def answer() -> None:
            loop.call_soon_threadsafe(settle)

        self._calls.put(answer)
        await done

    def close(self) -> None:
        """Write what is left; waits for it, but not for a disk that hangs."""
        self._calls.put(None)
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _put(self, item: _Begun | _Taken | Noted) -> None:
        if len(self._queue) >= QUEUE_MAX:
            self._overflowed += 1
        else:
            self._queue.append(item)

    def _call(self) -> None:
        """Have it written now."""
        if not self._called:
            self._called = True
            self._calls.put(lambda: None)

    def _run(self) -> None:
        host.be_prompt()
        try:
            self._record()
        except BaseException:
            # The agent lives on: whatever is wrong here, it takes over all the same.
            self.trouble = "its thread ended by a bug"
            raise

    def _record(self) -> None:
        ended = False
        while not ended:
            answers = []
            try:
                call = self._calls.get(timeout=PACK_EVERY_S)
                ended = call is None
                answers = [call] if call is not None else []
            except Empty:
                pass
            self._called = False  # Before the queue is looked at: what comes later calls again.
            self._pack()
            self._writer.write(urgent=bool(answers) or ended)
            self.trouble = self._writer.trouble
            for answer in answers:
                answer()
        self._writer.close()

    def _pack(self) -> None:
        for turn in range(1, len(self._queue) + 1):
            self._writer.add(self._queue.popleft(), self._overflowed)
            if turn % PACK_MAX == 0:
                time.sleep(BREATH_S)


class _Writer:
    """The thread's end: packs entries into segments, and lives with a disk that fails."""

    def __init__(self, ring: Ring, facts: Mapping[str, object]) -> None:
        self.trouble = ""
        self.unwritten = 0
        """Entries that the disk did not take."""
        self._ring = ring
        self._encoder = Encoder(Entry)
        self._facts = facts
        self._segment: SegmentWriter | None = None
        self._eventful = False
        """Something happened in this segment."""
        self._state: State | None = None
        """After the last entry: what follows it must begin with this very one."""
        self._told = 0
        """Losses that a header has told."""
        self._retry_s = self._written_s = self._synced_s = time.monotonic()
        self._unsynced_s: float | None = None
        """Since when there is something in the file that a power cut must not undo."""

    def add(self, item: _Begun | _Taken | Noted, overflowed: int) -> None:
        """Take one entry; what cannot be taken is counted."""
        if time.monotonic() < self._retry_s:
            self.unwritten += 1
            return
        try:
            self._add(item, overflowed)
        except OSError as error:
            self.unwritten += 1
            self._fail(error)

    def write(self, *, urgent: bool) -> None:
        """Write what was added if it is due, and sync it if that is due."""
        now_s = time.monotonic()
        segment = self._segment
        if segment is None:
            return
        try:
            if segment.pending and (urgent or now_s >= self._written_s + WRITE_EVERY_S):
                segment.write()
                self._written_s = now_s
            if self._unsynced_s is not None:
                due_s = max(self._unsynced_s + SYNC_AFTER_S, self._synced_s + SYNC_EVERY_S)
                if now_s >= due_s:
                    self._sync(segment)
            if segment.size >= SEGMENT_BYTES and not segment.pending:
                self._finish(segment)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """End the segment; everything was written before."""
        if self._segment is None:
            return
        try:
            self._sync(self._segment)
            self._finish(self._segment)
        except OSError as error:
            self._fail(error)

    def _add(self, item: _Begun | _Taken | Noted, overflowed: int) -> None:
        match item:
            case _Begun():
                segment = self._open(overflowed)
                self._state, self._eventful = item.state, True
                segment.add(self._encoder.encode(item.started))
                segment.add(self._encoder.encode(Snapshot(item.state)))
            case _Taken(before=before, step=step):
                segment = self._at(before, overflowed)
                self._state = step.state
                segment.add(self._encoder.encode(_stepped(item)))
                if _happens(item):
                    self._eventful = True
                    if self._unsynced_s is None:
                        self._unsynced_s = time.monotonic()
            case Noted():
                if self._state is None:
                    self.unwritten += 1  # The very first segment could not be made.
                else:
                    self._at(self._state, overflowed).add(self._encoder.encode(item))

    def _at(self, state: State, overflowed: int) -> SegmentWriter:
        """The segment to go on with from that state: a new one if anything before it is missing."""
        if self._segment is not None and self._state is state:
            return self._segment
        if self._segment is not None:
            self._segment.write()
            self._finish(self._segment)
        segment = self._open(overflowed)
        segment.add(self._encoder.encode(Snapshot(state)))
        return segment

    def _open(self, overflowed: int) -> SegmentWriter:
        lost = overflowed + self.unwritten - self._told
        header = {
            "haagent": __version__,
            "wall": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "wall_ns": time.time_ns(),
            "monotonic_ns": time.monotonic_ns(),
            "lost": lost,
            "why": self.trouble or ("the queue was full" if lost else ""),
            **self._facts,
            "shapes": self._encoder.shapes,
        }
        self._segment, self._eventful = self._ring.open(header), False
        self._told += lost
        self.trouble = ""
        return self._segment

    def _finish(self, segment: SegmentWriter) -> None:
        if self._unsynced_s is not None:
            self._sync(segment)
        self._segment = None
        self._ring.close(segment, eventful=self._eventful)

    def _sync(self, segment: SegmentWriter) -> None:
        segment.sync()
        self._unsynced_s, self._synced_s = None, time.monotonic()

    def _fail(self, error: OSError) -> None:
        self.trouble = error.strerror or str(error)
        self._retry_s = time.monotonic() + RETRY_S
        self._unsynced_s = None
        if self._segment is not None:
            self.unwritten += self._segment.pending
            self._segment.abandon()
            self._segment = None


def _stepped(taken: _Taken) -> Stepped:
    before, after = taken.before, taken.step.state
    return Stepped(
        taken.now_ns,
        taken.event,
        taken.step.effects,
        None if before.pair is after.pair else after.pair,
        None if before.groups is after.groups else after.groups,
    )


def _decides(before: State, event: Event, step: Step) -> bool:
    """Whether the step should be on the disk soon: all but the heartbeats. Cheap."""
    if not isinstance(event, QUIET_EVENTS) or before.pair is not step.state.pair:
        return True
    if len(step.effects) > 1 or (step.effects and type(step.effects[0]) is not Beat):
        return True
    if before.groups is step.state.groups:
        return False
    return any(
        was.phase is not now.phase
        for was, now in zip(before.groups, step.state.groups, strict=True)
    )


def _happens(taken: _Taken) -> bool:
    """Whether the step is one that somebody will ask about."""
    before, after = taken.before, taken.step.state
    return (
        type(before.pair) is not type(after.pair)
        or hasattr(taken.event, "request")
        or any(isinstance(effect, DANGEROUS) for effect in taken.step.effects)
        or any(
            type(was.phase) is not type(now.phase)
            for was, now in zip(before.groups, after.groups, strict=True)
        )
    )
