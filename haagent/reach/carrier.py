# SPDX-License-Identifier: GPL-2.0-or-later
"""Carriers of interfaces, as the kernel tells them, held until they are steady."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from haagent.netlink import Interface, Netlink

NESTED_MAX = 8
"""A VLAN on a VLAN on a bond is three; more is a circle that cannot be."""


class CarrierWatch:
    """What keeps each of some interfaces from carrying a frame.

    Args:
        netlink: Opened before and closed after this.
        interfaces: By name; they may come and go.
        hold_s: How long a carrier must be gone, or back, to count.
        changed: Called on the loop whenever `faults` has changed, or a carrier came or went.
    """

    def __init__(
        self,
        netlink: Netlink,
        interfaces: Iterable[str],
        hold_s: float,
        changed: Callable[[], None],
    ) -> None:
        self._netlink = netlink
        self._hold_s = hold_s
        self._changed = changed
        self._held: dict[str, asyncio.TimerHandle] = {}
        self.faults = dict.fromkeys(interfaces, "")
        """What is wrong with each, "" for nothing; at first nothing."""
        self._now = dict.fromkeys(self.faults, False)

    def start(self) -> None:
        """Watch from now on; what is wrong already is told after the hold, as later."""
        self._netlink.watch(self._interface_changed)
        self._look()

    def gone(self, name: str) -> bool:
        """Whether it cannot carry a frame at this moment, steady or not."""
        return self._now[name]

    def close(self) -> None:
        """Watch no longer; never raises."""
        self._netlink.unwatch(self._interface_changed)
        for timer in self._held.values():
            timer.cancel()
        self._held.clear()

    def _interface_changed(self, _before: Interface, _now: Interface) -> None:
        """Any of them may carry one of ours."""
        self._look()

    def _look(self) -> None:
        faults = {name: fault(self._netlink, name) for name in self.faults}
        before, self._now = self._now, {name: bool(now) for name, now in faults.items()}
        if before != self._now:
            self._changed()
        for name, known in self.faults.items():
            now = faults[name]
            if bool(now) is bool(known):
                held = self._held.pop(name, None)
                if held is not None:
                    held.cancel()
                if now != known:
                    self.faults[name] = now  # As bad as before, for another reason.
                    self._changed()
            elif name not in self._held:
                loop = asyncio.get_running_loop()
                self._held[name] = loop.call_later(self._hold_s, self._settle, name)

    def _settle(self, name: str) -> None:
        """It was so for the whole hold: nothing cancelled this."""
        del self._held[name]
        self.faults[name] = fault(self._netlink, name)
        self._changed()


def fault(netlink: Netlink, name: str) -> str:
    """Why nothing can be sent or heard through an interface now; "" if something can.

    A bond or bridge has a carrier while one of its ports has. A VLAN can stay up, with a carrier,
    when its parent is set down ("loose binding"), so both are looked at.
    """
    interface: Interface | None = netlink.interface(name)
    for _ in range(NESTED_MAX):
        if interface is None:
            return ""
        if not interface.index:
            return f"{name}: no such interface"
        if not interface.up:
            return f"{_spelled(interface, name)}: is down"
        if not interface.carrier:
            return f"{_spelled(interface, name)}: no carrier"
        interface = netlink.carrying(interface)
    return ""


def _spelled(interface: Interface, name: str) -> str:
    return name if interface.name == name else f"{name}: {interface.name} below it"
