# SPDX-License-Identifier: GPL-2.0-or-later
"""Ready-made frames of each VIP, kept true to the hardware address of its interface."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from haagent.netlink import Interface, Netlink
from haagent.vip import Vip, VipError

BUILDER = Path(__file__).with_name("frame_builder.py")
BUILD_BUDGET_S = 60.0
"""Takes 0.6 s on an idle machine, and has been seen to take 15 while a starved one boots: the
builder runs at ordinary priority. systemd waits 90 s for the agent's start."""
REBUILD_S = 5.0
"""Pause after a failure."""
MAC_BYTES = 6
IPV6_SETTINGS = Path("/proc/sys/net/ipv6/conf")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class VipFrames:
    """Whole Ethernet frames of one VIP."""

    mac: bytes
    """The hardware address they speak for."""
    announce: tuple[bytes, ...]
    """ARP request and reply forms, or one neighbour advertisement."""
    probe: bytes
    """Asks who holds the address, without claiming it."""


class FrameShelf:
    """Frames built ahead of time, so that a takeover needs no scapy."""

    def __init__(self, netlink: Netlink, vips: Iterable[Vip]) -> None:
        """Nothing is built yet; `netlink` is opened before and closed after this."""
        self._netlink = netlink
        self._vips = tuple(vips)
        self._frames: dict[Vip, VipFrames] = {}
        self._building: asyncio.Task[None] | None = None
        self._on_built: list[Callable[[str], None]] = []

    async def open(self) -> None:
        """Build for every interface there is, and again whenever a hardware address changes.

        Raises:
            VipError: scapy is missing or broken.
        """
        await self._build()
        self._netlink.watch(self._interface_changed)

    def close(self) -> None:
        """Stop watching; never raises."""
        self._netlink.unwatch(self._interface_changed)
        if self._building is not None:
            self._building.cancel()

    def get(self, vip: Vip) -> VipFrames | None:
        """The frames for the interface's present hardware address; None while there are none."""
        frames = self._frames.get(vip)
        if frames is None or frames.mac != self._netlink.interface(vip.interface).mac:
            return None
        return frames

    def on_built(self, callback: Callable[[str], None]) -> None:
        """Call with the interface's name when frames for a new hardware address are ready."""
        self._on_built.append(callback)

    def _interface_changed(self, _before: Interface, _now: Interface) -> None:
        if self._missing() and (self._building is None or self._building.done()):
            self._building = asyncio.create_task(self._rebuild())

    def _missing(self) -> dict[Vip, bytes]:
        """VIPs without true frames, with the hardware address to build for."""
        macs = {vip: self._netlink.interface(vip.interface).mac for vip in self._vips}
        return {
            vip: mac for vip, mac in macs.items() if len(mac) == MAC_BYTES and self.get(vip) is None
        }

    async def _rebuild(self) -> None:
        while self._missing():
            try:
                await self._build()
            except VipError as error:
                log.warning("vip.frames_failed", error=str(error))
                await asyncio.sleep(REBUILD_S)

    async def _build(self) -> None:
        wanted = self._missing()
        if not wanted:
            return
        wishes = [
            {
                "mac": mac.hex(":"),
                "address": str(vip.address.ip),
                "router": vip.address.version == 6 and _is_router(vip.interface),
            }
            for vip, mac in wanted.items()
        ]
        answers = await asyncio.to_thread(_run_builder, wishes)
        for (vip, mac), answer in zip(wanted.items(), answers, strict=True):
            announce = tuple(bytes.fromhex(frame) for frame in answer["announce"])
            self._frames[vip] = VipFrames(mac, announce, bytes.fromhex(answer["probe"]))
        for interface in sorted({vip.interface for vip in wanted}):
            for callback in self._on_built:
                callback(interface)


def _is_router(interface: str) -> bool:
    """Whether neighbours may use this host as a router; an NA that denies it loses them."""
    try:
        return (IPV6_SETTINGS / interface / "forwarding").read_text().strip() == "1"
    except OSError:
        return False


def _run_builder(wishes: Sequence[Mapping[str, object]]) -> Any:
    """Run the builder; blocks for about 0.6 s."""
    command = [sys.executable, "-I", str(BUILDER)]
    try:
        done = subprocess.run(  # noqa: S603 (our own file, run by our own interpreter)
            command,
            input=json.dumps(wishes),
            capture_output=True,
            text=True,
            timeout=BUILD_BUDGET_S,
            check=True,
            env={},
        )
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().rpartition("\n")[2]
        raise VipError(f"cannot build frames: {last or f'exit {error.returncode}'}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VipError(f"cannot build frames: {error}") from error
    return json.loads(done.stdout)
