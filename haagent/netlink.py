# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says of interfaces and addresses, and the one thread that changes them.

Two ways lead to the kernel, because they fail differently:

- *Listening*: one non-blocking netlink socket on the loop. It keeps `Netlink.interface()` true
  and tells the watchers of every difference. When the kernel drops a message (ENOBUFS), the
  whole table is read anew, so no loss stays unnoticed.
- *Changing and dumping*: a single worker thread. A netlink request is carried out inside the
  `send` call, under the kernel's RTNL lock; a network driver that resets its card holds this
  lock for seconds. On the loop, that would stop the heartbeat and shoot a healthy node. For the
  same reason pyroute2's asyncio classes are not used: they send from the loop.
  There is one worker, so requests are carried out in the order they were made: a removal that
  follows an addition which timed out still comes after it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any, TypeVar

import structlog
from pyroute2 import IPRoute
from pyroute2.netlink import rtnl
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from haagent.errors import EdgeError

KERNEL_BUDGET_S = 5.0
"""How long a request may take; ours take about 1 ms (tests/unit/vip/test_holder.py measures it)."""
RESYNC_RETRY_S = 1.0
READS_MAX = 256
"""Datagrams taken per wake-up, so that a storm of events cannot hold the loop."""
DATAGRAM_BYTES = 65536
RECEIVE_BUFFER_BYTES = 1 << 20
SO_RCVBUFFORCE = 33
"""Source: Linux, include/uapi/asm-generic/socket.h."""

IFF_UP = 0x1
IFF_LOWER_UP = 0x10000
"""The driver reports a carrier. Source: Linux, include/uapi/linux/if.h."""
CARRIED = frozenset({"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"})
"""Kinds whose IFLA_LINK names what carries them; of others (veth) it is something else."""
UNUSABLE = 0x40 | 0x08
"""IFA_F_TENTATIVE, IFA_F_DADFAILED. Source: Linux, include/uapi/linux/if_addr.h."""

Address = IPv4Interface | IPv6Interface
T = TypeVar("T")

log = structlog.get_logger()


class KernelError(EdgeError):
    """The kernel refused a request or did not carry it out in time."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface at one moment; without index, it does not exist."""

    name: str
    index: int = 0
    up: bool = False
    """Administratively up (IFF_UP)."""
    carrier: bool = False
    mac: bytes = b""
    addresses: frozenset[Address] = frozenset()
    """Usable ones: an address still under (or failed in) duplicate detection is not listed."""
    parent: int = 0
    """Index of the interface that carries this one (a VLAN, for instance); 0 for none."""


Watcher = Callable[[Interface, Interface], None]
"""Called on the loop with an interface before and after a change; both have the same name."""


