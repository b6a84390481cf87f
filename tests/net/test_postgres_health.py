# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that cannot serve: its disk is full, its connections are used up, or it stands still."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from hil.agent import Agent, role
from hil.database import (
    CONNECTIONS,
    GROUP,
    PLACE,
    Writer,
    ask,
    in_sync,
    kept,
    leader,
    options,
    streams,
)
from hil.database_faults import disk_full, mend
from hil.lab import Lab
from hil.machine import Machine
from hil.namespaces import within
from hil.network import VIP
from hil.watch import orders

OPTIONS = options("sync", 'sync_wait = "3s"\nmonitor_timeout = "1s"', disk_mib=768)
Roles = tuple[Machine, Machine]
SECOND_NS = 1_000_000_000
LOOKS_S = 4.0
"""In which the agent looks three times and more, and would have restarted what fails two looks."""


@contextmanager
def crowd(lab: Lab, user: str) -> Iterator[None]:
    """Clients hold as many connections as a user gets, which a look at the server has shown."""
    held: list[psycopg.Connection] = []
    place = f"host={VIP} dbname=postgres user={user} connect_timeout=5"

    def come() -> None:
        while len(held) <= CONNECTIONS:
            held.append(psycopg.connect(place))

    with pytest.raises(psycopg.OperationalError, match=r"connection slots are|too many clients"):
        within(lab.client_pid, come)
    yield
    for each in held:
        each.close()


def test_used_up_connections_are_no_failure(lab: Lab, roles: Roles, writer: Writer) -> None:
    """Clients hold all that are theirs: the agent still writes, and nothing is restarted."""
    active, _ = roles
    since_ns, pid = time.monotonic_ns(), leader(active)
    ask(active, "DROP ROLE IF EXISTS visitor")
    ask(active, "CREATE ROLE visitor LOGIN")
    with crowd(lab, "visitor"):
        writer.wait_acked(after_ns=time.monotonic_ns() + int(LOOKS_S * SECOND_NS))
    assert leader(active) == pid
    assert orders(lab, since_ns) == []
    kept(writer, active)


def test_server_that_stands_still_is_restarted(lab: Lab, roles: Roles, writer: Writer) -> None:
    """No answer counts as a failure in its time, and what does not stop is killed."""
    active, _ = roles
    since_ns, pid = time.monotonic_ns(), leader(active)
    for each in active.processes():
        if active.path(f"{PLACE}/data").samefile(f"/proc/{each}/cwd"):
            os.kill(each, signal.SIGSTOP)
    writer.wait_acked(after_ns=time.monotonic_ns())
    in_sync(lab, active)
    assert leader(active) != pid
    assert role(Agent(active).wait(lambda _: True, 1.0, "status"), GROUP) == "active"
    assert orders(lab, since_ns) == []
    kept(writer, active)


def test_full_disk_is_handed_over(lab: Lab, roles: Roles, writer: Writer) -> None:
    """The server stops for want of room: the standby, which has some, goes on; nobody is shot."""
    active, standby = roles
    since_ns = time.monotonic_ns()
    disk_full(lab, active, standby)
    writer.wait_acked(after_ns=time.monotonic_ns())
    mend(lab)
    streams(lab, active)
    assert orders(lab, since_ns) == []
    kept(writer, standby)
