# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody who uses the service: asks at the VIP all the time and notes who answers."""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from contextlib import suppress
from itertools import count, pairwise
from pathlib import Path

from hil.namespaces import inside
from hil.network import VIP
from hil.node_init import SERVICE_PORT
from hil.processes import module
from hil.record import Entry, ReportingProcess

ASK_EVERY_S = 0.01
_ANSWER_BYTES_MAX = 128
_NS = 1_000_000_000


class Client:
    """The client, running, and what it experienced."""

    def __init__(self, pid: int | None, directory: Path, address: str = VIP) -> None:
        """Start it in the network namespace of a process; None: in this one."""
        command = module("hil.client", address, str(SERVICE_PORT), str(ASK_EVERY_S))
        if pid is not None:
            command = [*inside(pid), *command]
        self._process = ReportingProcess(
            command, directory / "client.jsonl", directory / "client.log"
        )
        self.record = self._process.record

    def wait_served(
        self, limit_s: float, *, after_ns: int = 0, by: str | None = None, boot: int | None = None
    ) -> Entry:
        """Return the first answer to a question that was asked after a time."""
        return self.record.wait(
            lambda e: (
                e["sent_ns"] > after_ns and by in (None, e["node"]) and boot in (None, e["boot"])
            ),
            limit_s,
            after_ns=after_ns,
            what=f"service by {by or 'anybody'}",
        )

    def outage(self, after_ns: int, until_ns: int | None = None) -> tuple[int, int]:
        """The longest time without an answer that ended after a time: its start and end, ns."""
        times = [
            entry["at_ns"]
            for entry in self.record.since()
            if until_ns is None or entry["at_ns"] <= until_ns
        ]
        gaps = [(a, b) for a, b in pairwise(times) if b > after_ns]
        return max(gaps, key=lambda gap: gap[1] - gap[0], default=(after_ns, after_ns))

    def outage_ms(self, after_ns: int, until_ns: int | None = None) -> float:
        """The same in milliseconds."""
        start_ns, end_ns = self.outage(after_ns, until_ns)
        return (end_ns - start_ns) / 1e6

    def close(self) -> None:
        """Stop asking; what was experienced stays."""
        self._process.close()


def main() -> None:
    """Arguments: address, port, seconds between two questions."""
    address, port, every_text = sys.argv[1:]
    every_ns = int(float(every_text) * _NS)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setblocking(False)  # noqa: FBT003  # the name of the method says it
    server.connect((address, int(port)))
    next_ns = time.monotonic_ns()
    for number in count():
        # An error says that nobody has the address at the moment: that is what we are here to see.
        with suppress(OSError):
            server.send(f"{number} {time.monotonic_ns()}".encode())
        next_ns += every_ns
        while (rest_ns := next_ns - time.monotonic_ns()) > 0:
            if select.select([server], [], [], rest_ns / _NS)[0]:
                note_answer(server)
        next_ns = max(next_ns, time.monotonic_ns())


def note_answer(server: socket.socket) -> None:
    """Take one answer in and report it."""
    try:
        answer = server.recv(_ANSWER_BYTES_MAX)
    except OSError:
        return  # an error message of the network, e.g. host unreachable
    at_ns = time.monotonic_ns()
    node, boot, number, sent_ns = answer.decode().split()
    entry = {
        "at_ns": at_ns,
        "sent_ns": int(sent_ns),
        "number": int(number),
        "node": node,
        "boot": int(boot),
    }
    sys.stdout.write(json.dumps(entry) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
