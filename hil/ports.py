# SPDX-License-Identifier: GPL-2.0-or-later
"""Port numbers on the loopback."""

from __future__ import annotations

import errno
import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A number that nobody on the loopback has, be it for UDP or for TCP.

    For both: ipmi_sim takes the number of its UDP port for its serial line as well, by TCP.
    """
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams, socket.socket() as stream:
            datagrams.bind((LOOPBACK, 0))
            number = int(datagrams.getsockname()[1])
            try:
                stream.bind((LOOPBACK, number))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return number
