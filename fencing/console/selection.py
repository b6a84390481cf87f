# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices a command is about, and whether they are enough for a proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from fencing import DeviceSettings
from fencing.config.problems import nearest
from fencing.console.exits import Exit, RefusedError
from fencing.console.order import Order, Verb
from fencing.console.site import Site
from fencing.drivers import cuts_power

PEER = "peer"
"""The target that is the other node."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The devices of one node that a command uses, at least one, levels ascending."""

    node: str
    devices: tuple[DeviceSettings, ...]
    configured: Mapping[int, frozenset[str]]
    """Names of all the devices of each level, chosen or not."""

    @property
    def levels(self) -> tuple[tuple[DeviceSettings, ...], ...]:
        """The devices by level, ascending."""
        by_level = groupby(self.devices, key=lambda device: device.level)
        return tuple(tuple(devices) for _, devices in by_level)

    def missing(self, level: int) -> frozenset[str]:
        """Devices of a level that are not among the chosen: without them nothing is proved."""
        return self.configured[level] - {device.name for device in self.devices}


def select(site: Site, order: Order) -> tuple[Selection, ...]:
    """The devices that an order is about, node by node; one node unless it tests all.

    Raises:
        RefusedError: There is no such node or device, or its settings contradict the order.
    """
    if order.verb is Verb.TEST and order.target is None and not order.devices:
        return tuple(_selected(site, order, node, ()) for node in site.nodes)
    node, only = _target(site, order.target)
    return (_selected(site, order, node, (*only, *order.devices)),)


def _target(site: Site, target: str | None) -> tuple[str, tuple[str, ...]]:
    """The node in question, and its one device if the target is a device."""
    if target is None or (target == PEER and target not in site.nodes):
        return _peer(site), ()
    owners = [node for node, devices in site.nodes.items() for one in devices if one.name == target]
    if target in site.nodes:
        if any(owner != target for owner in owners):
            text = f"{target} is a node, and a device that cuts {owners[0]}; say --device {target}"
            raise RefusedError(Exit.USAGE, text)
        return target, ()
    if not owners:
        known = [*site.nodes, *(one.name for devices in site.nodes.values() for one in devices)]
        advice = nearest(target, known, f"there are: {', '.join(known)}")
        raise RefusedError(Exit.USAGE, f"{target} is neither a node nor a device; {advice}")
    return owners[0], (target,)


def _peer(site: Site) -> str:
    if len(site.nodes) == 1 and site.me is None:
        return next(iter(site.nodes))
    others = [node for node in site.nodes if node != site.me]
    if site.me is None or len(others) != 1:
        who = "this host is none of the nodes" if site.me is None else f"we are {site.me}"
        text = f"who is the peer? {who}; name the node: {', '.join(site.nodes)}"
        raise RefusedError(Exit.USAGE, text)
    return others[0]


def _selected(site: Site, order: Order, node: str, only: Sequence[str]) -> Selection:
    configured = sorted(site.nodes[node], key=lambda device: device.level)
    names = [device.name for device in configured]
    for name in only:
        if name not in names:
            text = f"{name} is no device of {node}; there are: {', '.join(names)}"
            raise RefusedError(Exit.USAGE, text)
    chosen = [
        device
        for device in configured
        if (not only or device.name in only) and order.level in (None, device.level)
    ]
    if not chosen:
        levels = ", ".join(str(level) for level in sorted({one.level for one in configured}))
        text = f"{node} has no such device at level {order.level}; its levels: {levels}"
        raise RefusedError(Exit.USAGE, text)
    if order.verb.gives and not any(map(cuts_power, chosen)):
        text = f"{chosen[0].name} is a disk's permission: only {node} itself may order it on"
        raise RefusedError(Exit.USAGE, f"{text}, which its agent does when it joins")
    return Selection(
        node=node,
        devices=tuple(_limited(device, order) for device in chosen),
        configured={
            level: frozenset(device.name for device in devices)
            for level, devices in groupby(configured, key=lambda device: device.level)
        },
    )


def _limited(device: DeviceSettings, order: Order) -> DeviceSettings:
    if order.deadline_s is None:
        return device
    if device.off_settle_s >= order.deadline_s:
        text = f"--deadline: not above off_settle of {device.name}, {device.off_settle_s:g}s"
        raise RefusedError(Exit.USAGE, f"{text}; no attempt could ever be confirmed")
    return replace(device, deadline_s=order.deadline_s)