class Netlink:
    """The kernel's network configuration, watched and changed."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="netlink")
        self._route: IPRoute | None = None
        """Belongs to the worker thread."""
        self._watchers: list[Watcher] = []
        self._by_index: dict[int, Interface] = {}
        self._marshal = MarshalRtnl()
        self._socket: socket.socket | None = None
        self._listening = False
        self._resyncing: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Listen, then read everything there is.

        Raises:
            KernelError: no netlink socket, or no answer to the first reading.
        """
        try:
            self._socket = _listening_socket()
            await self._read_all()
        except OSError as error:
            self.close()
            raise KernelError(f"netlink: {error}") from error
        except KernelError:
            self.close()
            raise

    def close(self) -> None:
        """Stop listening and let the worker end; never raises and never waits."""
        if self._closed:
            return
        self._closed = True
        self._listen(on=False)
        if self._resyncing is not None:
            self._resyncing.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._worker.submit(self._drop_route)
        self._worker.shutdown(wait=False)

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher(before, now)` on every change of any interface, from now on."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Undo `watch`; unknown watchers are ignored."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def interface(self, name: str) -> Interface:
        """The interface of this name as last heard; with index 0 if there is none."""
        for interface in self._by_index.values():
            if interface.name == name:
                return interface
        return Interface(name)

    def carrying(self, carried: Interface) -> Interface | None:
        """What carries an interface; None if nothing does, or it is in another namespace."""
        return self._by_index.get(carried.parent)

    def macs(self) -> frozenset[bytes]:
        """Hardware addresses of all our interfaces."""
        return frozenset(interface.mac for interface in self._by_index.values())

    async def call(self, work: Callable[[IPRoute], T], budget_s: float = KERNEL_BUDGET_S) -> T:
        """Run `work` in the worker; when it is done, `interface()` already shows its effect.

        Args:
            work: Gets the worker's own IPRoute. May block; raises EdgeError or OSError.
            budget_s: How long to wait for it, seconds. Work that has begun goes on after that:
                its outcome is unknown, but whatever is called next is carried out after it.

        Raises:
            EdgeError: what `work` raised, or KernelError after `budget_s`.
        """
        running = asyncio.get_running_loop().run_in_executor(self._worker, self._run, work)
        try:
            return await asyncio.wait_for(running, budget_s)
        except TimeoutError as error:
            raise KernelError(f"the kernel did not answer in {budget_s} s") from error
        except NetlinkError as error:
            raise KernelError(f"the kernel refused: {error.args[-1]}") from error
        except OSError as error:
            raise KernelError(f"the kernel refused: {error.strerror or error}") from error
        finally:
            self._read_now()

    def _run(self, work: Callable[[IPRoute], T]) -> T:
        if self._route is None:
            self._route = IPRoute()
        try:
            return work(self._route)
        except OSError:
            # The request socket itself may be what failed; the next request gets a new one.
            self._drop_route()
            raise

    def _drop_route(self) -> None:
        route, self._route = self._route, None
        if route is not None:
            route.close()

    def _listen(self, *, on: bool) -> None:
        if self._socket is None or on is self._listening:
            return
        self._listening = on
        loop = asyncio.get_running_loop()
        if on:
            loop.add_reader(self._socket, self._read_now)
        else:
            loop.remove_reader(self._socket)

    def _read_now(self) -> None:
        """Take in the notifications queued so far."""
        if not self._listening or self._socket is None:
            return
        for _ in range(READS_MAX):
            try:
                data, (port, _groups) = self._socket.recvfrom(DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                # ENOBUFS: the kernel had to drop notifications, so the table may be wrong.
                log.warning("netlink.overrun", error=error.strerror)
                self._listen(on=False)
                self._resyncing = asyncio.create_task(self._resync())
                return
            if port == 0:  # Only the kernel is believed.
                for message in self._marshal.parse(data):
                    self._apply(message)

    async def _resync(self) -> None:
        while True:
            try:
                await self._read_all()
            except KernelError as error:
                log.warning("netlink.resync_failed", error=str(error))
                await asyncio.sleep(RESYNC_RETRY_S)
            else:
                return

    async def _read_all(self) -> None:
        """Read the whole table; notifications queued meanwhile are newer and applied after."""
        links, addresses = await self.call(_dump)
        fresh = _table(links, addresses)
        for index in self._by_index.keys() - fresh.keys():
            self._store(index, None)
        for index, interface in fresh.items():
            self._store(index, interface)
        self._listen(on=True)

    def _apply(self, message: Any) -> None:
        kind, index = message["header"]["type"], message.get("index")
        known = self._by_index.get(index)
        if kind in (rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK) and message["family"] == socket.AF_UNSPEC:
            # Bridges send link messages of their own family about their ports: not ours.
            addresses = known.addresses if known else frozenset()
            gone = kind == rtnl.RTM_DELLINK
            self._store(index, None if gone else _interface(message, addresses))
        elif kind in (rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR) and known is not None:
            usable = kind == rtnl.RTM_NEWADDR and not message["flags"] & UNUSABLE
            address = frozenset({_address(message)})
            held = known.addresses | address if usable else known.addresses - address
            self._store(index, replace(known, addresses=held))

    def _store(self, index: int, now: Interface | None) -> None:
        before = self._by_index.pop(index, None)
        if now is not None:
            self._by_index[index] = now
        if before is not None and (now is None or now.name != before.name):
            self._tell(before, self.interface(before.name))
            before = None
        if now is not None:
            self._tell(before or Interface(now.name), now)

    def _tell(self, before: Interface, now: Interface) -> None:
        if before != now:
            for watcher in tuple(self._watchers):
                watcher(before, now)


def _listening_socket() -> socket.socket:
    groups = rtnl.RTMGRP_LINK | rtnl.RTMGRP_IPV4_IFADDR | rtnl.RTMGRP_IPV6_IFADDR
    opened = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        opened.bind((0, groups))
    except OSError:
        opened.close()
        raise
    return opened


def _dump(route: IPRoute) -> tuple[list[Any], list[Any]]:
    return list(route.get_links()), list(route.get_addr())


def _table(links: Iterable[Any], addresses: Iterable[Any]) -> dict[int, Interface]:
    table = {message["index"]: _interface(message, frozenset()) for message in links}
    for message in addresses:
        known = table.get(message["index"])
        if known is not None and not message["flags"] & UNUSABLE:
            held = known.addresses | {_address(message)}
            table[known.index] = replace(known, addresses=held)
    return table


def _interface(message: Any, addresses: frozenset[Address]) -> Interface:
    mac = message.get_attr("IFLA_ADDRESS") or ""
    return Interface(
        name=message.get_attr("IFLA_IFNAME"),
        index=message["index"],
        up=bool(message["flags"] & IFF_UP),
        carrier=bool(message["flags"] & IFF_LOWER_UP),
        mac=bytes.fromhex(mac.replace(":", "")),
        addresses=addresses,
        parent=_parent(message),
    )


def _parent(message: Any) -> int:
    # With IFLA_LINK_NETNSID the index is one of another namespace.
    kind = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    if kind not in CARRIED or message.get_attr("IFLA_LINK_NETNSID") is not None:
        return 0
    return int(message.get_attr("IFLA_LINK") or 0)


def _address(message: Any) -> Address:
    # IPv4 puts the peer of a point-to-point link into IFA_ADDRESS and our side into IFA_LOCAL.
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    return ip_interface(f"{text}/{message['prefixlen']}")
