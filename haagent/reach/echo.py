# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks references by echo request (RFC 792, RFC 4443) over sockets that stay open."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable

from haagent.packet_filter import attach
from haagent.reach import Reference
from haagent.reach.icmp import (
    DATAGRAM_BYTES,
    ECHO,
    QUEUED_MAX,
    TOKEN_BYTES,
    echo_request,
    open_receiver,
)

HEADERS = {4: ((0xB1, 0, 0, 0), (0x48, 0, 0, 4)), 6: ((0x28, 0, 0, 4),)}
"""BPF that loads the identifier of an echo reply. A raw socket of IPv4 sees the IP header, whose
length is loaded first; one of IPv6 does not (raw(7); RFC 3542, section 3)."""

Heard = Callable[[Reference, int], None]
"""Called with who answered, and the number of the question."""


class EchoAsker:
    """One raw socket for each IP version in use, which hears answers to our own requests only."""

    def __init__(self, references: Iterable[Reference], heard: Heard) -> None:
        self._references = {str(reference.address): reference for reference in references}
        self._heard = heard
        self._token = os.urandom(TOKEN_BYTES)
        self._sockets: dict[int, socket.socket] = {}

    def open(self) -> None:
        """Listen.

        Raises:
            EdgeError: not permitted to open raw sockets.
        """
        identifier = int.from_bytes(self._token[:2], "big")
        for version in {reference.address.version for reference in self._references.values()}:
            receiver = self._sockets[version] = open_receiver(version)
            attach(
                receiver,
                (
                    *HEADERS[version],
                    (0x15, 0, 1, identifier),  # ours, or drop
                    (0x06, 0, 0, DATAGRAM_BYTES),
                    (0x06, 0, 0, 0),
                ),
            )
            asyncio.get_running_loop().add_reader(receiver, self._read, receiver)

    def close(self) -> None:
        """Close the sockets; never raises."""
        for receiver in self._sockets.values():
            asyncio.get_running_loop().remove_reader(receiver)
            receiver.close()
        self._sockets.clear()

    def ask(self, number: int) -> None:
        """Ask everybody once.

        Args:
            number: 0 to 65535; comes back with the answers.
        """
        requests = {
            version: echo_request(version, number, self._token) for version in self._sockets
        }
        for address, reference in self._references.items():
            version = reference.address.version
            try:
                self._sockets[version].sendto(requests[version], (address, 0))
            except OSError:
                continue  # No route, or the interface is down: it cannot answer this time.

    def drain(self) -> None:
        """Take in the answers that wait in the sockets."""
        for receiver in self._sockets.values():
            self._read(receiver)

    def _read(self, receiver: socket.socket) -> None:
        for _ in range(QUEUED_MAX):
            try:
                packet, sender = receiver.recvfrom(DATAGRAM_BYTES)
            except OSError:
                return
            reference = self._references.get(sender[0])
            if reference is not None and packet.endswith(self._token):
                header = packet[-TOKEN_BYTES - ECHO.size : -TOKEN_BYTES]
                _kind, _code, _checksum, _identifier, number = ECHO.unpack(header)
                self._heard(reference, number)
