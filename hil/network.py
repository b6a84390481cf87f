# SPDX-License-Identifier: GPL-2.0-or-later
"""The switches of the bench, and what can go wrong with a cable."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from hil.namespaces import Namespace, ip, nft

REFERENCE = "192.0.2.1"
"""The router of the LAN: answers ping as long as a node's LAN cable is good."""
VIP = "192.0.2.10"
HEARTBEAT_PORT = 7072


@dataclass(frozen=True, slots=True)
class Port:
    """One cable: from a machine's interface to a switch."""

    wire: str
    """lan, ring or mgmt."""
    interface: str
    mac: str
    addresses: tuple[str, ...] = ()
    """With prefix length; the machine's end gets them."""
    switch: str = ""
    """Where it goes; without it, to the switch that is named like the wire."""


WIRES = {
    "lan": (f"{REFERENCE}/24", "2001:db8::1/64"),
    "ring": (),
    "mgmt": ("203.0.113.11/24", "203.0.113.12/24"),
}
"""Switches and the addresses in them: the router, the two BMCs."""
DIRECT = ("ring",)
"""Wires that are one cable between two machines: no carrier while either end is off."""


class Network:
    """All switches in one namespace, and the cables into the machines."""

    def __init__(self) -> None:
        self.namespace = Namespace()
        self._lock = threading.RLock()  # each BMC boots its machine in a thread of its own
        self._plugged: dict[str, tuple[Port, ...]] = {}
        self._cut: set[tuple[str, str]] = set()
        self._drops: dict[str, str] = {}
        lines = []
        for number, (wire, addresses) in enumerate(WIRES.items()):
            # An address of its own: else a bridge changes it with its ports, and with it the BMCs'.
            # Without a querier, a snooping bridge would in time stop multicast that the lab needs.
            lines.append(
                f"link add {wire} address 02:00:00:00:fe:{number:02x}"
                " type bridge mcast_snooping 0 forward_delay 0"
            )
            lines.append(f"link set {wire} addrgenmode none up")
            lines += [f"addr add {address} dev {wire} nodad" for address in addresses]
        ip(self.namespace.pid, lines)
        nft(
            self.namespace.pid,
            "table bridge faults { chain forward { type filter hook forward priority 0; }; }\n"
            "table inet faults { chain input { type filter hook input priority 0; }; }\n",
        )

    @property
    def plugged(self) -> tuple[str, ...]:
        """Names of all that are connected."""
        return tuple(self._plugged)

    def plug(self, machine: str, pid: int, ports: tuple[Port, ...]) -> None:
        """Connect a machine whose network namespace is that of a process."""
        with self._lock:
            lines = []
            for port in ports:
                ours = f"{machine}-{port.wire}"
                lines.append(
                    f"link add {ours} type veth"
                    f" peer name {port.interface} address {port.mac} netns {pid}"
                )
                lines.append(f"link set {ours} addrgenmode none master {port.wire}")
            ip(self.namespace.pid, lines)
            self._plugged[machine] = ports
            theirs = ["link set lo up"]
            for port in ports:
                theirs.append(f"link set {port.interface} addrgenmode none up")
                theirs += [f"addr add {a} dev {port.interface} nodad" for a in port.addresses]
            ip(pid, theirs)
            self._set_carriers()

    def unplug(self, machine: str) -> None:
        """Take a machine off all switches; its interfaces are gone when this returns."""
        with self._lock:
            ports = self._plugged.pop(machine, ())
            gone = [f"link del {machine}-{port.wire}" for port in ports]
            # The kernel may have been quicker, if the machine's namespace has just ended.
            ip(self.namespace.pid, [*gone, *self._carrier_lines()], force=True)

    def cut(self, machine: str, wire: str) -> None:
        """Pull a cable out: both sides lose the carrier."""
        with self._lock:
            self._cut.add((machine, wire))
            self._set_carriers()

    def heal(self) -> None:
        """Mend all cables and lose nothing any more."""
        with self._lock:
            self._cut.clear()
            self._set_carriers()
            self._drops.clear()
            self._load_drops()

    def lose_from(self, machine: str, wire: str, *, heartbeat_only: bool = False) -> None:
        """Lose silently what a machine sends on a wire (one way: it goes on receiving)."""
        with self._lock:
            what = f" ip protocol udp udp dport {HEARTBEAT_PORT}" if heartbeat_only else ""
            self._drops[f"{machine} {wire}"] = (
                f'add rule bridge faults forward iifname "{machine}-{wire}"{what} drop'
            )
            self._load_drops()

    def lose_tcp(self, machine: str, wire: str, port: int) -> None:
        """Lose silently what a machine sends on a wire to or from a TCP port; the rest passes."""
        with self._lock:
            packets = f"tcp dport {port}", f"tcp sport {port}"
            self._drops[f"{machine} {wire} {port}"] = "\n".join(
                f'add rule bridge faults forward iifname "{machine}-{wire}" {packet} drop'
                for packet in packets
            )
            self._load_drops()

    def part(self, one: str, other: str) -> None:
        """Lose silently all that two addresses send each other through the switches."""
        with self._lock:
            self._drops[f"{one} {other}"] = "\n".join(
                f"add rule bridge faults forward ip saddr {source} ip daddr {target} drop"
                for source, target in ((one, other), (other, one))
            )
            self._load_drops()

    def part_tcp(self, machine: str, wire: str, port: int) -> None:
        """Lose silently what a machine sends or gets on a wire to or from a TCP port."""
        with self._lock:
            cable = f"{machine}-{wire}"
            self._drops[f"{cable} both {port}"] = "\n".join(
                f'add rule bridge faults forward {way} "{cable}" tcp {end} {port} drop'
                for way in ("iifname", "oifname")
                for end in ("dport", "sport")
            )
            self._load_drops()

    def mend_tcp(self, machine: str, wire: str, port: int) -> None:
        """Take such a parting back."""
        with self._lock:
            del self._drops[f"{machine}-{wire} both {port}"]
            self._load_drops()

    def lose_to(self, address: str, source: str = "") -> None:
        """Lose silently what is sent to an address in the switches themselves, e.g. a BMC's.

        Args:
            address: Whose.
            source: Only what comes from this address; "" for everybody's.
        """
        with self._lock:
            whose = f"ip saddr {source} " if source else ""
            rule = f"add rule inet faults input {whose}ip daddr {address} drop"
            self._drops[f"{source} {address}"] = rule
            self._load_drops()

    def close(self) -> None:
        """Take it all down."""
        self.namespace.close()

    def _load_drops(self) -> None:
        flush = ["flush chain bridge faults forward", "flush chain inet faults input"]
        nft(self.namespace.pid, "\n".join([*flush, *self._drops.values()]) + "\n")

    def _set_carriers(self) -> None:
        ip(self.namespace.pid, self._carrier_lines())

    def _carrier_lines(self) -> list[str]:
        lines = []
        for machine, ports in self._plugged.items():
            for port in ports:
                state = "up" if self._has_carrier(machine, port.wire) else "down"
                lines.append(f"link set {machine}-{port.wire} {state}")
        return lines

    def _has_carrier(self, machine: str, wire: str) -> bool:
        if wire not in DIRECT:
            return (machine, wire) not in self._cut
        ends = [m for m, ports in self._plugged.items() if any(p.wire == wire for p in ports)]
        return len(ends) > 1 and not any((m, wire) in self._cut for m in ends)
