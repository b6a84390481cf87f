# SPDX-License-Identifier: GPL-2.0-or-later
"""Log lines to stderr or the journal that never hold up the loop: a bounded queue and a thread.

Rendering is the thread's work too, because a traceback reads source files from the disk. When
stderr blocks, the queue fills, further lines are dropped and counted, and the count is logged.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any, Final, NoReturn

import structlog

from haagent.config.settings import LogFormat, LogLevel, LogSettings
from haagent.journald import Journald, is_journal

QUEUE_LINES_MAX = 10_000
"""About 5 MB of lines: minutes of trouble, and a bound for the memory it takes."""
FLUSH_BUDGET_S = 2.0
"""Longest wait for a stderr that does not take the last lines at exit."""

EventDict = MutableMapping[str, Any]
Listener = Callable[[Mapping[str, Any]], None]
_listeners: Final[list[Listener]] = []


class LogWriter:
    """Writes queued events to a descriptor from its own thread."""

    def __init__(
        self, log_format: LogFormat, descriptor: int, journal: Journald | None = None
    ) -> None:
        self._journal: Final = journal
        self._queue: SimpleQueue[EventDict | None] = SimpleQueue()
        self._descriptor: Final = descriptor
        self._render: Final = _renderer(log_format, colors=os.isatty(descriptor))
        self.level = logging.INFO
        """Our own events below it are not written."""
        self.dropped = 0
        """Events lost so far because the queue was full or stderr was gone."""
        self._reported = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, event: EventDict) -> None:
        """Take one event; never waits, drops it when the queue is full."""
        if self._queue.qsize() >= QUEUE_LINES_MAX:
            self.dropped += 1
        else:
            self._queue.put(event)

    def close(self) -> None:
        """Write what is queued, waiting at most `FLUSH_BUDGET_S`; harmless when repeated."""
        self._queue.put(None)
        self._thread.join(FLUSH_BUDGET_S)

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            if not self._write(event):
                self.dropped += 1
            elif lost := self.dropped - self._reported:
                told = _stamped({"event": "log.dropped", "level": "error", "lost": lost})
                # Somebody takes lines again; he may be gone before this one.
                if self._write(told):
                    self._reported += lost
        if self._journal is not None:
            self._journal.close()

    def _write(self, event: EventDict) -> bool:
        """Whether somebody has taken it."""
        try:
            text = self._render(event)
        except (TypeError, ValueError, RecursionError) as error:
            # One value that cannot be shown must not end the log of everything after it.
            name = event.get("event")
            text = json.dumps({"event": "log.unrenderable", "of": repr(name), "why": repr(error)})
        if self._journal is not None and self._journal.send(event, text):
            return True
        line = text.encode(errors="backslashreplace") + b"\n"
        try:
            # Not through sys.stderr: a thread that dies in its lock would take the exit with it.
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            return False
        return True


class _Queued(logging.Handler):
    """Brings what libraries log by the standard module into the same queue."""

    def __init__(self, writer: LogWriter, level: int) -> None:
        super().__init__(level)
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        event: EventDict = {
            "event": "library.logged",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        if record.exc_info:
            event["exc_info"] = record.exc_info
        self.writer.put(_stamped(event))


def setup(
    settings: LogSettings,
    descriptor: int | None = None,
    constants: Mapping[str, str] = MappingProxyType({}),
) -> LogWriter:
    """From now on log as `settings` say; what is queued is written before the process ends.

    Args:
        settings: Format and lowest level.
        descriptor: File descriptor to write to; None: stderr. If it is the journal's, entries
            go there with their fields.
        constants: Fields of every entry in the journal.

    Returns:
        The writer, for its count of lost lines.
    """
    levels = logging.getLevelNamesMapping()
    level = levels[settings.level.upper()]
    target = sys.stderr.fileno() if descriptor is None else descriptor
    journal = Journald(constants) if is_journal(target) else None
    writer = LogWriter(settings.format, target, journal)
    writer.level = level

    def enqueue(_logger: object, _name: str, event: EventDict) -> NoReturn:
        weight = levels[event["level"].upper()]
        for listener in _listeners if weight >= logging.INFO else ():
            listener(event)
        if weight >= writer.level:
            writer.put(event)
        raise structlog.DropEvent

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _add_time,
            _hold_exception,
            enqueue,
        ],
        # Listeners hear all that is "info", however little is written.
        wrapper_class=structlog.make_filtering_bound_logger(min(level, logging.INFO)),
        cache_logger_on_first_use=False,
    )
    # Libraries tell secrets at lower levels (pyghmi and requests log what they send).
    root = logging.getLogger()
    root.handlers[:] = [_Queued(writer, max(level, logging.WARNING))]
    atexit.register(writer.close)
    return writer


def listen(listener: Listener) -> Callable[[], None]:
    """Have every event from "info" up told to somebody as well, in the thread that logs it.

    Returns:
        What ends that.
    """
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def set_level(level: LogLevel) -> None:
    """From now on log what is at least of this level; after `setup`."""
    number = logging.getLevelNamesMapping()[level.upper()]
    heard = min(number, logging.INFO)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(heard))
    for handler in logging.getLogger().handlers:
        handler.setLevel(max(number, logging.WARNING))
        if isinstance(handler, _Queued):
            handler.writer.level = number


_stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")


def _add_time(logger: Any, name: str, event: EventDict) -> EventDict:
    """Wall time, for people only: nothing is ever decided by it."""
    return _stamp(logger, name, event)


def _hold_exception(_logger: object, _name: str, event: EventDict) -> EventDict:
    """Take the exception along: the writer's thread would find none of its own."""
    if event.get("exc_info") is True:
        event["exc_info"] = sys.exc_info()
    return event


def _stamped(event: EventDict) -> EventDict:
    return _stamp(None, "", event)


def _renderer(log_format: LogFormat, *, colors: bool) -> Any:
    """Makes one line (or, for people, a traceback's lines) of an event."""
    trace = structlog.processors.format_exc_info
    if log_format == "json":
        to_json = structlog.processors.JSONRenderer(default=repr, sort_keys=False)
        return lambda event: to_json(None, "", trace(None, "", event))
    # The default traceback shows local variables, and with them secrets.
    console = structlog.dev.ConsoleRenderer(
        colors=colors,
        timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,
    )
    return lambda event: console(None, "", event)
