# SPDX-License-Identifier: GPL-2.0-or-later
"""One simulated world: a queue of things that happen, two machines, and a transcript."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from haagent.core.effects import Effect, Fence, Persist, PowerOn, StartGroup, StopGroup
from haagent.core.events import Event
from haagent.core.state import State, Step

from .checkers import Checker, effects_of_note
from .data import Data
from .ledger import Ledger
from .machine import Machine
from .mix import Mix
from .network import Network
from .witness import Witness

OF_NOTE = (Fence, PowerOn, StartGroup, StopGroup, Persist)
"""Effects in whose shadow another fault may strike (mix.reactive)."""


class World:
    """All there is; nothing in it looks at a real clock."""

    def __init__(self, mix: Mix) -> None:
        self.mix = mix
        self.rng = Random(mix.seed ^ 0x5EED)  # noqa: S311 - histories, not secrets
        self.now_ns = 0
        self.counts: Counter[str] = Counter()
        """What really happened, by name."""
        self.tolerates_two = False
        """Only where a BMC lies: S1 cannot hold then, and what is asked is another thing."""
        self.lies = False
        """Only in the directed test (S8): a BMC says off while its machine runs."""
        self.clock_first = False
        """Only in a sabotage test: the loop looks at the clock before its queue."""
        self.on_effect: Callable[[int, Effect], None] | None = None
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = 0
        self._log: list[tuple[int, int, str, Any]] = []
        self.checker = Checker(self)
        self.network = Network(self)
        self.witness = Witness(self)
        self.machines = (Machine(self, 0), Machine(self, 1))
        self.data = Data(self)
        self.ledger = Ledger(self)

    # Time.

    def after(self, delay_ns: int, call: Callable[..., None], *arguments: Any) -> None:
        """Let something happen later, or now but after everything that is due already."""
        assert delay_ns >= 0
        self._numbers += 1
        heapq.heappush(self._heap, (self.now_ns + delay_ns, self._numbers, call, arguments))

    def run_until(self, end_ns: int, stop: Callable[[], bool] | None = None) -> bool:
        """Let things happen; True when stop() said so, asked ten times a second."""
        next_ask_ns = self.now_ns
        while self._heap and self._heap[0][0] <= end_ns:
            at_ns, _, call, arguments = heapq.heappop(self._heap)
            self.now_ns = at_ns
            call(*arguments)
            if stop is not None and at_ns >= next_ask_ns:
                if stop():
                    return True
                next_ask_ns = at_ns + 100_000_000
        self.now_ns = end_ns
        return False

    # What parts tell each other.

    def carried_out(self, node: int, effect: Effect) -> None:
        """An effect was begun."""
        self.counts[f"effect {type(effect).__name__}"] += 1
        if self.on_effect is not None and isinstance(effect, OF_NOTE):
            self.on_effect(node, effect)

    def peer_power_changed(self, node: int) -> None:
        """The direct cable goes dark or bright at the other end."""
        for link in range(1, len(self.mix.links)):
            self.network.tell_carrier(link, 1 - node)

    # Transcript.

    def note(self, node: int, what: str, detail: str) -> None:
        """Something happened to a machine."""
        self.counts[what] += 1
        self._log.append((self.now_ns, node, what, detail))

    def note_once(self, what: str) -> None:
        """Something that is only counted, for directed tests."""
        self.counts[what] += 1

    def stepped(self, node: int, event: Event, before: State, step: Step) -> None:
        """A core's step of note; it is put into words only when somebody reads it."""
        self._log.append((self.now_ns, node, "", (event, before, step)))

    def transcript(self) -> str:
        """What happened, one thing a line."""
        lines = [f"SEED={self.mix.seed}", repr(self.mix)]
        for at_ns, node, what, detail in self._log:
            words = f"{what} {detail}" if what else _words(*detail)
            if words:
                lines.append(f"{at_ns / 1e9:11.6f} {'  ' * node}node{node} {words}")
        return "\n".join(lines)


def _words(event: Event, before: State, step: Step) -> str:
    """A step in a line; empty for one that changed nothing."""
    after, changes = step.state, []
    if before.pair != after.pair:
        changes.append(repr(after.pair))
    for old, new in zip(before.groups, after.groups, strict=True):
        if old.phase != new.phase:
            changes.append(f"{new.settings.name}: {new.phase!r}")
    effects = [_short(effect) for effect in effects_of_note(step.effects)]
    if not changes and not effects:
        return ""
    name = type(event).__name__ if hasattr(event, "frame") else repr(event)
    return f"{name} -> {'; '.join(changes)}{' !! ' + ', '.join(effects) if effects else ''}"


def _short(effect: Effect) -> str:
    return f"Persist({effect.attempt})" if isinstance(effect, Persist) else repr(effect)
