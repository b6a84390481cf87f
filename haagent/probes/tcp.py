# SPDX-License-Identifier: GPL-2.0-or-later
"""Is a TCP connection accepted?"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from haagent.probes import Answer

IpAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """The service answers when it accepts a connection."""

    address: IpAddress
    """Never a name: resolving one could take longer than the answer."""
    port: int
    """1 to 65535."""
    timeout_s: float
    """For the whole attempt, seconds."""

    async def answers(self) -> Answer:
        """Connect and hang up; refused, unreachable or silent is no."""
        where = spelled(self.address, self.port)
        try:
            with open_socket(self.address) as client:
                async with asyncio.timeout(self.timeout_s):
                    await connect(client, self.address, self.port)
        except OSError as error:  # TimeoutError is one of them.
            return Answer(ok=False, detail=f"{where}: {reason(error, self.timeout_s)}")
        return Answer(ok=True, detail=f"{where}: accepts connections")


def open_socket(address: IpAddress) -> socket.socket:
    """A TCP socket for the loop, not yet connected.

    Raises:
        OSError: no more descriptors, for instance.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


async def connect(client: socket.socket, address: IpAddress, port: int) -> None:
    """Connect, and make sure that it is to somebody else.

    Raises:
        OSError: nobody accepted it.
    """
    await asyncio.get_running_loop().sock_connect(client, (str(address), port))
    if client.getsockname() == client.getpeername():
        # To a port of this host that nobody listens on, the kernel may choose the very same port
        # as ours: then both ends are this socket (RFC 9293, 3.5, simultaneous open).
        raise ConnectionRefusedError


def reason(error: OSError, timeout_s: float) -> str:
    """What a failed connection means, in a few words."""
    match error:
        case ConnectionRefusedError():
            return "refused"
        case TimeoutError():
            return f"no answer within {timeout_s:g} s"
        case _:
            # Not `strerror`: asyncio has words of its own there.
            return (os.strerror(error.errno) if error.errno else str(error)).lower()


def spelled(address: IpAddress, port: int) -> str:
    """Address and port as they are written, e.g. "[2001:db8::10]:80"."""
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"
