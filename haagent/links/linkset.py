# SPDX-License-Identifier: GPL-2.0-or-later
"""All heartbeat paths: opened, healed one by one, sent to and drained together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from haagent.errors import EdgeError
from haagent.links import Link
from haagent.links.path import Counters, Path, open_socket
from haagent.netlink import Interface, Netlink

DRAIN_FRAMES_MAX = 4096
"""Frames taken by one `drain`: a peer at 10 Hz needs seven minutes to queue as many."""
BURST_FRAMES_MAX = 64
"""Frames taken from one link before the next has its turn."""
REOPEN_S = 1.0
"""When a socket could not be opened and no netlink event came first."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LinkState:
    """How one path stands, seen from this node alone."""

    name: str
    up: bool
    """Frames can leave here. Whether the peer hears them is for its own frames to say."""
    reason: str
    """Why it is not up; empty if it is."""


class LinkSet:
    """The heartbeat transport: unreliable datagrams over several independent links."""

    def __init__(
        self,
        links: Sequence[Link],
        on_datagram: Callable[[int, bytes, int], None],
        netlink: Netlink,
    ) -> None:
        """Nothing is opened yet.

        Args:
            links: The index in this sequence names the link everywhere.
            on_datagram: Gets the link's index, the datagram (at most 1,200 bytes) and when the
                kernel received it, monotonic nanoseconds, never falling on one link.
            netlink: Opened before, closed after this.
        """
        self._paths = tuple(Path(link) for link in links)
        self._netlink = netlink
        self._takers = tuple(partial(on_datagram, number) for number in range(len(links)))
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._states = [LinkState(link.name, up=False, reason="not opened") for link in links]
        self._silent: frozenset[int] = frozenset()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to open every link; those that cannot be opened now heal later."""
        self._loop = loop
        self._netlink.watch(self._interface_changed)
        for number in range(len(self._paths)):
            self._mend(number)

    def close(self) -> None:
        """Close every socket and forget every retry; never raises."""
        self._netlink.unwatch(self._interface_changed)
        for timer in self._timers.values():
            timer.cancel()
        for number in range(len(self._paths)):
            self._detach(number)
        self._loop = None

    def send(self, index: int, data: bytes) -> bool:
        """Send on one link; never raises, never blocks. False: counted, the frame is lost."""
        if index in self._silent:
            return False
        path = self._paths[index]
        error = path.error
        sent = path.send(data)
        if path.broken:
            self._mend(index)
        elif path.error != error:
            self._note(index)
        return sent

    def silence(self, links: frozenset[int]) -> None:
        """For a drill: neither send nor hear anything on these links, and on no other.

        It lives in this process alone: whatever becomes of it, nothing is left to be undone.
        """
        changed, self._silent = self._silent ^ links, links
        for number in changed:
            self._note(number)

    def drain(self) -> int:
        """Hand over what is queued on all sockets now, so that the clock may be looked at after.

        Returns:
            How many datagrams were taken; `DRAIN_FRAMES_MAX` means that there may be more.
        """
        left = DRAIN_FRAMES_MAX
        busy = list(range(len(self._paths)))
        while busy and left > 0:
            for number in tuple(busy):
                asked = min(BURST_FRAMES_MAX, left)
                taken = self._receive(number, asked)
                left -= taken
                if taken < asked:
                    busy.remove(number)
        return DRAIN_FRAMES_MAX - left

    def states(self) -> tuple[LinkState, ...]:
        """How each link stands now."""
        return tuple(self._states)

    def counters(self) -> tuple[Counters, ...]:
        """What was counted on each link; live objects, to be read only."""
        return tuple(path.counters for path in self._paths)

    def _receive(self, number: int, frames_max: int = BURST_FRAMES_MAX) -> int:
        path = self._paths[number]
        taker = _ignore if number in self._silent else self._takers[number]
        taken = path.receive(frames_max, taker)
        if path.broken:
            self._mend(number)
        return taken

    def _interface_changed(self, _before: Interface, now: Interface) -> None:
        for number, path in enumerate(self._paths):
            if path.link.interface == now.name:
                path.error = None  # It was about the interface as it stood.
                self._mend(number)

    def _mend(self, number: int) -> None:
        """Bring one link's socket to where its interface allows it to be."""
        if self._loop is None:
            return
        path = self._paths[number]
        interface = self._netlink.interface(path.link.interface)
        obstacle = _obstacle(path.link, interface)
        if path.socket and path.broken:
            self._detach(number)
            self._retry_later(number)
            self._note(number)
            return
        if path.socket and (obstacle or path.index != interface.index):
            self._detach(number)
        if obstacle is None and path.socket is None and number not in self._opening:
            self._opening[number] = self._loop.create_task(self._reopen(number, interface.index))
        self._note(number)

    async def _reopen(self, number: int, index: int) -> None:
        path = self._paths[number]
        try:
            opened = await self._netlink.call(lambda _: open_socket(path.link, index))
        except EdgeError as error:
            path.error = str(error)
            self._retry_later(number)
            self._note(number)
            return
        finally:
            del self._opening[number]
        if self._loop is None:  # Closed while the worker was at it.
            opened.close()
            return
        path.attach(opened, index)
        self._loop.add_reader(opened, self._receive, number)
        self._mend(number)

    def _retry_later(self, number: int) -> None:
        """Try again in `REOPEN_S`, unless a netlink event comes first."""
        if number in self._timers:
            self._timers[number].cancel()
        if self._loop is not None:
            self._timers[number] = self._loop.call_later(REOPEN_S, self._mend, number)

    def _detach(self, number: int) -> None:
        path = self._paths[number]
        if path.socket is not None and self._loop is not None:
            self._loop.remove_reader(path.socket)
        path.detach()

    def _note(self, number: int) -> None:
        """Recompute one link's state; say so in the log if it changed."""
        path = self._paths[number]
        interface = self._netlink.interface(path.link.interface)
        reason = _obstacle(path.link, interface) or _outage(interface) or path.error or ""
        if not reason and path.socket is None:
            reason = "not opened"
        if number in self._silent:
            reason = "silenced by a drill"
        state = LinkState(path.link.name, up=not reason, reason=reason)
        if state != self._states[number]:
            self._states[number] = state
            log.info("link.changed", link=state.name, up=state.up, reason=state.reason)


def _ignore(_data: bytes, _heard_ns: int) -> None:
    """What arrives on a silent link."""


def _obstacle(link: Link, interface: Interface) -> str | None:
    """Why no socket can be opened, None if one can."""
    if interface.index == 0:
        return f"no interface {link.interface}"
    if all(link.address != address.ip for address in interface.addresses):
        return f"no address {link.address} on {link.interface}"
    return None


def _outage(interface: Interface) -> str | None:
    """Why nothing leaves the interface although the socket lives, None if it does."""
    if not interface.up:
        return f"{interface.name} is down"
    if not interface.carrier:
        return f"{interface.name} has no carrier"
    return None
