# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's PostgreSQL on two booted servers, made a pair as docs/resources/postgresql.md says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hil.database import GROUP, Writer, in_sync, writing
from hil.pair import NODES
from hil.qemu.configuration import Settings, files
from hil.qemu.guest import Guest
from hil.qemu.image import image
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import RETURN_LIMIT_S, ready, taken_over, wait_back
from hil.qemu.saved import going_on, kept

pytestmark = pytest.mark.virtual("databases that the bench may make")
PACKAGES = ("postgresql-15",)
ADDRESS = "192.0.2.30"
SETUP_LIMIT_S = 600.0
"""initdb takes half a minute under emulation."""
PAUSE_S = 0.05
"""Between two rows: an emulated primary has a rewind to serve as well."""
PASSFILE = "/etc/haagent/replication.pass"
SETTINGS = Settings(
    timing={"stop_budget": "70s"},
    extra=f"""\
[[group]]
name = "{GROUP}"
preferred = "{NODES[0]}"
[[group.resource]]
kind = "postgresql"
name = "postgres"
version = 15
address = {{ alpha = "198.51.100.11", beta = "198.51.100.12" }}
passfile = "{PASSFILE}"
rebuild = "auto"
durability = "sync"
sync_wait = "60s"
[[group.vip]]
address = "{ADDRESS}/24"
""",
)
OURS = "listen_addresses = '*'\nshared_buffers = '32MB'\nmax_connections = 30\n"
CLIENTS = "host postgres postgres 192.0.2.0/24 trust\n"


def prepare(lab: VirtualLab) -> None:
    """Two bare servers become a pair, as the page says it."""
    alpha, beta = (lab.machines[name] for name in NODES)
    written = files(SETTINGS)
    for guest in (alpha, beta):
        for path, content in written.items():
            guest.ssh.write(path, content, "600")
        do(guest, "pg_createcluster", "15", "main")
        guest.ssh.write("/etc/postgresql/15/main/conf.d/bench.conf", OURS, "644")
        do(guest, "sh", "-c", f"echo '{CLIENTS}' >>/etc/postgresql/15/main/pg_hba.conf")
    do(alpha, "pg_ctlcluster", "15", "main", "start")
    sql(alpha, "CREATE TABLE ledger (number bigint PRIMARY KEY)")
    do(alpha, "haagent", "postgres", "setup")
    do(alpha, "pg_ctlcluster", "15", "main", "restart")
    beta.ssh.write(PASSFILE, do(alpha, "cat", PASSFILE), "600")
    do(beta, "chown", "postgres:", PASSFILE)
    do(beta, "haagent", "postgres", "setup", "--overwrite")
    do(alpha, "pg_ctlcluster", "15", "main", "stop")
    for guest in (alpha, beta):
        do(guest, "haagent", "check-config", "/etc/haagent/haagent.toml")
    lab.configure(SETTINGS)
    ready(lab, limit_s=RETURN_LIMIT_S)
    in_sync(lab, alpha, RETURN_LIMIT_S)


def do(guest: Guest, *command: str) -> str:
    """What a command says that succeeds."""
    return guest.ssh.run(*command, limit_s=SETUP_LIMIT_S).stdout


def sql(guest: Guest, statement: str) -> str:
    """What the server there answers its own superuser."""
    return do(guest, "runuser", "-u", "postgres", "--", "psql", "-Atqc", statement)


@pytest.fixture
def database(build: Callable[..., VirtualLab]) -> VirtualLab:
    """Such a pair, as it was a moment ago."""
    servers = image(PACKAGES)
    state = kept("booted.database", servers, prepare, [Path(__file__).read_bytes()])
    lab = build(going_on(servers, state))
    lab.power_on()
    return lab


def test_committed_rows_survive_a_crash_of_the_active(database: VirtualLab) -> None:
    """The active's kernel dies: all acknowledged rows are there, and it returns as the standby."""
    lab = database
    active, standby = ready(lab)
    in_sync(lab, active, RETURN_LIMIT_S)
    with writing(lab, ADDRESS, RETURN_LIMIT_S, pause_s=PAUSE_S) as writer:
        fault_ns = active.crash()
        taken_ns = taken_over(lab, active, standby, fault_ns)
        writer.wait_acked(RETURN_LIMIT_S, after_ns=taken_ns)
        wait_back(lab, active, fault_ns)
        in_sync(lab, standby, RETURN_LIMIT_S)
        writer.wait_acked(RETURN_LIMIT_S, after_ns=time.monotonic_ns())
    nothing_lost(writer, standby)
    assert sql(active, "SELECT pg_is_in_recovery()").strip() == "t"
    assert rows(active) == rows(standby)


def test_row_that_is_lost_is_seen(database: VirtualLab) -> None:
    """Where one acknowledged row of many is missing, or one is there of which nobody knows."""
    lab = database
    active, _ = ready(lab)
    with writing(lab, ADDRESS, RETURN_LIMIT_S, pause_s=PAUSE_S) as writer:
        writer.wait_acked(RETURN_LIMIT_S, after_ns=time.monotonic_ns())
    nothing_lost(writer, active)
    lost = max(writer.acked())
    sql(active, f"DELETE FROM ledger WHERE number = {lost}")  # noqa: S608  # a number of ours
    with pytest.raises(AssertionError, match=re.escape(f"lost: {{{lost}}}")):
        nothing_lost(writer, active)
    sql(active, f"INSERT INTO ledger VALUES ({lost})")  # noqa: S608  # a number of ours
    nothing_lost(writer, active)
    sql(active, "INSERT INTO ledger VALUES (-1)")
    with pytest.raises(AssertionError, match=re.escape("nobody wrote: {-1}")):
        nothing_lost(writer, active)


def nothing_lost(writer: Writer, holder: Guest) -> None:
    """Check that all that was acknowledged is there, and nothing that was not tried.

    Raises:
        AssertionError: It is not.
    """
    there = rows(holder)
    lost, strange = writer.acked() - there, there - writer.tried()
    assert not lost, f"lost: {lost}"
    assert not strange, f"nobody wrote: {strange}"


def rows(guest: Guest) -> set[int]:
    """The numbers that its server has."""
    return {int(line) for line in sql(guest, "SELECT number FROM ledger").split()}
