# SPDX-License-Identifier: GPL-2.0-or-later
"""The actions of `fence_haagent`, with the fence devices of one node or of all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import structlog

from fencing import DeviceSettings, FenceOutcome, Power, core_dump
from fencing.config.hedging import hedge_after_s
from fencing.config.problems import nearest
from fencing.config.tables import TableError, load_fences
from fencing.fence_agent.contract import FAILED, OFF, OK, RefusedError, Request
from fencing.level import FenceReport
from fencing.levels import Fence
from fencing.lock import FenceLock
from fencing.readiness import Readiness
from fencing.verify import Progress

Nodes = Mapping[str, tuple[DeviceSettings, ...]]

REBOOT_ON_LIMIT_S = 35.0
"""A reboot whose *off* is proved waits so long for the power to be back, then it ends well: a
cluster that gave up waiting would take the node for not fenced. It is the default deadline of a
device, in which orders that were given up may still come, and what a device needs to switch on."""
LOCK_FOLDER = Path("/run/haagent")
"""Where haagent locks its peers too; its unit makes it."""


def carry_out(request: Request) -> int:
    """Carry out any action but metadata; returns the exit status.

    Raises:
        RefusedError: It cannot be, with the configuration as it is.
    """
    core_dump.forbid()
    _log_to_stderr(verbose=request.verbose)
    nodes = _selected(request)
    match request.action:
        case "validate-all":
            return _validate(nodes)
        case "list":
            _say(*(f"{node}," for node in nodes))
            return OK
        case "list-status" | "monitor":
            return asyncio.run(_check(nodes, request.action))
        case action:
            if not request.node:
                raise RefusedError(f"{action} needs a plug: the name of a node")
            return asyncio.run(_switch(request, nodes[request.node], _hedge_after_s(request)))


def _hedge_after_s(request: Request) -> float:
    try:
        return hedge_after_s(request.configuration)
    except TableError as error:
        raise RefusedError(*error.lines) from None


def _selected(request: Request) -> Nodes:
    """The devices in question, of one node if one was named."""
    try:
        nodes = load_fences(request.configuration)
    except TableError as error:
        raise RefusedError(*error.lines) from None
    # To validate is about the configuration: Pacemaker 2.1 names a node then that it made up.
    if request.node and request.action != "validate-all":
        if request.node not in nodes:
            near = nearest(request.node, nodes, f"there are: {', '.join(nodes)}")
            raise RefusedError(f"no fence device is configured for node {request.node!r}; {near}")
        nodes = {request.node: nodes[request.node]}
    selected = {node: _limited(request, devices) for node, devices in nodes.items()}
    if empty := [node for node, devices in selected.items() if not devices]:
        raise RefusedError(f"there is no level {request.level} for: {', '.join(empty)}")
    return selected


def _limited(request: Request, devices: Sequence[DeviceSettings]) -> tuple[DeviceSettings, ...]:
    """The devices of the level that was asked for, with no more time than was asked for."""
    limit_s = request.power_timeout_s or float("inf")
    return tuple(
        replace(device, deadline_s=min(device.deadline_s, limit_s))
        for device in devices
        if request.level is None or device.level == request.level
    )


def _validate(nodes: Nodes) -> int:
    """The configuration was read: tell what it asks of the cluster's own time limits."""
    for node, devices in nodes.items():
        limits_s = [
            max(device.deadline_s for device in of_level) for of_level in _by_level(devices)
        ]
        off_s = sum(limits_s)
        reboot_s = off_s + REBOOT_ON_LIMIT_S
        _say(f"{node}: off takes at most {off_s:g} s, reboot at most {reboot_s:g} s")
    return OK


async def _check(nodes: Nodes, action: str) -> int:
    """Check every device of every node, one node after the other: BMCs bear few sessions."""
    status = OK
    for node, devices in nodes.items():
        async with _fence(node, devices) as fence:
            readiness = await _checked(fence)
        if action == "list-status":
            _say(f"{node},,{_power(devices, readiness).upper()}")
            continue
        for one in readiness:
            if not one.ready:
                status = FAILED
                _complain(f"{node}: {one.device}: {one.detail}")
    return status


