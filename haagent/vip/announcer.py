# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells the neighbours where the VIPs are: again and again, because one frame is easily lost."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import structlog

from haagent.netlink import Interface, Netlink
from haagent.vip import Vip, VipError
from haagent.vip.frames import FrameShelf

TRAIN_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Offsets of the announcement rounds from the start. Source: design, section 7."""
REFRESH_S = 60.0
"""Between rounds after the train, for as long as the address is held."""
FRAME_GAP_S = 0.001
"""Between two frames on one interface: switches throttle bursts (docs of keepalived,
vrrp_garp_interval; its pull requests 108 and 111)."""
ETHERTYPE_OFFSET = 12

log = structlog.get_logger()


@dataclass(slots=True)
class Announced:
    """Frames on one interface, since the agent started."""

    sent: int = 0
    failed: int = 0


class Announcer:
    """One train of announcements per interface, for the VIPs held on it."""

    def __init__(self, netlink: Netlink, frames: FrameShelf) -> None:
        """Nothing is opened yet; both arguments are opened before and closed after this."""
        self._netlink = netlink
        self._frames = frames
        self._held: set[Vip] = set()
        self._trains: dict[str, asyncio.Task[None]] = {}
        self._pace: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._socket: socket.socket | None = None
        self._errors: dict[str, str] = {}
        self.announced: defaultdict[str, Announced] = defaultdict(Announced)
        """By interface."""

    def open(self) -> None:
        """Open the sending socket ahead of need.

        Raises:
            VipError: not permitted.
        """
        try:
            # Protocol 0: it only sends. It belongs to no interface, so none can take it down.
            self._socket = socket.socket(
                socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0
            )
        except OSError as error:
            raise VipError(f"cannot open a packet socket: {error.strerror}") from error
        self._netlink.watch(self._interface_changed)
        self._frames.on_built(self.again)

    def close(self) -> None:
        """Fall silent; never raises."""
        self._netlink.unwatch(self._interface_changed)
        self._held.clear()
        for train in self._trains.values():
            train.cancel()
        self._trains.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def start(self, vips: Iterable[Vip]) -> int | None:
        """Announce these from now on; returns once each has been announced once.

        Returns:
            Monotonic nanoseconds of the last first announcement; None if some VIP could not be
            announced (no carrier, no frames yet): the train goes on trying.
        """
        vips = frozenset(vips)
        self._held |= vips
        firsts = [self._restart(interface) for interface in sorted({v.interface for v in vips})]
        times = await asyncio.gather(*firsts)
        return None if None in times else max((t for t in times if t is not None), default=None)

    def stop(self, vips: Iterable[Vip]) -> None:
        """Announce these no more: not one frame leaves after this call."""
        self._held -= frozenset(vips)
        for interface in tuple(self._trains):
            if not self._on(interface):
                self._trains.pop(interface).cancel()

    def again(self, interface: str | None = None) -> None:
        """Start the train anew, on one interface or on all."""
        for name in sorted({vip.interface for vip in self._held}):
            if interface in (None, name):
                self._restart(name)

    def _on(self, interface: str) -> list[Vip]:
        held = (vip for vip in self._held if vip.interface == interface)
        return sorted(held, key=lambda vip: (vip.address.version, vip.address))

    def _interface_changed(self, before: Interface, now: Interface) -> None:
        if now.carrier and now.up and not (before.carrier and before.up):
            self.again(now.name)

    def _restart(self, interface: str) -> asyncio.Future[int | None]:
        old = self._trains.pop(interface, None)
        if old is not None:
            old.cancel()
        loop = asyncio.get_running_loop()
        first: asyncio.Future[int | None] = loop.create_future()
        train = loop.create_task(self._train(interface, first))
        # A train that is cancelled before its first step runs no code of its own at all.
        train.add_done_callback(lambda _: _settle(first, None))
        self._trains[interface] = train
        return first

    async def _train(self, interface: str, first: asyncio.Future[int | None]) -> None:
        start_s = time.monotonic()
        for offset_s in _offsets():
            await asyncio.sleep(max(0.0, start_s + offset_s - time.monotonic()))
            await self._round(interface, first)

    async def _round(self, interface: str, first: asyncio.Future[int | None]) -> None:
        """Send the first form of every VIP, then the second of every one that has one."""
        forms = [(vip, self._frames.get(vip)) for vip in self._on(interface)]
        complete = True
        for form in range(2):
            for vip, frames in forms:
                if frames is not None and form < len(frames.announce):
                    complete &= await self._send(vip, frames.announce[form])
                elif frames is None:
                    complete = False
            _settle(first, time.monotonic_ns() if complete else None)

    async def _send(self, vip: Vip, frame: bytes) -> bool:
        async with self._pace[vip.interface]:
            if vip not in self._held or self._socket is None:
                return False
            ethertype = int.from_bytes(frame[ETHERTYPE_OFFSET : ETHERTYPE_OFFSET + 2], "big")
            try:
                self._socket.sendto(frame, (vip.interface, ethertype))
            except OSError as error:
                self.announced[vip.interface].failed += 1
                self._note(vip.interface, error.strerror or str(error))
                return False
            self.announced[vip.interface].sent += 1
            self._note(vip.interface, "")
            await asyncio.sleep(FRAME_GAP_S)
            return True

    def _note(self, interface: str, error: str) -> None:
        """Log what changed, not every frame."""
        if self._errors.get(interface, "") != error:
            self._errors[interface] = error
            log.info("vip.announcing", interface=interface, error=error or None)


def _settle(first: asyncio.Future[int | None], announced_ns: int | None) -> None:
    if not first.done():
        first.set_result(announced_ns)


def _offsets() -> Iterator[float]:
    yield from TRAIN_S
    offset_s = TRAIN_S[-1]
    while True:
        offset_s += REFRESH_S
        yield offset_s
