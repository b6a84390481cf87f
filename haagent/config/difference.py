# SPDX-License-Identifier: GPL-2.0-or-later
"""What sets two configurations of one node apart, by the keys of the file.

Each difference is one that a running agent takes in, or one that needs another agent. What is not
known here needs another agent: a new key is safe before it is convenient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from fencing.config.problems import join
from haagent.config.settings import (
    CommandSettings,
    Configuration,
    GroupPlan,
    LogSettings,
    ProbeSettings,
    ResourceSettings,
    SystemdSettings,
    VipSettings,
)
from haagent.core.settings import GroupSettings, Timing
from haagent.postgres.layout import PostgresSettings
from haagent.resources import Times
from haagent.resources.ocf_settings import OcfSettings

FILE_KEYS: Mapping[str, str] = {
    "node_names": "node",
    "links": "link",
    "witnesses": "witness",
    "state_dir": "agent.state_dir",
    "control_socket": "agent.control_socket",
    "black_box_mib": "agent.black_box_mib",
}
"""Fields of a configuration that have another name in the file."""
APART = frozenset({"pair", "groups", "vips", "devices", "log", "warnings"})
"""Fields that are looked at more closely, or that decide nothing."""
LIVE: Mapping[str, str] = {
    "keys": "key",
    "hedge_after_s": "timing.hedge_after",
    "reach": "network",
    "hooks": "hooks",
    "alerts": "alert",
    "drill": "drill",
}
"""Fields that a running agent takes in whole."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Key paths of what differs, in the order of the file as far as there is one."""

    live: tuple[str, ...]
    """What a running agent takes in."""
    restart: tuple[str, ...]
    """What only another agent does."""


def difference(old: Configuration, new: Configuration) -> Difference:
    """What has to be done to go on with `new` in place of `old`."""
    found = list(_found(old, new))
    live = dict.fromkeys(key for key, is_live in found if is_live)
    return Difference(tuple(live), tuple(dict.fromkeys(key for key, live in found if not live)))


def _found(old: Configuration, new: Configuration) -> Iterator[tuple[str, bool]]:
    """Each key, and whether a running agent takes it in."""
    for field in _differing(old, new):
        if field not in APART:
            yield LIVE.get(field) or FILE_KEYS.get(field, field), field in LIVE
    if old.pair.me != new.pair.me:
        yield "node", False
    yield from _timing(old.pair.timing, new.pair.timing)
    yield from _log(old.log, new.log)
    yield from _devices(old, new)
    yield from _groups(old, new)


def _differing(old: Any, new: Any) -> Iterator[str]:
    for field in fields(old):
        if getattr(old, field.name) != getattr(new, field.name):
            yield field.name


def _timing(old: Timing, new: Timing) -> Iterator[tuple[str, bool]]:
    for field in _differing(old, new):
        # The peer goes by its own dead_after until it has heard that the two nodes differ: who
        # beats more rarely from now on could be silent for so long by a single lost frame.
        rarer = field == "interval_ns" and new.interval_ns > old.interval_ns
        yield f"timing.{field.removesuffix('_ns')}", not rarer


def _log(old: LogSettings, new: LogSettings) -> Iterator[tuple[str, bool]]:
    if old.format != new.format:
        yield "agent.log", False
    if old.level != new.level:
        yield "agent.log_level", True


def _devices(old: Configuration, new: Configuration) -> Iterator[tuple[str, bool]]:
    for before, after in zip(old.devices, new.devices, strict=True):
        known = {device.name: device for device in before}
        wanted = {device.name: device for device in after}
        for name in {**known, **wanted}:
            if known.get(name) != wanted.get(name):
                yield join("fence", name), True


def _groups(old: Configuration, new: Configuration) -> Iterator[tuple[str, bool]]:
    if [plan.name for plan in old.groups] != [plan.name for plan in new.groups]:
        yield "group", False
        return
    core = {group.name: group for group in new.pair.groups}
    for before in old.pair.groups:
        yield from _rules(before, core[before.name])
    for plan, other in zip(old.groups, new.groups, strict=True):
        yield from _plan(plan, other)


def _rules(old: GroupSettings, new: GroupSettings) -> Iterator[tuple[str, bool]]:
    for field in _differing(old, new):
        name = field.removesuffix("_ns").removesuffix("_after")
        yield join("group", old.name, name), True


def _plan(old: GroupPlan, new: GroupPlan) -> Iterator[tuple[str, bool]]:
    for field in _differing(old.policy, new.policy):
        yield join("group", old.name, field.removesuffix("_ns")), True
    if old.failback != new.failback:
        yield join("group", old.name, "failback"), True
    if old.shared_storage != new.shared_storage:
        yield join("group", old.name, "shared_storage"), False
    if old.probe != new.probe:
        yield join("group", old.name, "probe"), _is_live(old, old.probe, new.probe)
    if [one.name for one in old.resources] != [one.name for one in new.resources]:
        yield join("group", old.name, "resource"), False
        return
    for before, after in zip(old.resources, new.resources, strict=True):
        if before != after:
            key = "vip" if isinstance(before, VipSettings) else "resource"
            yield join("group", old.name, key, before.name), _timeless(before) == _timeless(after)


def _is_live(plan: GroupPlan, old: ProbeSettings | None, new: ProbeSettings | None) -> bool:
    """Whether one probe of a group takes the other's place in what is there."""
    if old is None or new is None or old.about != new.about:
        return False
    about = next((one for one in plan.resources if one.name == old.about), None)
    return old.interval_s == new.interval_s or not isinstance(about, PostgresSettings)


def _timeless(settings: ResourceSettings) -> ResourceSettings:
    """The resource without its limits and its interval, where those can be changed alive."""
    if isinstance(settings, SystemdSettings | CommandSettings):
        return replace(settings, times=Times())
    if isinstance(settings, OcfSettings):
        return replace(settings, limits_s={}, interval_s=None)
    return settings
