# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold before a drill begins: a checklist, printed whole, of which each item has a name.

`--despite NAME` passes over an item of `SOFT`; the others protect the service, and stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from haagent.config import Configuration
from haagent.drill.archive import Entry, Verdict
from haagent.drill.kinds import Kind, Where
from haagent.drill.pair import Status, holds_all, holds_none, may_take_over, roles

SOFT = frozenset({"calendar", "rested", "stable"})
FRESH_CHECKS = 3
"""A fence device was read within so many of its `check_every`: the session is a living one."""
FRESH_SPARE_S = 10.0


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the checklist."""

    code: str
    ok: bool
    text: str

    @property
    def line(self) -> str:
        """As it is printed."""
        return f"{'ok ' if self.ok else 'NO '} {self.code}: {self.text}"


@dataclass(frozen=True, slots=True)
class Found:
    """What the checklist is made from."""

    configuration: Configuration
    kind: Kind
    here: Status | None
    there: Status | None
    entries: Sequence[Entry]
    """Earlier drills."""
    now: datetime
    """Local time."""
    witnesses: Mapping[str, Sequence[Status] | None] = field(default_factory=dict)
    """By node: what each witness said when that node asked it a moment ago."""

    @property
    def names(self) -> tuple[str, str]:
        """This node's and the peer's."""
        pair, names = self.configuration.pair, self.configuration.node_names
        return names[pair.me], names[pair.peer]

    def both(self) -> Iterator[tuple[str, Status]]:
        """Each node that answers, and what it says."""
        for name, status in zip(self.names, (self.here, self.there), strict=True):
            if status is not None:
                yield name, status


def checklist(found: Found) -> list[Item]:
    """Every item, in the order in which a person would look."""
    items = list(_agents(found))
    if found.here is None or found.there is None:
        return items
    items += [_equal(found), _place(found), _orders(found), _stable(found), _takeover(found)]
    items += [_links(found), _fence(found), _witness(found), _data(found)]
    items += [_resources(found), _quiet(found)]
    if found.kind.plan.power:
        items.append(_fences_left(found))
    if found.kind is not Kind.CHECK:
        items += [_calendar(found), _rested(found)]
    return items


def _item(code: str, good: str, faults: list[str]) -> Item:
    return Item(code, not faults, "; ".join(faults) or good)


def _agents(found: Found) -> Iterator[Item]:
    faults = [
        f"the agent of {name} does not answer"
        for name, status in zip(found.names, (found.here, found.there), strict=True)
        if status is None
    ]
    yield _item("agents", "both agents answer", faults)


def _equal(found: Found) -> Item:
    said = [
        {key: status.get(key) for key in ("version", "configuration_hash")}
        for _, status in found.both()
    ]
    own = found.configuration.pair.configuration_hash.hex()
    faults = [
        f"{key.replace('_', ' ')}: {' and '.join(str(one[key]) for one in said)}"
        for key in said[0]
        if said[0][key] != said[1][key]
    ]
    if said[0]["configuration_hash"] != own:
        faults.append("the file that this drill reads is not what the agent runs with")
    return _item("equal", f"version {said[0]['version']} and configuration {own[:8]}", faults)


def _place(found: Found) -> Item:
    me, peer = found.names
    match found.kind.plan.where:
        case Where.ACTIVE if not (holds_all(found.here) and holds_none(found.there)):
            fault = f"this drill is run on the node that holds every group, and that is not {me}"
        case Where.STANDBY if not (holds_none(found.here) and holds_all(found.there)):
            fault = f"this drill is run on the node that stands by for every group, not on {me}"
        case _:
            held = ", ".join(f"{name} {role}" for name, role in roles(found.here).items())
            return Item("place", ok=True, text=f"{me}: {held}; {peer} is the other")
    return Item("place", ok=False, text=fault)


def _orders(found: Found) -> Item:
    faults = ["maintenance is on"] if any(s["maintenance"] for _, s in found.both()) else []
    assert found.here is not None
    faults += [f"{name} is on standby by an order" for name in found.here["standby_nodes"]]
    for group in found.here["groups"]:
        faults += [f"{group['name']} is {word}" for word in ("stopped", "frozen") if group[word]]
    return _item("orders", "no maintenance, nothing stopped, frozen or on standby", faults)


def _stable(found: Found) -> Item:
    limit_s, faults = found.configuration.drill.stable_for_s, []
    for name, status in found.both():
        youngest_s = min(group["since_s"] for group in status["groups"])
        if youngest_s < limit_s:
            faults.append(f"a role on {name} changed {youngest_s:.0f} s ago")
        if status["peer_state"]["since_s"] < limit_s:
            faults.append(f"{name} hears its peer for {status['peer_state']['since_s']:.0f} s only")
    return _item("stable", f"for at least {limit_s:g} s", faults)


def _takeover(found: Found) -> Item:
    faults = [
        f"{name}: {reason['text']}"
        for name, status in found.both()
        if not may_take_over(status)
        for reason in status["takeover"]["reasons"]
    ]
    return _item("takeover", "would work now, as both nodes say", faults)


def _links(found: Found) -> Item:
    faults = [
        f"{name}, link {link['name']}: {link['detail'] or link['state']}"
        for name, status in found.both()
        for link in status["links"]
        if link["state"] != "up" or not link["peer_hears_us"]
    ]
    return _item("links", "all up, in both directions", faults)


def _fence(found: Found) -> Item:
    """Every device of both nodes, not only one level: a drill is no bad day."""
    slowest = [max(one.check_every_s for one in of) for of in found.configuration.devices]
    limit_s = FRESH_CHECKS * max(slowest) + FRESH_SPARE_S
    faults = []
    for name, status in found.both():
        for device in status["fence"]:
            age_s = device["checked_s_ago"]
            where = f"{name}, {device['device']}"
            if not device["ready"]:
                faults.append(f"{where}: {device['detail'] or 'not ready'}")
            elif age_s is None or age_s > limit_s:
                faults.append(f"{where}: not read for {limit_s:g} s")
            elif device["power"] != "on":
                faults.append(f"{where}: reads {device['power']} although its machine lives")
    devices = sum(len(status["fence"]) for _, status in found.both())
    return _item("fence", f"{devices} devices ready, in both directions", faults)


def _witness(found: Found) -> Item:
    """Each one, also one that is left out of the count: a drill is no bad day."""
    plans, faults = found.configuration.witnesses, []
    for name in found.names:
        said = {one.get("name"): one for one in found.witnesses.get(name) or ()}
        for plan in plans:
            answer = said.get(plan.name, {"detail": f"{name} could not ask it"})
            if answer.get("word") != "yes":
                faults.append(f"{name}, {plan.name}: {answer.get('detail')}")
    good = f"{len(plans)} asked from both nodes, all are there" if plans else "none is configured"
    return _item("witness", good, faults)


def _data(found: Found) -> Item:
    assert found.here is not None
    assert found.there is not None
    faults, lags = [], []
    settings = {group.name: group for group in found.configuration.pair.groups}
    theirs = {group["name"]: group for group in found.there["groups"]}
    for group in found.here["groups"]:
        name = str(group["name"])
        mine, other = group["position"], theirs.get(name, {}).get("position")
        allowed = settings[name].max_lag if name in settings else None
        if mine is None and other is None and allowed is None:
            continue
        silent = [n for n, at in zip(found.names, (mine, other), strict=True) if at is None]
        if silent:
            lags += [f"{name} of {node} tells no position" for node in silent]
            faults += lags[-len(silent) :] if allowed is not None else []
            continue
        lags.append(f"{name} {abs(mine - other)} behind")
        if allowed is not None and abs(mine - other) > allowed:
            faults.append(f"{name} is {abs(mine - other)} behind, {allowed} is allowed")
    return _item("data", ", ".join(lags) or "no group tells a position", faults)


def _resources(found: Found) -> Item:
    faults = [
        f"{name}: {alarm['text']}"
        for name, status in found.both()
        for alarm in status["alarms"]
        if str(alarm["code"]).startswith(("resource_", "inactive_", "unreachable_"))
    ]
    return _item("resources", "run where they should, and nowhere else", faults)


def _quiet(found: Found) -> Item:
    faults = []
    for name, status in found.both():
        drills = status["drills"]
        if drills["under_way"]:
            faults.append(f"{name}: the drill {drills['under_way']} is under way")
        faults += [f"{name}: still carries {one['fault']}" for one in drills["faults"]]
    return _item("quiet", "no other drill is under way", faults)


def _fences_left(found: Found) -> Item:
    timing, faults = found.configuration.pair.timing, []
    for name, status in found.both():
        if status["fences_in_window"] >= timing.max_fences:
            faults.append(f"{name} ordered {status['fences_in_window']} power-offs of late")
    return _item("fences_left", "a takeover may still order a power-off", faults)


def _calendar(found: Found) -> Item:
    why = found.configuration.drill.practice.not_now(found.now)
    return Item("calendar", why is None, why or f"{found.now:%a %Y-%m-%d %H:%M}")


def _rested(found: Found) -> Item:
    limit_s = found.configuration.drill.rest_s
    done = [
        entry
        for entry in found.entries
        if entry.kind is not Kind.CHECK and entry.verdict is not Verdict.SKIPPED
    ]
    if not done:
        return Item("rested", ok=True, text="the first drill")
    ago_s = (found.now - done[-1].began).total_seconds()
    text = f"the last one, {done[-1].kind}, was {ago_s / 60:.0f} min ago"
    return Item("rested", ago_s >= limit_s, text)


def refused(items: Sequence[Item], despite: frozenset[str]) -> list[Item]:
    """What keeps the drill from beginning."""
    return [item for item in items if not item.ok and item.code not in despite & SOFT]


def data(items: Sequence[Item]) -> list[dict[str, Any]]:
    """For the record."""
    return [{"code": item.code, "ok": item.ok, "text": item.text} for item in items]
