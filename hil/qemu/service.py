# SPDX-License-Identifier: GPL-2.0-or-later
"""The service of the pair inside a server: says which server, and which boot of it, answers.

Run by systemd where haagent wants it. Needs nothing but the standard library and `hil.node_init`.
"""

from __future__ import annotations

import os
import selectors
import socket
from pathlib import Path

from hil.node_init import IP_PKTINFO, SERVICE_PORT, answer_datagram

BOOTS = Path("/var/lib/bench/boots")
"""Identities of all boots in which the service ran, on the disk."""
_BACKLOG = 16


def boot_number() -> int:
    """How many boots the service has seen, this one included."""
    mine = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    BOOTS.parent.mkdir(parents=True, exist_ok=True)
    seen = BOOTS.read_text().split() if BOOTS.exists() else []
    if mine not in seen:
        seen.append(mine)
        with BOOTS.open("w") as file:
            file.write("\n".join(seen) + "\n")
            file.flush()
            os.fsync(file.fileno())
    return len(seen)


def say_ready() -> None:
    """Tell systemd that the service runs, sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            door.connect(address.replace("@", "\0", 1))
            door.send(b"READY=1")


def main() -> None:
    """Answer every datagram, and every connection of a probe, until systemd ends it."""
    name = f"{socket.gethostname()} {boot_number()}".encode()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    datagrams.bind(("0.0.0.0", SERVICE_PORT))  # noqa: S104  # the VIP comes and goes
    streams = socket.create_server(
        ("0.0.0.0", SERVICE_PORT),  # noqa: S104  # the VIP comes and goes
        backlog=_BACKLOG,
    )
    selector = selectors.DefaultSelector()
    for listening in (datagrams, streams):
        selector.register(listening, selectors.EVENT_READ)
    say_ready()
    while True:
        for key, _ in selector.select():
            if key.fileobj is datagrams:
                answer_datagram(datagrams, name)
            else:
                connection, _ = streams.accept()
                connection.close()


if __name__ == "__main__":
    main()
