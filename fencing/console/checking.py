# SPDX-License-Identifier: GPL-2.0-or-later
"""Status and test: every device is asked once, none is ordered anything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fencing import DeviceSettings, Power
from fencing.client import CHECK_LIMIT_S, LINE_LIMIT_S, LOAD_LIMIT_S
from fencing.console.course import Course
from fencing.console.exits import Exit
from fencing.console.order import Verb
from fencing.console.selection import Selection
from fencing.findings import Finding, Trouble
from fencing.identity import same
from fencing.levels import Fence
from fencing.readiness import Readiness

CHECK_WAIT_S = LOAD_LIMIT_S + max(CHECK_LIMIT_S, LINE_LIMIT_S) + 5.0
"""A check ends by itself within these; the rest is for a loaded host."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One device and what its check said."""

    node: str
    device: DeviceSettings
    readiness: Readiness


async def check(selections: Sequence[Selection], course: Course) -> list[Checked]:
    """Check every device once, one node after the other: BMCs bear few sessions."""
    found: list[Checked] = []
    for selection in selections:
        readiness = await _check(selection, course)
        found += [
            Checked(selection.node, device, readiness[device.name]) for device in selection.devices
        ]
    return _compared(found)


def verdict(verb: Verb, checked: Sequence[Checked]) -> tuple[Exit, str]:
    """The exit code, and its reason in words."""
    blocked = [one.device.name for one in checked if not one.readiness.ready]
    if blocked:
        return Exit.BLOCKED, f"CANNOT BE COUNTED ON: {', '.join(blocked)}"
    if verb is Verb.STATUS:
        return Exit.DONE, "; ".join(_power_lines(checked))
    findings = sum(len(one.readiness.findings) for one in checked)
    if findings:
        return Exit.ATTENTION, f"ready, but something needs a person: findings: {findings}"
    return Exit.DONE, "ready"


def lines(checked: Sequence[Checked]) -> list[str]:
    """What a person is shown of every device."""
    found = []
    for one in checked:
        device, readiness = one.device, one.readiness
        where = f" at {device.address}" if device.address else ""
        account = f" as {device.user}" if device.user else ""
        evidence = f" ({readiness.evidence})" if readiness.evidence else ""
        found.append(
            f"{one.node}, level {device.level}: {device.name}: reads {readiness.power}{evidence}, "
            f"machine {readiness.identity or 'not told'}; {device.driver}{where}{account}"
        )
        if readiness.pending:
            found.append(f"  {readiness.pending}")
        for finding in readiness.findings:
            weight = "BLOCKS" if finding.trouble.blocks else "note"
            found.append(f"  {weight}: {finding}")
            found.append(f"    remedy: {finding.trouble.remedy}")
    return found


def data(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """The same for JSON."""
    return [_row(one) for one in checked]


def levels(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """What each level reads: off only if all its chosen devices do."""
    found: dict[tuple[str, int], list[Power]] = {}
    for one in checked:
        power = one.readiness.power if one.readiness.ready else Power.UNKNOWN
        found.setdefault((one.node, one.device.level), []).append(power)
    return [
        {"node": node, "level": level, "power": _together(powers).value}
        for (node, level), powers in found.items()
    ]


async def _check(selection: Selection, course: Course) -> Mapping[str, Readiness]:
    said: set[str] = set()

    def heard(readiness: Readiness) -> None:
        if readiness.checked_monotonic_ns is not None and readiness.device not in said:
            said.add(readiness.device)
            course.note(f"{readiness.device} was checked: {readiness.detail or 'ready'}")

    fence = Fence(selection.devices, on_readiness=heard)
    await fence.start()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_WAIT_S):
                await fence.checked()
        return {one.device: one for one in fence.readiness}
    finally:
        await fence.close()


def _compared(checked: Sequence[Checked]) -> list[Checked]:
    """With what shows only beside the other node's devices: one machine that stands for two."""
    return [
        replace(one, readiness=replace(one.readiness, twins=one.readiness.twins + twins))
        for one in checked
        for twins in (tuple(_twins(one, checked)),)
    ]


def _twins(one: Checked, checked: Sequence[Checked]) -> Iterator[Finding]:
    """The devices of other nodes that are this one; the fence has compared those of its own."""
    own = one.readiness
    for other in checked:
        its = other.readiness
        if other.node == one.node:
            continue
        name = f"{other.device.name} of {other.node}"
        if own.mark and own.mark == its.mark:
            yield Finding(Trouble.SAME_DEVICE, f"the same device as {name} ({own.mark})")
        elif own.identity and its.identity and same(own.identity, its.identity):
            yield Finding(
                Trouble.SAME_DEVICE, f"answers for the machine of {name} ({own.identity})"
            )


def _power_lines(checked: Sequence[Checked]) -> list[str]:
    return [f"{row['node']}: level {row['level']} reads {row['power']}" for row in levels(checked)]


def _together(powers: Sequence[Power]) -> Power:
    different = set(powers)
    if len(different) == 1:
        return different.pop()
    return Power.ON if Power.ON in different and Power.UNKNOWN not in different else Power.UNKNOWN


def _row(one: Checked) -> dict[str, Any]:
    device, readiness = one.device, one.readiness
    return {
        "node": one.node,
        "device": device.name,
        "level": device.level,
        "driver": device.driver,
        "address": device.address,
        "account": device.user,
        "ready": readiness.ready,
        "power": readiness.power.value,
        "evidence": readiness.evidence,
        "identity": None if readiness.identity is None else str(readiness.identity),
        "expected": None if readiness.expected is None else str(readiness.expected),
        "pending": readiness.pending,
        "findings": [
            {
                "code": finding.trouble.code,
                "blocks": finding.trouble.blocks,
                "text": finding.text,
                "remedy": finding.trouble.remedy,
            }
            for finding in readiness.findings
        ],
    }
