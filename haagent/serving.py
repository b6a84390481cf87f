# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the service answer, seen as a client sees it?"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address


async def tcp_answers(host: IPv4Address | IPv6Address, port: int, timeout_s: float) -> bool:
    """Whether a TCP connection is accepted in time; refused, unreachable or silent is False.

    Args:
        host: An address, never a name: resolving one could take longer than the answer.
        port: 1 to 65535.
        timeout_s: For the whole attempt, seconds.
    """
    loop = asyncio.get_running_loop()
    family = socket.AF_INET if host.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client:
            async with asyncio.timeout(timeout_s):
                await loop.sock_connect(client, (str(host), port))
    except OSError:  # TimeoutError is one of them.
        return False
    return True