async def _switch(request: Request, devices: Sequence[DeviceSettings], patience_s: float) -> int:
    async with _fence(request.node, devices, hedge_after_s=patience_s) as fence:
        match request.action:
            case "status":
                return await _status(fence, devices)
            case "on":
                given = await fence.on(_tell)
                if not given.ok:
                    _complain(f"not proved on: {given.detail}")
                    return FAILED
                _say("Success: Powered ON")
                return OK
            case "off":
                report = await _off(request, fence)
                if report.outcome is not FenceOutcome.CONFIRMED_OFF:
                    return FAILED
                _say("Success: Powered OFF")
                return OK
            case action:
                assert action == "reboot", action
                return await _reboot(request, fence)


async def _status(fence: Fence, devices: Sequence[DeviceSettings]) -> int:
    readiness = await _checked(fence)
    power = _power(devices, readiness)
    if power is Power.UNKNOWN:
        for one in readiness:
            _complain(f"{one.device}: {one.detail or f'reads {one.power}'}")
        return FAILED
    _say(f"Status: {power.upper()}")
    return OFF if power is Power.OFF else OK


async def _checked(fence: Fence) -> Sequence[Readiness]:
    """Check every device. Orders are given without: a check would only be in their way."""
    await fence.start()
    return await fence.checked()


async def _reboot(request: Request, fence: Fence) -> int:
    """Off, proved, then on; that the node is fenced does not depend on its coming back."""
    report = await _off(request, fence)
    if report.outcome is not FenceOutcome.CONFIRMED_OFF:
        return FAILED
    try:
        async with asyncio.timeout(REBOOT_ON_LIMIT_S):
            given = await fence.on(_tell)
    except TimeoutError:
        _complain("it was proved off, and is not known to be on again")
    else:
        if not given.ok:
            _complain(f"it was proved off, and is not known to be on again: {given.detail}")
    _say("Success: Rebooted")
    return OK


async def _off(request: Request, fence: Fence) -> FenceReport:
    await asyncio.sleep(request.delay_s)
    report = await fence.off(_tell)
    if report.outcome is not FenceOutcome.CONFIRMED_OFF:
        _complain(f"not proved off ({report.outcome}): {report.detail}")
    return report


@contextlib.asynccontextmanager
async def _fence(
    node: str, devices: Sequence[DeviceSettings], *, hedge_after_s: float = 0.0
) -> AsyncIterator[Fence]:
    """The fence of a node; only *off* needs to be told when a level has had its time."""
    fence = Fence(devices, on_readiness=_unheard, lock=_lock(node), hedge_after_s=hedge_after_s)
    try:
        yield fence
    finally:
        await fence.close()


def _lock(node: str) -> FenceLock | None:
    """The lock that haagent's own daemon and console take, where one of them is installed."""
    if not LOCK_FOLDER.is_dir():
        return None
    return FenceLock(LOCK_FOLDER / f"fence-{node}.lock", "fence_haagent")


def _power(devices: Sequence[DeviceSettings], readiness: Sequence[Readiness]) -> Power:
    """Off if a whole level reads off, on if any device reads on; both, or neither, is unknown.

    A device that could not be counted on for a fence is not believed here either.
    """
    read = {one.device: one.power if one.ready else Power.UNKNOWN for one in readiness}
    off = any(
        all(read[device.name] is Power.OFF for device in of_level)
        for of_level in _by_level(devices)
    )
    on = Power.ON in read.values()
    if on == off:
        return Power.UNKNOWN
    return Power.OFF if off else Power.ON


def _by_level(devices: Sequence[DeviceSettings]) -> list[list[DeviceSettings]]:
    ascending = sorted(devices, key=lambda device: device.level)
    return [list(found) for _, found in groupby(ascending, key=lambda device: device.level)]


def _tell(device: DeviceSettings, progress: Progress) -> None:
    structlog.get_logger().info(
        f"fence.{progress.happened}", device=device.name, level=device.level, said=progress.text
    )


def _unheard(readiness: Readiness) -> None:
    """The fence keeps it."""


def _log_to_stderr(*, verbose: bool) -> None:
    """Steps and warnings of the fence on stderr; stdout is for what the contract wants there."""
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.INFO if verbose else logging.ERROR
        ),
    )


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _complain(text: str) -> None:
    sys.stderr.write(f"ERROR: {text}\n")
