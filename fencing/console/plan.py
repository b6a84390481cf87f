# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command would do: whom it would ask, in which order, and what would count as proof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fencing import DeviceSettings
from fencing.console.order import Order, Verb
from fencing.console.selection import Selection
from fencing.console.site import Site
from fencing.drivers import cuts_power
from fencing.levels import ON_STAGGER_S
from fencing.lock import lock_path
from fencing.verify import READINGS

Part = dict[str, Any]


def plan(order: Order, selections: Sequence[Selection], site: Site) -> list[Part]:
    """The parts of a command in their order, as JSON data; nobody is contacted for it."""
    parts: list[Part] = []
    for selection in selections:
        if order.verb.cuts or order.verb.gives:
            parts.append(_turn(order, selection, site))
        if order.verb.cuts:
            parts += _off(selection, site)
            parts.append(_proof(selection))
        if order.verb is Verb.CYCLE:
            parts.append(_part(f"the power stays off for {order.hold_s:g} s"))
        if order.verb.gives:
            parts += _on(selection)
        if not (order.verb.cuts or order.verb.gives):
            what = f"{selection.node}: log in, read power, identity and what else it tells"
            parts.append(_part(what, selection.devices))
    return parts


def lines(parts: Sequence[Part]) -> list[str]:
    """The same for a person."""
    found = []
    for number, part in enumerate(parts, start=1):
        found.append(f"{number}. {part['what']}")
        found += [f"   {_device_line(device)}" for device in part["devices"]]
    return found


def _part(what: str, devices: Sequence[DeviceSettings] = ()) -> Part:
    return {"what": what, "devices": [_device(device) for device in devices]}


def _turn(order: Order, selection: Selection, site: Site) -> Part:
    node = selection.node
    asked = "" if order.yes or not order.verb.cuts else f"ask for the name {node} to be typed; "
    if site.control_socket is None:
        return _part(f"{asked}take no lock, because haagent does not run on this host")
    path = lock_path(site.control_socket, node)
    return _part(f"{asked}take the lock {path}, or wait {order.lock_wait_s:g} s for it")


def _off(selection: Selection, site: Site) -> list[Part]:
    parts, before = [], 0
    for devices in selection.levels:
        level = devices[0].level
        when = "at once"
        if before:
            when = (
                f"when level {before} has failed, or beside it if that has not read off "
                f"{site.hedge_after_s:g} s later"
            )
        settle_s = max(device.off_settle_s for device in devices)
        proof = f"{READINGS} readings of off in a row, the last one {settle_s:g} s after the others"
        if len(devices) > 1:
            proof += ", and all devices off at the same time"
        what = f"{selection.node}: level {level} is ordered off {when}; it is off after {proof}"
        parts.append(_part(what, devices))
        before = level
    return parts


def _proof(selection: Selection) -> Part:
    for devices in selection.levels:
        missing = selection.missing(devices[0].level)
        if missing:
            return _part(
                f"level {devices[0].level} without {', '.join(sorted(missing))} proves nothing "
                f"for {selection.node}: such a reading is offered to nobody"
            )
    return _part(
        f"the first level that is off is the proof for {selection.node}: it is offered to the "
        "daemon of this node, if one runs"
    )


def _on(selection: Selection) -> list[Part]:
    return [
        _part(
            f"{selection.node}: level {powers[0].level} is ordered on, one device every "
            f"{ON_STAGGER_S:g} s, and read back on",
            powers,
        )
        for devices in reversed(selection.levels)
        if (powers := tuple(filter(cuts_power, devices)))
    ]


def _device(device: DeviceSettings) -> Part:
    """Everything about it that is no secret."""
    identity = device.expect_identity
    return {
        "device": device.name,
        "level": device.level,
        "driver": device.driver,
        "address": device.address,
        "account": device.user,
        "options": dict(device.options),
        "off_settle_s": device.off_settle_s,
        "deadline_s": device.deadline_s,
        "identity": None if identity is None else str(identity),
    }


def _device_line(device: Part) -> str:
    where = f" at {device['address']}" if device["address"] else ""
    account = f" as {device['account']}" if device["account"] else ""
    options = "".join(f", {name} {value}" for name, value in device["options"].items())
    identity = f", only if it is {device['identity']}" if device["identity"] else ""
    return (
        f"{device['device']}: {device['driver']}{where}{account}{options}{identity}, "
        f"within {device['deadline_s']:g} s"
    )
