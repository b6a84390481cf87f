# SPDX-License-Identifier: GPL-2.0-or-later
"""The cables of the two servers, and what can go wrong with one."""

from __future__ import annotations

import threading

from hil.labs import Machine
from hil.namespaces import Namespace, ip, nft
from hil.network import DIRECT, HEARTBEAT_PORT, Network, Port
from hil.qemu.guest import Guest
from hil.qemu.hardware import tap_name

_TABLE = """\
table bridge cables {
  chain from { type filter hook prerouting priority -300; }
  chain to { type filter hook postrouting priority 300; }
}
"""


class Wiring:
    """The switches of the bench with taps for the servers, all in one network namespace."""

    def __init__(self) -> None:
        self.network = Network()
        self.pid = self.network.namespace.pid
        """A process in the namespace of the switches, where QEMU runs."""
        self._lock = threading.RLock()  # servers lose their power in threads of their own
        self._guests: list[Guest] = []
        self._cut: set[tuple[str, str]] = set()
        self._drops: list[str] = []
        self._attached: list[Namespace] = []
        nft(self.pid, _TABLE)

    def lay(self, server: str, ports: tuple[Port, ...]) -> None:
        """Lay the cables of a server; they are there whether it has power or not."""
        lines = []
        for port in ports:
            tap = tap_name(server, port)
            lines.append(f"tuntap add dev {tap} mode tap")
            switch = port.switch or port.wire
            lines.append(f"link set {tap} addrgenmode none master {switch} up")
        ip(self.pid, lines)

    def connect(self, guest: Guest) -> None:
        """Look after the carriers of a server from now on."""
        with self._lock:
            self._guests.append(guest)
            guest.on_power = self._set_carriers

    def attach(self, name: str, cables: tuple[Port, ...]) -> int:
        """Add somebody else to the networks; return a process in its namespace."""
        namespace = Namespace()
        self._attached.append(namespace)
        self.network.plug(name, namespace.pid, cables)
        return namespace.pid

    def cut(self, guest: Machine, wire: str) -> None:
        """Pull a cable out: the server loses its carrier, at both ends of a direct cable."""
        with self._lock:
            self._cut.add((guest.name, wire))
            self._set_carriers()

    def plug(self, guest: Machine, wire: str) -> None:
        """Plug a cable in again."""
        with self._lock:
            self._cut.discard((guest.name, wire))
            self._set_carriers()

    def lose_from(self, guest: Guest, wire: str, *, heartbeat_only: bool = False) -> None:
        """Lose silently what a server sends on a wire; it goes on receiving."""
        what = f" ip protocol udp udp dport {HEARTBEAT_PORT}" if heartbeat_only else ""
        self._drop(f'add rule bridge cables from iifname "{guest.name}-{wire}"{what} drop')

    def lose_to(self, guest: Guest, wire: str) -> None:
        """Lose silently what is sent to a server on a wire."""
        self._drop(f'add rule bridge cables to oifname "{guest.name}-{wire}" drop')

    def heal(self) -> None:
        """Mend all cables and lose nothing any more."""
        with self._lock:
            self._cut.clear()
            self._set_carriers()
            self._drops.clear()
            self._load_drops()

    def close(self) -> None:
        """Take it all down."""
        for namespace in self._attached:
            namespace.close()
        self.network.close()

    def _drop(self, rule: str) -> None:
        with self._lock:
            self._drops.append(rule)
            self._load_drops()

    def _load_drops(self) -> None:
        flush = ["flush chain bridge cables from", "flush chain bridge cables to"]
        nft(self.pid, "\n".join([*flush, *self._drops]) + "\n")

    def _set_carriers(self) -> None:
        with self._lock:
            for guest in self._guests:
                for port in guest.server.ports:
                    guest.set_carrier(port.wire, up=self._has_carrier(guest, port.wire))

    def _has_carrier(self, guest: Guest, wire: str) -> bool:
        if wire not in DIRECT:
            return (guest.name, wire) not in self._cut
        return all(g.is_on and (g.name, wire) not in self._cut for g in self._guests)
