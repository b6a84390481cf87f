# SPDX-License-Identifier: GPL-2.0-or-later
"""The timeline of a drill as SVG: the drill's phases, what each node was, who answered clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from itertools import pairwise
from typing import Any

Record = Mapping[str, Any]

WIDTH, LEFT, RIGHT = 1100, 170, 20
LANE, BAR = 46, 26
TOP = 30
TICKS_MAX = 12
STEPS_MS = (
    *(100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000),
    *(300_000, 600_000, 1_800_000, 3_600_000, 14_400_000, 86_400_000),
)
MINUTES_FROM_S = 600
LETTER_PX = 7.0
"""About the width of a letter of the font that is used; a label that does not fit is left out."""
CLASSES = (
    ("active", "active"),
    ("taking", "moving"),
    ("releasing", "moving"),
    ("standby", "standby"),
    ("suspect", "doubt"),
    ("unheard", "doubt"),
    ("powering", "doubt"),
    ("fenc", "bad"),
    ("silent", "bad"),
    ("stuck", "bad"),
    ("blocked", "bad"),
)
"""The first word that is found in a state says how it is drawn."""


class Drawing:
    """One timeline."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._end_ms = max(float(record.get("ended_ms") or 0), 1.0)
        states, clients = record.get("states"), record.get("clients")
        self._states: Record = states if isinstance(states, dict) else {}
        self._clients: Record = clients if isinstance(clients, dict) else {}
        self._lanes = 1 + len(self._states) + len(self._clients)

    def svg(self) -> str:
        """All of it; scales with the page."""
        height = TOP + self._lanes * LANE + 24
        label = "Timeline: phases of the drill, states of both nodes, answers to the clients"
        head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">'
        return "\n".join([head, *self._axis(height), *self._bars(), "</svg>"])

    def _x(self, at_ms: float) -> float:
        inside = min(max(at_ms, 0), self._end_ms) / self._end_ms
        return round(LEFT + inside * (WIDTH - LEFT - RIGHT), 2)

    def _axis(self, height: int) -> Iterator[str]:
        step = next((s for s in STEPS_MS if self._end_ms / s <= TICKS_MAX), STEPS_MS[-1])
        for number in range(int(self._end_ms // step) + 1):
            x, text = self._x(number * step), _moment(number * step)
            yield f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - 20}"/>'
            yield f'<text class="tick" x="{x}" y="{height - 4}">{text}</text>'

    def _bars(self) -> Iterator[str]:
        phases = [
            (float(one["from_ms"]), float(one["to_ms"]), str(one["name"]), "phase")
            for one in self._record.get("phases") or ()
        ]
        yield from self._lane(0, "drill", phases)
        lane = 1
        for node, known in self._states.items():
            ends = [*(float(at_ms) for at_ms, _ in known[1:]), self._end_ms]
            spans = [
                (float(at_ms), end_ms, str(state), _class_of(str(state)))
                for (at_ms, state), end_ms in zip(known, ends, strict=True)
            ]
            yield from self._lane(lane, node, spans)
            lane += 1
        for group, client in self._clients.items():
            yield from self._lane(lane, f"client of {group}", list(self._served(client)))
            lane += 1

    def _served(self, client: Record) -> Iterator[tuple[float, float, str, str]]:
        """Who answered from when to when, and over that the gaps."""
        held = [*client.get("held", ()), [self._end_ms, ""]]
        nodes = list(self._states)
        for (begin, node), (end, _) in pairwise(held):
            number = nodes.index(node) if node in nodes else 0
            yield float(begin), float(end), str(node), f"node{number % 2}"
        gaps = [(float(begin), float(end)) for begin, end in client.get("gaps", ())]
        for begin, end in gaps:
            yield begin, end, f"nobody for {end - begin:.0f} ms", "gap"

    def _lane(
        self, number: int, name: str, spans: list[tuple[float, float, str, str]]
    ) -> Iterator[str]:
        y = TOP + number * LANE
        yield f'<text class="lane" x="{LEFT - 12}" y="{y + BAR / 2 + 5}">{escape(name)}</text>'
        for begin, end, text, kind in spans:
            x = self._x(begin)
            width = max(self._x(end) - x, 1.5)
            title = f"{text}: {begin / 1000:.3f} s to {end / 1000:.3f} s"
            box = f'x="{x}" y="{y}" width="{width:.2f}" height="{BAR}" rx="3"'
            yield f'<rect class="{kind}" {box}><title>{escape(title)}</title></rect>'
            if len(text) * LETTER_PX + 8 < width:
                yield f'<text class="in" x="{x + 6}" y="{y + BAR / 2 + 5}">{escape(text)}</text>'


def _moment(at_ms: float) -> str:
    """As a clock has it, once it is minutes."""
    seconds = at_ms / 1000
    if seconds < MINUTES_FROM_S:
        return f"{seconds:g} s"
    return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02d} h"


def _class_of(state: str) -> str:
    return next((kind for word, kind in CLASSES if word in state), "away")
