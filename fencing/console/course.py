# SPDX-License-Identifier: GPL-2.0-or-later
"""The course of a command: every step is shown at its moment, and kept for the result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from fencing import DeviceSettings
from fencing.console.output import Output
from fencing.verify import Happened, Progress

NOTE = "note"
"""What happened is a word of ours, and no step of a device."""

WORDS: Mapping[Happened, str] = {
    Happened.ORDERED: "is ordered {what}",
    Happened.ACKNOWLEDGED: "takes the order, which proves nothing yet",
    Happened.REFUSED: "answers the order with: {text}",
    Happened.NOT_SENT: "was sent nothing: {text}",
    Happened.READ: "reads {text}",
    Happened.UNREAD: "cannot be read: {text}",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step, as the JSON has it."""

    s: float
    """Seconds since the start."""
    at_ns: int
    """CLOCK_MONOTONIC."""
    device: str | None
    level: int | None
    happened: str
    """A value of fencing.verify.Happened, or NOTE."""
    text: str


class Course:
    """What happened since it was made, in the order in which we heard of it."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._start_ns = time.monotonic_ns()
        self._steps: list[Step] = []
        self._ordered: dict[str, float] = {}
        self.what = "off"
        """What devices are ordered at present."""

    @property
    def ordered(self) -> Mapping[str, float]:
        """Devices that were given the present order, and after how many seconds first."""
        return self._ordered

    def begin(self, what: str) -> None:
        """From now on this is what is ordered."""
        self.what = what
        self._ordered.clear()

    def tell(self, device: DeviceSettings, progress: Progress) -> None:
        """Take a step of a device (fencing.level.TellDevice)."""
        step = self._add(progress.at_ns, device.name, device.level, progress)
        if progress.happened is Happened.ORDERED:
            self._ordered.setdefault(device.name, step.s)
        elif progress.happened is Happened.NOT_SENT:
            self._ordered.pop(device.name, None)
        words = WORDS[progress.happened].format(what=self.what, text=progress.text)
        self._output.say(f"{step.s:8.3f} s  {device.name} {words}")

    def note(self, text: str) -> None:
        """Say something that is no step of a device."""
        step = Step(*self._moment(time.monotonic_ns()), None, None, NOTE, text)
        self._steps.append(step)
        self._output.say(f"{step.s:8.3f} s  {text}")

    def seconds(self, at_ns: int) -> float:
        """A monotonic moment, as seconds since the start."""
        return round((at_ns - self._start_ns) / 1e9, 6)

    def data(self) -> list[dict[str, Any]]:
        """All steps, for JSON."""
        return [asdict(step) for step in self._steps]

    def take_logs(self) -> None:
        """Have what the fence logs, warnings and worse, noted here and nowhere else."""
        structlog.configure(
            processors=[_rendered],
            wrapper_class=structlog.make_filtering_bound_logger(_WARNING),
            logger_factory=lambda *_: _Noted(self),
            cache_logger_on_first_use=False,
        )

    def _add(self, at_ns: int, device: str, level: int, progress: Progress) -> Step:
        step = Step(*self._moment(at_ns), device, level, progress.happened, progress.text)
        self._steps.append(step)
        return step

    def _moment(self, at_ns: int) -> tuple[float, int]:
        return self.seconds(at_ns), at_ns


_WARNING = 30
"""Source: the standard library's logging.WARNING, by which structlog filters."""


class _Noted:
    """A logger whose lines are notes."""

    def __init__(self, course: Course) -> None:
        self.warning = self.error = self.critical = self.exception = course.note


def _rendered(logger: object, name: str, event: Mapping[str, Any]) -> str:
    del logger, name
    facts = (f"{key}={value}" for key, value in event.items() if key != "event")
    return " ".join((f"{event['event']}:", *facts))
