# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a packet of a given size, not to be cut into pieces, comes back from the peer."""

from __future__ import annotations

import secrets
import select
import socket
import time

from haagent.errors import EdgeError
from haagent.links import Link
from haagent.reach.icmp import ECHO, TOKEN_BYTES, echo_request, open_receiver

WAIT_S = 0.5
TRIES = 2
HEADER_BYTES = {4: 20, 6: 40}
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER = 10, 23
PROBE = 3
"""Sends what the interface takes, in one piece, whatever was learned of the path.
Source: Linux, include/uapi/linux/in.h and in6.h."""


def answers(link: Link, size: int) -> bool:
    """Whether the peer sends an echo request of that many bytes, all headers included, back.

    Raises:
        EdgeError: raw sockets are not permitted.
    """
    version = link.address.version
    padding = bytes(size - HEADER_BYTES[version] - ECHO.size - TOKEN_BYTES & ~1)
    with open_receiver(version) as echo:
        try:
            echo.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.interface.encode())
            if version == 4:
                echo.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PROBE)
            else:
                echo.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PROBE)
        except OSError as error:
            raise EdgeError(f"cannot measure on {link.interface}: {error.strerror}") from error
        for number in range(TRIES):
            token = secrets.token_bytes(TOKEN_BYTES)
            try:
                echo.sendto(
                    echo_request(version, number, token + padding), (str(link.peer_address), 0)
                )
            except OSError:
                return False
            if _comes_back(echo, token):
                return True
    return False


def _comes_back(echo: socket.socket, token: bytes) -> bool:
    deadline_s = time.monotonic() + WAIT_S
    while (left_s := deadline_s - time.monotonic()) > 0:
        if select.select([echo], [], [], left_s)[0] and token in echo.recv(65536):
            return True
    return False
