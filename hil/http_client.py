# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody who browses: asks for a page through the VIP every 20 ms, and notes how each time went.

Each request has a connection of its own. One that is sent while nobody has the address is not
lost by that: TCP sends its first segment again after 1 s and after 3 s (RFC 6298), and within its
limit the request is waited for. Lost is one that was refused, broken off, not answered in time, or
answered with anything else than a page of the service.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import h11

from hil.namespaces import inside
from hil.network import VIP
from hil.processes import module
from hil.record import Entry, ReportingProcess
from hil.services import HTTP_PORT, SERVED_BY

ASK_EVERY_S = 0.02
LIMIT_S = 3.5
OPEN_MAX = 400
"""Requests that are waited for at once; more than are made within a limit."""
FINISH_LIMIT_S = LIMIT_S + 5.0
READ_BYTES = 16384
OK = 200


class HttpClient:
    """The browser, running, and how its requests went.

    An entry is made when a request has ended (`at_ns`) and has its `number`, `sent_ns` (when it
    was begun), `connected_ns` (when the server's kernel had accepted it; None if never), `status`
    and `node` of the answer (None if there was none), and `failure` ("" if it was a good one).
    """

    def __init__(self, pid: int, directory: Path, path: str) -> None:
        """Start it in the network namespace of a process."""
        command = module("hil.http_client", VIP, str(HTTP_PORT), path, str(ASK_EVERY_S))
        name = f"http-{time.monotonic_ns()}"
        self._process = ReportingProcess(
            [*inside(pid), *command], directory / f"{name}.jsonl", directory / f"{name}.log"
        )
        self.record = self._process.record

    def wait_served(self, limit_s: float, *, after_ns: int = 0, by: str | None = None) -> Entry:
        """Return the first good answer to a request that was begun after a time."""
        return self.record.wait(
            lambda e: is_good(e) and e["sent_ns"] > after_ns and by in (None, e["node"]),
            limit_s,
            after_ns=after_ns,
            what=f"page served by {by or 'anybody'}",
        )

    def lost(self, after_ns: int = 0) -> list[Entry]:
        """Requests begun after a time that ended without a good answer, as far as they ended."""
        return [e for e in self.requests(after_ns) if e["failure"]]

    def open_at(self, at_ns: int) -> list[Entry]:
        """Requests that a server had accepted and that had not ended at a time."""
        ended_later = [e for e in self.record.since(at_ns) if e["what"] == "request"]
        return [e for e in ended_later if e["connected_ns"] and e["connected_ns"] <= at_ns]

    def requests(self, after_ns: int = 0) -> list[Entry]:
        """All that were begun after a time, as far as they ended."""
        ended = [e for e in self.record.since(after_ns) if e["what"] == "request"]
        return [e for e in ended if e["sent_ns"] > after_ns]

    def finish(self) -> None:
        """Begin no more requests; return when the last one has ended."""
        self._process.tell("finish")
        self.record.wait(lambda e: e["what"] == "finished", FINISH_LIMIT_S, what="last request")

    def close(self) -> None:
        """Stop at once; the record stays."""
        self._process.close()


def is_good(entry: Entry) -> bool:
    """Whether it is a request that got its page."""
    return entry["what"] == "request" and not entry["failure"]


class Browser:
    """The process's one object.

    Args:
        address: Of the service.
        port: Of the service.
        path: What is asked for.
    """

    def __init__(self, address: str, port: int, path: str) -> None:
        self._where = (address, port)
        self._request = h11.Request(
            method="GET", target=path, headers=[("Host", address), ("Connection", "close")]
        )
        self._open: set[asyncio.Task[None]] = set()

    async def run(self, every_s: float) -> None:
        """Ask until told to finish, then wait for what is open."""
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        loop.add_reader(sys.stdin, told.set)
        number, next_s = 0, loop.time()
        while not told.is_set():
            if len(self._open) < OPEN_MAX:
                number += 1
                task = asyncio.create_task(self._ask(number))
                self._open.add(task)
                task.add_done_callback(self._open.discard)
            next_s = max(next_s + every_s, loop.time())
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_s):
                    await told.wait()
        loop.remove_reader(sys.stdin)
        if self._open:
            await asyncio.wait(set(self._open))
        report({"what": "finished"})

    async def _ask(self, number: int) -> None:
        """Make one request; its note is written when it has ended, however it ends."""
        entry: Entry = {
            "what": "request",
            "number": number,
            "sent_ns": time.monotonic_ns(),
            "connected_ns": None,
            "status": None,
            "node": None,
        }
        try:
            async with asyncio.timeout(LIMIT_S):
                entry["failure"] = await self._converse(entry)
        except TimeoutError:
            entry["failure"] = f"no answer within {LIMIT_S:g} s"
        except OSError as error:
            # Not its own words: asyncio has others there.
            entry["failure"] = os.strerror(error.errno or 0)
        except h11.RemoteProtocolError as error:
            entry["failure"] = str(error)
        report(entry)

    async def _converse(self, entry: Entry) -> str:
        """Ask and read the answer; what is wrong with it, "" for nothing."""
        loop = asyncio.get_running_loop()
        http = h11.Connection(h11.CLIENT)
        body = b""
        with socket.socket() as server:
            server.setblocking(False)  # noqa: FBT003  # the name of the method says it
            await loop.sock_connect(server, self._where)
            entry["connected_ns"] = time.monotonic_ns()
            request = (http.send(self._request) or b"") + (http.send(h11.EndOfMessage()) or b"")
            await loop.sock_sendall(server, request)
            while not isinstance(event := http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    http.receive_data(await loop.sock_recv(server, READ_BYTES))
                elif isinstance(event, h11.Response):
                    entry["status"] = event.status_code
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    return f"ended by {event}"
        named = re.search(rb"%b (\w+)" % SERVED_BY.encode(), body)
        if entry["status"] != OK or named is None:
            return f"status {entry['status']}, {body[:40]!r}"
        entry["node"] = named[1].decode()
        return ""


def report(entry: Entry) -> None:
    """Tell the lab."""
    sys.stdout.write(json.dumps({"at_ns": time.monotonic_ns(), **entry}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Arguments: address, port, path, seconds between two requests."""
    address, port, path, every_text = sys.argv[1:]
    asyncio.run(Browser(address, int(port), path).run(float(every_text)))


if __name__ == "__main__":
    main()
