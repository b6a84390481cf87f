# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds VIPs: added and announced at takeover, put back when taken away, removed for certain."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from haagent.errors import EdgeError
from haagent.netlink import Interface, Netlink
from haagent.vip import Vip, VipError, addresses
from haagent.vip.announcer import Announced, Announcer
from haagent.vip.frames import FrameShelf

PUT_BACK_TRIES = 3
"""As many attempts are made, and as many removals put right within `FIGHT_NS`."""
PUT_BACK_PAUSE_S = 0.1
FIGHT_NS = 10_000_000_000
"""Somebody who removes the address again and again has won: hand over instead of fighting."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ClaimTimes:
    """When a claim had got how far, monotonic nanoseconds."""

    added_ns: int
    """The kernel answers for every address."""
    announced_ns: int | None
    """Every address was announced once; None if some could not be (no carrier), which the
    announcement train makes good."""


@dataclass(slots=True, eq=False)
class _Hold:
    """One VIP that we are to have."""

    ready: bool = False
    """Added; from now on it must not be missing."""
    mending: asyncio.Task[None] | None = None
    put_back_ns: deque[int] = field(default_factory=lambda: deque(maxlen=PUT_BACK_TRIES))
    """When it was put back, the last few times."""

    def is_fought_over(self) -> bool:
        """Whether putting it back once more would be a fight."""
        return (
            len(self.put_back_ns) == PUT_BACK_TRIES
            and time.monotonic_ns() - self.put_back_ns[0] < FIGHT_NS
        )


class VipHolder:
    """The VIPs of this node. The caller has the proof that it may hold them (S2)."""

    def __init__(
        self, netlink: Netlink, frames: FrameShelf, on_lost: Callable[[Vip, str], None]
    ) -> None:
        """Nothing is opened yet.

        Args:
            netlink: Opened before, closed after this.
            frames: Opened before, closed after this; knows every VIP that will be claimed.
            on_lost: Called on the loop with a VIP that could not be put back, and why. It is
                no longer held then: claim it anew or hand the group over.
        """
        self._netlink = netlink
        self._announcer = Announcer(netlink, frames)
        self._on_lost = on_lost
        self._holds: dict[Vip, _Hold] = {}

    def open(self) -> None:
        """Get ready, so that a claim opens and imports nothing.

        Raises:
            VipError: no packet socket.
        """
        self._announcer.open()
        self._netlink.watch(self._interface_changed)

    def close(self) -> None:
        """Stop announcing and watching. Addresses stay as they are: `release` removes them."""
        self._netlink.unwatch(self._interface_changed)
        for vip in tuple(self._holds):
            self._drop(vip)
        self._announcer.close()

    async def claim(self, vips: Sequence[Vip]) -> ClaimTimes:
        """Add these and announce them; addresses that are there already count as added.

        Raises:
            EdgeError: none is held. After a timeout the kernel may still add them: `release`
                is then carried out after that, and only its success says that they are gone.
        """
        holds = {vip: _Hold() for vip in vips}
        for vip, hold in holds.items():
            self._drop(vip)  # Claimed a second time: begin afresh.
            self._holds[vip] = hold
        try:
            await self._netlink.call(partial(addresses.add_all, vips=tuple(vips)))
        except EdgeError:
            self._forget(vip for vip, hold in holds.items() if self._holds.get(vip) is hold)
            raise
        added_ns = time.monotonic_ns()
        if any(self._holds.get(vip) is not hold for vip, hold in holds.items()):
            raise VipError("released while being claimed")
        for hold in holds.values():
            hold.ready = True
        announced_ns = await self._announcer.start(vips)
        return ClaimTimes(added_ns, announced_ns)

    async def release(self, vips: Iterable[Vip]) -> None:
        """Stop announcing these, remove them, and read back that they are gone (S2).

        Raises:
            EdgeError: it is not certain that every one is gone.
        """
        wanted = tuple(vips)
        self._forget(wanted)
        await self._netlink.call(partial(addresses.remove_all, vips=wanted))

    async def present(self, vips: Iterable[Vip]) -> frozenset[Vip]:
        """Which of these are configured on this host now, held by us or not.

        Raises:
            EdgeError: the kernel did not answer.
        """
        return await self._netlink.call(partial(addresses.configured, vips=tuple(vips)))

    def announce(self) -> None:
        """Start the announcement trains anew, as when the peer's frames return."""
        self._announcer.again()

    @property
    def held(self) -> frozenset[Vip]:
        """What is claimed and neither released nor lost."""
        return frozenset(vip for vip, hold in self._holds.items() if hold.ready)

    @property
    def announced(self) -> Mapping[str, Announced]:
        """Frames that told the neighbours, by interface."""
        return self._announcer.announced

    def _forget(self, vips: Iterable[Vip]) -> None:
        forgotten = tuple(vips)
        for vip in forgotten:
            self._drop(vip)
        self._announcer.stop(forgotten)

    def _drop(self, vip: Vip) -> None:
        hold = self._holds.pop(vip, None)
        if hold is not None and hold.mending is not None:
            hold.mending.cancel()

    def _interface_changed(self, _before: Interface, now: Interface) -> None:
        """Compare what is with what must be: no lost or merged notification matters then."""
        for vip, hold in self._holds.items():
            missing = vip.interface == now.name and vip.address not in now.addresses
            if missing and hold.ready and (hold.mending is None or hold.mending.done()):
                seen_ns = time.monotonic_ns()
                hold.mending = asyncio.create_task(self._put_back(vip, hold, seen_ns))

    async def _put_back(self, vip: Vip, hold: _Hold, seen_ns: int) -> None:
        reason = "somebody removes it again and again"
        for attempt in range(PUT_BACK_TRIES):
            await asyncio.sleep(attempt * PUT_BACK_PAUSE_S)
            if hold.is_fought_over():
                break
            try:
                await self._netlink.call(partial(addresses.add, vip=vip))
            except EdgeError as error:
                reason = str(error)
                continue
            hold.put_back_ns.append(time.monotonic_ns())
            if vip.address in self._netlink.interface(vip.interface).addresses:
                took_ms = (time.monotonic_ns() - seen_ns) // 1_000_000
                log.warning("vip.put_back", vip=str(vip.address), took_ms=took_ms)
                # The others on this interface are announced again too, which does no harm.
                self._announcer.again(vip.interface)
                return
        self._lose(vip, reason)

    def _lose(self, vip: Vip, reason: str) -> None:
        log.error("vip.lost", vip=str(vip.address), reason=reason)
        del self._holds[vip]
        self._announcer.stop((vip,))
        self._on_lost(vip, reason)
