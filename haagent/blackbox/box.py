# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's black box, wired up: what is recorded of this node, and whether anything is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from haagent import host, log
from haagent.blackbox import DIRECTORY
from haagent.blackbox.entries import Started
from haagent.blackbox.recorder import Recorder
from haagent.blackbox.ring import Ring
from haagent.config import Configuration
from haagent.core.effects import Record
from haagent.core.events import Event
from haagent.core.state import State, Step
from haagent.history import History
from haagent.journal import TELLS_OF_STEPS

MIB = 1 << 20
NOTED = ("id", "kind", "group", "term", "outcome", "reason", "marks_ns")
"""Of a record of the history: what `explain` finds it by, and moments that only an edge knew."""
TEXT_MAX = 1000
"""Characters kept of a text that an edge says."""
LEFT_OUT = ("event", "level", "time")


class BlackBox:
    """Hands everything to the recorder, or does nothing when `black_box_mib` is 0.

    Args:
        configuration: Of this node.
        history: Whose new records are noted.
    """

    def __init__(self, configuration: Configuration, history: History) -> None:
        self._configuration = configuration
        self._history = history
        self._last_id = history.last_id
        self._recorder: Recorder | None = None
        self._unlisten: Callable[[], None] = lambda: None
        if configuration.black_box_mib:
            directory = configuration.state_dir / DIRECTORY
            ring = Ring(directory, configuration.black_box_mib * MIB)
            self._recorder = Recorder(ring, facts_of(configuration))

    @property
    def lost(self) -> int:
        """Entries that are in no segment."""
        return self._recorder.lost if self._recorder else 0

    @property
    def trouble(self) -> str:
        """Why nothing is recorded now, although it should be."""
        return self._recorder.trouble if self._recorder else ""

    def begin(  # what start() was given
        self,
        first: Step,
        *,
        now_ns: int,
        record: Record,
        same_boot: bool,
        found: frozenset[int],
    ) -> None:
        """The core began with that step: record from now on."""
        if self._recorder is None:
            return
        state = first.state
        started = Started(
            now_ns, state.settings, state.incarnation, record, same_boot, found, first.effects
        )
        self._recorder.begin(started, state)
        self._unlisten = log.listen(self._heard)

    def observe(self, before: State, event: Event, step: Step, now_ns: int) -> None:
        """Record one step of the core."""
        if self._recorder is not None:
            self._recorder.observe(before, event, step, now_ns)

    def note_history(self) -> None:
        """Record what the history has new, so that a recording knows its numbers."""
        for record in self._history.since(self._last_id):
            self._last_id = int(str(record["id"]))
            if self._recorder is not None:
                self._recorder.note("history", {name: record[name] for name in NOTED})

    async def flush(self) -> dict[str, object]:
        """Have it all written; where it is, for whoever asked."""
        if self._recorder is None:
            return {"directory": None}
        await self._recorder.flush()
        return {"directory": str(self._recorder.directory)}

    def close(self) -> None:
        """Record nothing more."""
        self._unlisten()
        if self._recorder is not None:
            self._recorder.close()

    def _heard(self, event: Mapping[str, Any]) -> None:
        """A line of the log; those about the core's steps are recorded as steps already."""
        if self._recorder is not None and event["event"] not in TELLS_OF_STEPS:
            facts = {key: _plain(of) for key, of in event.items() if key not in LEFT_OUT}
            self._recorder.note(str(event["event"]), facts)


def facts_of(configuration: Configuration) -> dict[str, object]:
    """What each segment says of its node, chosen by hand so that no secret can get in.

    What the core decides by is in the recorded state; this is for whoever reads it.
    """
    pair, names = configuration.pair, configuration.node_names
    return {
        "boot": host.boot_id(),
        "cluster": configuration.cluster,
        "node": names[pair.me],
        "peer": names[pair.peer],
        "configuration": {
            "links": [f"{link.name} ({link.interface})" for link in configuration.links],
            "groups": {
                plan.name: [
                    f"{one.name} ({type(one).__name__.removesuffix('Settings').lower()})"
                    for one in plan.resources
                ]
                for plan in configuration.groups
            },
            "vips": {name: [str(v.address) for v in of] for name, of in configuration.vips.items()},
            "references": [str(one.address) for one in configuration.reach.references],
            "fence": [
                f"{device.name} (level {device.level}, {device.driver})"
                for device in configuration.devices[pair.peer]
            ],
        },
    }


def _plain(value: object) -> object:
    """As JSON has it: short texts, numbers, and the text of everything else."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value)[:TEXT_MAX]
