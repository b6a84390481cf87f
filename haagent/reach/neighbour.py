# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks references for their hardware address: ARP (RFC 826), neighbour solicitation (RFC 4861).

The questions claim no address: ARP probes come from 0.0.0.0 (RFC 5227, 2.1.1), and the kernel
sends a solicitation from the interface's link-local address. Nobody's cache learns a virtual
address from them.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv6Address

from haagent.errors import EdgeError
from haagent.netlink import Netlink
from haagent.packet_filter import attach
from haagent.reach import Reference
from haagent.reach.echo import Heard
from haagent.reach.icmp import ICMP6_FILTER, QUEUED_MAX
from haagent.vip.prober import ARP, ARP_IPV4, ETH_P_ARP, FRAME_BYTES_MAX, MAC_BYTES, arp_sender

ARP_REQUEST = 1
ONLY_ARP_REPLIES = (
    (0x28, 0, 0, 14 + 6),  # load the operation, behind the Ethernet header
    (0x15, 0, 1, 2),  # a reply, or drop
    (0x06, 0, 0, FRAME_BYTES_MAX),
    (0x06, 0, 0, 0),
)
BROADCAST = b"\xff" * MAC_BYTES

SOLICITATION, ADVERTISEMENT = 135, 136
NEIGHBOUR = struct.Struct("!BBHI16s")
"""Type, code, checksum, flags, target. Source: RFC 4861, sections 4.3 and 4.4."""
OWN_MAC_OPTION = b"\x01\x01"
"""Source link-layer address, 8 bytes long. Source: RFC 4861, section 4.6.1."""
SOLICITED_NODE = int(IPv6Address("ff02::1:ff00:0"))
"""With the target's last 24 bits. Source: RFC 4291, section 2.7.1."""
HOPS = 255
"""Proof that a neighbour sent it: no router passes it on with this. Source: RFC 4861, 7.1."""


class NeighbourAsker:
    """One socket for ARP and one for ICMPv6, each only if some reference needs it."""

    def __init__(self, references: Iterable[Reference], netlink: Netlink, heard: Heard) -> None:
        self._references = {reference.address: reference for reference in references}
        self._netlink = netlink
        self._heard = heard
        self._number = 0
        self._sockets: dict[int, socket.socket] = {}

    def open(self) -> None:
        """Listen.

        Raises:
            EdgeError: not permitted to open raw sockets.
        """
        openers = {4: _open_arp, 6: _open_icmp6}
        try:
            for version in {address.version for address in self._references}:
                self._sockets[version] = receiver = openers[version]()
                asyncio.get_running_loop().add_reader(receiver, self._read, version)
        except OSError as error:
            self.close()
            raise EdgeError(f"cannot ask neighbours: {error.strerror}") from error

    def close(self) -> None:
        """Close the sockets; never raises."""
        for receiver in self._sockets.values():
            asyncio.get_running_loop().remove_reader(receiver)
            receiver.close()
        self._sockets.clear()

    def ask(self, number: int) -> None:
        """Ask everybody once; answers come back with the number of the last question."""
        self._number = number
        for reference in self._references.values():
            interface = self._netlink.interface(reference.neighbour_on)
            if len(interface.mac) != MAC_BYTES:
                continue  # No such interface, or none that has neighbours.
            sender = self._sockets[reference.address.version]
            try:
                if isinstance(reference.address, IPv6Address):
                    packet = solicitation(reference.address, interface.mac)
                    group = str(IPv6Address(SOLICITED_NODE | int(reference.address) & 0xFFFFFF))
                    sender.sendto(packet, (group, 0, 0, interface.index))
                else:
                    frame = arp_probe(reference.address.packed, interface.mac)
                    sender.sendto(frame, (interface.name, ETH_P_ARP))
            except OSError:
                continue  # The interface is down: nobody can answer this time.

    def drain(self) -> None:
        """Take in the answers that wait in the sockets."""
        for version in self._sockets:
            self._read(version)

    def _read(self, version: int) -> None:
        for _ in range(QUEUED_MAX):
            try:
                packet, sender = self._sockets[version].recvfrom(FRAME_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                continue  # ENETDOWN is told once per interface going down; the socket lives on.
            self._hear(version, packet, sender)

    def _hear(self, version: int, packet: bytes, sender: tuple[str | int, ...]) -> None:
        if version == 4:  # A packet socket tells the interface's name first.
            said = arp_sender(packet)
            reference = None if said is None else self._references.get(said[0])
            if reference is not None and reference.neighbour_on == sender[0]:
                self._heard(reference, self._number)
        elif len(packet) >= NEIGHBOUR.size:
            reference = self._references.get(IPv6Address(NEIGHBOUR.unpack_from(packet)[-1]))
            if reference is not None:
                self._heard(reference, self._number)


def arp_probe(target: bytes, mac: bytes) -> bytes:
    """The whole frame: who has the target (4 bytes)? Told to the MAC, and to no address."""
    return ARP.pack(
        BROADCAST, mac, ETH_P_ARP, *ARP_IPV4, ARP_REQUEST, mac, bytes(4), bytes(MAC_BYTES), target
    )


def solicitation(target: IPv6Address, mac: bytes) -> bytes:
    """The ICMPv6 message; the kernel adds its checksum (RFC 3542, section 3.1)."""
    return NEIGHBOUR.pack(SOLICITATION, 0, 0, 0, target.packed) + OWN_MAC_OPTION + mac


def _open_arp() -> socket.socket:
    opened = socket.socket(
        socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ARP)
    )
    try:
        attach(opened, ONLY_ARP_REPLIES)
    except OSError:
        opened.close()
        raise
    return opened


def _open_icmp6() -> socket.socket:
    opened = socket.socket(
        socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6
    )
    words = [0xFFFFFFFF] * 8
    words[ADVERTISEMENT >> 5] &= ~(1 << (ADVERTISEMENT & 31))
    try:
        opened.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("@8I", *words))
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    except OSError:
        opened.close()
        raise
    return opened
