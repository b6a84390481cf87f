# SPDX-License-Identifier: GPL-2.0-or-later
"""A small network of namespaces: two nodes and an observer on a switch, and a direct cable.

    a.eth0 ──┐             a.eth1 ═══ b.eth1
    b.eth0 ──┼── switch
    o.eth0 ──┘

Code under test runs on a thread that has entered a node's namespace, with its own event loop.
Sockets stay in the namespace they were made in, so the observer's can be read from that loop.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
"""Source: Linux, include/uapi/linux/sched.h."""
DEADLINE_S = 10.0
"""For anything that must happen; generous, so that only a fault reaches it."""
ETH_P_ALL = 3
FRAME_BYTES_MAX = 2048

_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Node:
    """One namespace."""

    netns: str

    def ip(self, command: str) -> str:
        """Run `ip` inside."""
        return run("ip", "-n", self.netns, *command.split())

    def sysctl(self, setting: str) -> None:
        """Set one sysctl inside."""
        run("ip", "netns", "exec", self.netns, "sysctl", "-qw", setting)

    def addresses(self, interface: str) -> dict[IPv4Interface | IPv6Interface, dict[str, Any]]:
        """What `ip -j addr` shows; empty if there is no such interface."""
        shown = json.loads(self.ip("-j addr"))
        return {
            ip_interface(f"{entry['local']}/{entry['prefixlen']}"): entry
            for link in shown
            if link.get("ifname") == interface
            for entry in link["addr_info"]
        }

    def mac(self, interface: str) -> bytes:
        """The hardware address that `ip` shows."""
        shown = json.loads(self.ip(f"-j link show dev {interface}"))
        return bytes.fromhex(shown[0]["address"].replace(":", ""))

    def inside(self, work: Callable[[], T]) -> T:
        """Run `work` on a thread of its own in this namespace; its exceptions come back."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                _enter(self.netns)
                results.append(work())
            except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine in this namespace."""
        return self.inside(lambda: asyncio.run(main()))

    def open_socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A non-blocking socket of this namespace; the caller closes it."""
        return self.inside(
            lambda: (
                socket.socket(family, kind | socket.SOCK_NONBLOCK, socket.htons(protocol))
                if family == socket.AF_PACKET
                else socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
            )
        )

    @contextmanager
    def sniffer(self, interface: str) -> Iterator[socket.socket]:
        """A socket that hears every frame of one interface."""
        with self.open_socket(socket.AF_PACKET, socket.SOCK_RAW, ETH_P_ALL) as heard:
            heard.bind((interface, ETH_P_ALL))
            yield heard


@dataclass(frozen=True, slots=True)
class Lan:
    """The whole bench."""

    a: Node
    b: Node
    observer: Node
    switch: Node


def run(*command: str, stdin: str | None = None) -> str:
    """Run a command; its error text becomes part of the failure."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def _enter(netns: str) -> None:
    """Move the calling thread; threads and children it starts follow."""
    handle = os.open(f"/run/netns/{netns}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(handle, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(handle)


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait until something holds; fail with `what` after the deadline."""
    end_s = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end_s, f"did not happen: {what}"
        await asyncio.sleep(0.005)


async def in_time(work: Awaitable[T]) -> T:
    """Wait for something that must end before the deadline."""
    return await asyncio.wait_for(work, DEADLINE_S)


async def heard(sniffer: socket.socket, wanted: Callable[[bytes], bool]) -> bytes:
    """The next frame that is wanted."""
    loop = asyncio.get_running_loop()

    async def search() -> bytes:
        while True:
            frame = await loop.sock_recv(sniffer, FRAME_BYTES_MAX)
            if wanted(frame):
                return frame

    return await in_time(search())


def forget_queued(sniffer: socket.socket) -> None:
    """Throw away what was heard so far."""
    while True:
        try:
            sniffer.recv(FRAME_BYTES_MAX)
        except BlockingIOError:
            return


@pytest.fixture
def lan() -> Iterator[Lan]:
    """Fresh namespaces, always removed."""
    prefix = f"haat{os.getpid()}x{next(_numbers)}"
    names = [f"{prefix}{letter}" for letter in "abos"]
    a, b, observer, switch = (Node(name) for name in names)
    try:
        run("ip", "-batch", "-", stdin="".join(f"netns add {name}\n" for name in names))
        switch.ip("link add br0 type bridge")
        switch.ip("link set br0 up")
        for node, number in ((a, 11), (b, 12), (observer, 99)):
            for setting in ("accept_dad", "router_solicitations"):
                node.sysctl(f"net.ipv6.conf.default.{setting}=0")
            plug(switch, node, number)
        cable(a, b)
        yield Lan(a, b, observer, switch)
    finally:
        made = {path.name for path in Path("/run/netns").glob(f"{prefix}*")}
        run("ip", "-batch", "-", stdin="".join(f"netns del {name}\n" for name in sorted(made)))


def plug(switch: Node, node: Node, number: int) -> None:
    """Give a node its eth0 on the switch, as at first or after it was deleted."""
    port = f"p{number}"
    batch(
        switch,
        f"link add {port} type veth peer name eth0 netns {node.netns}",
        f"link set {port} master br0 up",
    )
    batch(
        node,
        "link set lo up",
        "link set eth0 up",
        f"addr add 192.0.2.{number}/24 dev eth0",
        f"addr add 2001:db8::{number}/64 dev eth0 nodad",
    )


def cable(a: Node, b: Node) -> None:
    """Connect both nodes' eth1 directly."""
    batch(a, f"link add eth1 type veth peer name eth1 netns {b.netns}")
    for node, number in ((a, 11), (b, 12)):
        batch(
            node,
            "link set eth1 up",
            f"addr add 198.51.100.{number}/24 dev eth1",
            f"addr add 2001:db8:1::{number}/64 dev eth1 nodad",
        )


def batch(node: Node, *commands: str) -> None:
    """Several `ip` commands in one process."""
    run("ip", "-n", node.netns, "-batch", "-", stdin="\n".join(commands) + "\n")
