# SPDX-License-Identifier: GPL-2.0-or-later
"""What one scenario was, by all who saw it: plain values, for the report to draw and to keep.

All times are milliseconds from the pair's first power on, by the clock of this machine; the
servers' own clocks do not count here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from hil.labs import LabLacksError
from hil.timeline import between

if TYPE_CHECKING:
    from hil.labs import Lab
    from hil.record import Entry

GAP_NS = 300_000_000
"""A client that asks 100 times a second, and an observer, miss nothing that is shorter."""
BEAT_GAP_NS = 1_000_000_000
KEPT = 40_000
"""Characters of the end of each console and log that a failure is kept with."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was so from one time to another."""

    start_ms: float
    end_ms: float
    what: str


class Verdict(StrEnum):
    """How a scenario ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(slots=True)
class Story:
    """One scenario, told."""

    name: str
    claim: str
    """What it proves, if it passed."""
    verdict: Verdict = Verdict.PASSED
    reason: str = ""
    """Why it failed, or was skipped."""
    seconds: float = 0.0
    """What it took, its pair included."""
    lanes: dict[str, list[Span]] = field(default_factory=dict)
    """Who saw it, and what was so when; a span without length is a moment."""
    phases: list[tuple[str, float]] = field(default_factory=list)
    """Of the takeover, if there was one: ms from sighting to sighting, beginning with a frame."""
    outage_ms: float = 0.0
    """Longest time without an answer to the client."""
    attachments: dict[str, str] = field(default_factory=dict)
    """Consoles and logs, of a failure only."""


def tell(story: Story, lab: Lab) -> None:
    """Add what a pair's observers have seen to its story, and, if it failed, all that was said."""
    power = lab.power.since(lab.began_ns)
    if power:
        _draw(story, lab, power)
    if story.verdict is not Verdict.FAILED:
        return
    texts = {"power": "\n".join(map(str, power)), **lab.logs()}
    for name, machine in lab.machines.items():
        with suppress(LabLacksError):
            texts[f"{name}'s console"] = machine.console()
    story.attachments |= {name: text[-KEPT:] for name, text in texts.items() if text}


def _draw(story: Story, lab: Lab, power: Sequence[Entry]) -> None:
    zero_ns, end_ns = power[0]["at_ns"], max(e["at_ns"] for e in lab.observer.record.since())
    macs = {machine.mac: name for name, machine in lab.machines.items()}
    seen = lab.observer.record.since(zero_ns)
    for name in lab.machines:
        mine = [entry for entry in power if entry["node"] == name]
        story.lanes[name] = _powered(mine, zero_ns, end_ns)
        for what, key, lane in (("order", "order", "BMC"), ("pdu", "command", "outlets")):
            moments = [(e["at_ns"], str(e[key])) for e in mine if e["what"] == what]
            story.lanes[f"{name}'s {lane}"] = spans(moments, zero_ns, 0)
        mac = lab.machines[name].mac
        beats = [(e["at_ns"], "heard") for e in seen if (e["what"], e["mac"]) == ("beat", mac)]
        story.lanes[f"{name} on the wire"] = spans(beats, zero_ns, BEAT_GAP_NS)
    claims = [(e["at_ns"], str(macs.get(e["mac"], e["mac"]))) for e in seen if e["what"] == "arp"]
    story.lanes["address"] = spans(claims, zero_ns, GAP_NS)
    answers = [(e["at_ns"], e["node"]) for e in lab.client.record.since(zero_ns)]
    story.lanes["client"] = spans(answers, zero_ns, GAP_NS)
    if answers:
        story.outage_ms = round(lab.client.outage_ms(answers[0][0]), 1)
    story.phases = _phases(lab, power, macs)


def spans(seen: Iterable[tuple[int, str]], zero_ns: int, gap_ns: int) -> list[Span]:
    """Join sightings of the same thing that are not further apart than a gap."""
    joined: list[tuple[int, int, str]] = []
    for at_ns, what in seen:
        if joined and joined[-1][2] == what and at_ns - joined[-1][1] <= gap_ns:
            joined[-1] = (joined[-1][0], at_ns, what)
        else:
            joined.append((at_ns, at_ns, what))
    return [Span((a - zero_ns) / 1e6, (b - zero_ns) / 1e6, what) for a, b, what in joined]


def _powered(entries: Sequence[Entry], zero_ns: int, end_ns: int) -> list[Span]:
    """When a server ran, stood still, or was off."""
    states = {"STOP": "frozen", "RESUME": "runs", "RESET": "runs"}
    found: list[Span] = []
    now, since_ns = "off", zero_ns
    for entry in entries:
        after = now
        if entry["what"] == "power":
            after = "runs" if entry["state"] == "on" else "off"
        elif entry["what"] == "qemu":
            after = states.get(entry["event"], now)
        if after != now:
            found.append(Span((since_ns - zero_ns) / 1e6, (entry["at_ns"] - zero_ns) / 1e6, now))
            now, since_ns = after, entry["at_ns"]
    found.append(Span((since_ns - zero_ns) / 1e6, max(0.0, (end_ns - zero_ns) / 1e6), now))
    return [span for span in found if span.end_ms > span.start_ms]


def _phases(lab: Lab, power: Sequence[Entry], macs: dict[str, str]) -> list[tuple[str, float]]:
    """The parts of the first takeover after a power-off, by those outside the agents."""
    for off in power:
        if off["what"] != "power" or off["state"] != "off":
            continue
        lost = next(mac for mac, name in macs.items() if name == off["node"])
        gains = next(mac for mac in macs if mac != lost)
        seen = [e for e in lab.observer.sightings(off["at_ns"]) if e["mac"] == gains]
        answers = [e for e in lab.client.record.since(off["at_ns"]) if e["node"] == macs[gains]]
        if not seen or not answers:
            continue
        orders = [e for e in power if (e["what"], e["node"]) == ("order", off["node"])]
        before = [e for e in orders if e["at_ns"] <= off["at_ns"]]
        reads = [
            e
            for e in power
            if (e["what"], e["node"], e.get("state")) == ("read", off["node"], "off")
            and off["at_ns"] <= e["at_ns"] <= seen[0]["at_ns"]
        ]
        return between(
            [
                ("last frame", lab.observer.last_beat_ns(lost, off["at_ns"])),
                ("to fence order", before[-1]["at_ns"] if before else None),
                ("to power off", off["at_ns"]),
                ("to last reading off", reads[-1]["at_ns"] if reads else None),
                ("to first claim", seen[0]["at_ns"]),
                ("to first answer", answers[0]["at_ns"]),
            ]
        )
    return []
