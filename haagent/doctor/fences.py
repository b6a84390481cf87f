# SPDX-License-Identifier: GPL-2.0-or-later
"""What cuts the peer's power: ready, independent of what it cuts, and closed to others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fencing import DeviceSettings, Power
from fencing.client import CHECK_LIMIT_S, LOAD_LIMIT_S
from fencing.drivers import DRIVERS, cuts_power
from fencing.drivers.ipmi_exposure import exposure
from fencing.findings import Finding
from fencing.levels import Fence
from fencing.readiness import Readiness
from haagent import host
from haagent.cli.verdict import rows
from haagent.doctor import Line, Subject, bad, ok, unknown, warning

WAIT_S = LOAD_LIMIT_S + CHECK_LIMIT_S + 5.0
BOARD_DRIVERS = {"ipmi", "redfish"}
"""Devices that are fed by the machine that they cut: with its cords, they go."""
BOARD_AGENTS = (
    "fence_ipmilan",
    "fence_idrac",
    "fence_ilo",
    "fence_imm",
    "fence_drac",
    "fence_redfish",
    "fence_cisco_ucs",
)
PDU_AGENTS = (
    "fence_apc",
    "fence_wti",
    "fence_eaton",
    "fence_raritan",
    "fence_cdu",
    "fence_cyberpower",
    "fence_tripplite",
    "fence_netio",
    "fence_ipdu",
    "fence_emerson",
)


def look(subject: Subject) -> Iterator[Line]:
    """The peer's devices; ours are the peer's to ask."""
    me, peer = subject.configuration.pair.me, subject.configuration.pair.peer
    devices = subject.configuration.devices[peer]
    by_name = {device.name: device for device in devices}
    if subject.status:
        for row in rows(subject.status, "fence"):
            name = str(row.get("device"))
            yield from _by_agent(by_name.get(name), row)
    else:
        for readiness in asyncio.run(_checked(devices)):
            yield from _by_check(by_name[readiness.device], readiness)
    for number, name in enumerate(subject.configuration.node_names):
        yield _independent(name, subject.configuration.devices[number])
    for device in devices:
        if device.driver == "ipmi":
            yield from _exposed(device)
    yield from permitted(subject.configuration.devices[me])
    own = ", ".join(device.name for device in subject.configuration.devices[me])
    yield unknown("fence", f"{own}: what cuts this node is asked by {subject.peer}", "doctor there")
    if not any(host.system_uuid()):
        text = "this machine has no system UUID that could be held against what its BMC says"
        yield warning("identity", text, "set it in the firmware; till then prove the wiring")


def permitted(devices: Sequence[DeviceSettings]) -> Iterator[Line]:
    """This node's own keys on the shared disks."""
    permissions = [device for device in devices if not cuts_power(device)]
    if not permissions:
        return
    for readiness in asyncio.run(_checked(permissions)):
        what = f"permission {readiness.device}"
        if readiness.power is Power.ON:
            yield ok(what, f"this node may write to the disk{_seen(readiness.evidence)}")
        elif readiness.power is Power.OFF:
            text = "this node has no key on the disk: no group that stands on it starts here"
            yield bad(what, text, "it lets itself in when its agent runs; see haagent status")
        elif readiness.pending:
            yield unknown(what, readiness.pending, f"haagent fence test {readiness.device}")
        else:
            yield from (_told(what, finding) for finding in readiness.findings)


async def _checked(devices: Sequence[DeviceSettings]) -> tuple[Readiness, ...]:
    """Each device once; the running agent is not there to be asked."""
    fence = Fence(devices, on_readiness=lambda _: None)
    await fence.start()
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await fence.checked()
        return tuple(fence.readiness)
    finally:
        await fence.close()


