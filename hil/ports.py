# SPDX-License-Identifier: GPL-2.0-or-later
"""Port numbers on the loopback."""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_FIRST = 10000
"""Below it live the services that a machine may have."""
_LENT = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: set[int] = set()


def free_port() -> int:
    """A number that nobody on the loopback has, be it for UDP or for TCP; each time another.

    For both: ipmi_sim takes the number of its UDP port for its serial line as well, by TCP. And
    none that the kernel lends to outgoing connections: one of those could take it while a server
    that is to come back is dead.

    Raises:
        RuntimeError: None is free.
    """
    low, high = (int(word) for word in _LENT.read_text(encoding="ascii").split())
    lent = range(low, high + 1)
    candidates = list(set(range(_FIRST, 65536)).difference(lent, _given))
    random.shuffle(candidates)  # Tests run side by side.
    for number in candidates:
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams, socket.socket() as stream:
            try:
                for one in (datagrams, stream):
                    one.bind((LOOPBACK, number))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                _given.add(number)
                return number
    raise RuntimeError(f"no free port: outgoing connections have {low} to {high}")