def _by_agent(device: DeviceSettings | None, row: Mapping[str, Any]) -> Iterator[Line]:
    what = f"fence {row.get('device')}"
    if row.get("ready"):
        ago = row.get("checked_s_ago")
        when = f", {ago:.0f} s ago" if isinstance(ago, (int, float)) else ""
        yield ok(
            what, f"{_where(device)}reads {row.get('power')}{_seen(row.get('evidence'))}{when}"
        )
    elif not rows(row, "findings"):
        yield unknown(what, str(row.get("detail")), "ask again in a minute")
    for finding in rows(row, "findings"):
        weigh = bad if finding.get("blocks") else warning
        text = f"{finding.get('text')} ({finding.get('code')})"
        yield weigh(what, text, str(finding.get("remedy")))


def _by_check(device: DeviceSettings, readiness: Readiness) -> Iterator[Line]:
    what = f"fence {device.name}"
    if readiness.ready:
        text = f"{_where(device)}reads {readiness.power.value}{_seen(readiness.evidence)}"
        yield ok(what, text)
    elif readiness.pending:
        yield unknown(what, readiness.pending, f"haagent fence test {device.name}")
    for finding in readiness.findings:
        yield _told(what, finding)


def _told(what: str, finding: Finding) -> Line:
    trouble = finding.trouble
    weigh = bad if trouble.blocks else warning
    return weigh(what, f"{finding.text} ({trouble.code})", trouble.remedy)


def _where(device: DeviceSettings | None) -> str:
    """Its place, and of a PDU the outlets that must be the machine's."""
    if device is None:
        return ""
    outlets = device.options.get("outlets")
    listed = f" outlets {', '.join(map(str, outlets))}" if isinstance(outlets, tuple) else ""
    place = device.address or device.options.get("disk", "")
    return f"{device.driver} {place}{listed}, level {device.level}: ".replace("  ", " ")


def _seen(evidence: object) -> str:
    return f" ({evidence})" if evidence else ""


def _independent(node: str, devices: Sequence[DeviceSettings]) -> Line:
    """A level whose devices all live without the machine's own power is needed when it has none."""
    what = f"levels of {node}"
    levels: dict[int, list[bool | None]] = {}
    for device in filter(cuts_power, devices):
        levels.setdefault(device.level, []).append(_own_power(device))
    if any(all(power is True for power in powers) for powers in levels.values()):
        return ok(what, f"one works when {node} has lost its power")
    text = f"every level hangs on the power of {node}: with its cords pulled, nothing proves it off"
    if any(None in powers for powers in levels.values()):
        return unknown(what, f"whether one works when {node} has lost its power is not known")
    return warning(what, text, "add a level with every outlet of a PDU that feeds it")


def _own_power(device: DeviceSettings) -> bool | None:
    if device.driver == "pdu":
        return True
    if device.driver in BOARD_DRIVERS:
        return False
    name = str(device.options.get("agent", ""))
    if name.startswith(BOARD_AGENTS):
        return False
    return True if name.startswith(PDU_AGENTS) else None


def _exposed(device: DeviceSettings) -> Iterator[Line]:
    what, port = f"way into {device.name}", device.options.get("port", DRIVERS["ipmi"].default_port)
    assert isinstance(port, int), "its form was checked"
    try:
        found = exposure(device.address, port)
    except OSError as error:
        yield unknown(what, f"cannot be asked: {error.strerror or error}")
        return
    if found.cipher_zero is None and found.null_user is None:
        yield unknown(what, "it does not answer questions without a login")
        return
    if found.cipher_zero:
        text = "cipher suite 0 is on: whoever reaches it needs no password"
        remedy = "ipmitool lan set 1 cipher_privs Xaaaaaaaaaaaaaa (the first letter is suite 0)"
        yield warning(what, text, remedy)
    if found.anonymous:
        text = "it has a user without name and password"
        yield warning(
            what, text, "ipmitool user list 1; disable it, or give it a name and password"
        )
    elif found.null_user:
        text = "it has a user without a name, whose password is all that is asked"
        yield warning(what, text, "ipmitool user list 1; ipmitool user disable N")
    if not (found.cipher_zero or found.null_user or found.anonymous):
        yield ok(what, "asks for a name and a password, and knows no cipher suite 0")
