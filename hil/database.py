# SPDX-License-Identifier: GPL-2.0-or-later
"""A real PostgreSQL on both machines of a lab, and somebody who writes through the address.

Both disks get a copy of one freshly made server, as `haagent postgres setup` would leave it. In
the lab nobody is asked for a password.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psycopg

from haagent.postgres.layout import debian
from hil.agent import Agent
from hil.namespaces import inside
from hil.network import VIP
from hil.pair import NODES, Options
from hil.processes import module, run
from hil.record import Entry, ReportingProcess

if TYPE_CHECKING:
    from hil.lab import Lab
    from hil.machine import Machine
    from hil.pairs import Pair, S
    from hil.qemu.lab import VirtualLab

GROUP = "db"
OWN_VERSION = 15
"""Debian 12's."""
VERSION = int(os.environ.get("POSTGRES", OWN_VERSION))
"""Another one for `make postgres-try`, which lays it where Debian would."""
REWINDS = VERSION != 14
"""No pg_rewind of 14 is to be had where the others are from."""
PLACE = "/run/disk/pg"
"""Of everything of the server, as its machine sees it."""
PROGRAMS = debian(VERSION, "main", Path(PLACE)).programs
REPLICATOR = "replicator"
PORT = 5432
MAX_LAG = 1 << 20
CONNECTIONS = 30
"""As many clients a server takes, three of them superusers."""
BLOCK_BYTES = 4096
LIMIT_S = 60.0
_CONFIGURATION = f"""
listen_addresses = '*'
unix_socket_directories = '{PLACE}'
wal_log_hints = on
max_connections = {CONNECTIONS}
shared_buffers = '32MB'
max_wal_size = '256MB'
wal_keep_size = '128MB'
max_slot_wal_keep_size = '512MB'
"""
_HBA = f"""
local all all peer
host all all 192.0.2.0/24 trust
host replication {REPLICATOR} 198.51.100.0/24 trust
host postgres {REPLICATOR} 198.51.100.0/24 trust
"""
_ROLES = f"""
CREATE ROLE {REPLICATOR} LOGIN REPLICATION;
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) TO {REPLICATOR};
GRANT EXECUTE ON FUNCTION pg_stat_file(text, boolean) TO {REPLICATOR};
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO {REPLICATOR};
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO {REPLICATOR};
CREATE ROLE drill LOGIN;
CREATE SCHEMA drill AUTHORIZATION drill;
CREATE TABLE ledger (number bigint PRIMARY KEY);
"""
_TABLES = f"""
[[group]]
name = "{GROUP}"
preferred = "alpha"
max_lag = {MAX_LAG}
max_moves = 100
restarts = 1
[[group.resource]]
kind = "postgresql"
name = "postgres"
version = {VERSION}
data = "{PLACE}/data"
configuration = "{PLACE}/data/postgresql.conf"
log = "{PLACE}/log"
sockets = "{PLACE}"
address = {{ alpha = "198.51.100.11", beta = "198.51.100.12" }}
rebuild = "auto"
stop_timeout = "10s"
interval = "1s"
%s
[[group.vip]]
address = "{VIP}/24"
"""


def options(
    durability: Literal["async", "sync"] = "async", more: str = "", *, disk_mib: int = 0
) -> Options:
    """A pair that carries a database."""
    lines = f'durability = "{durability}"' if durability != "async" else ""
    return Options(
        timing={"max_fences": 100, "fence_retry": "1s"},
        check_every="1s",
        tables=_TABLES % f"{lines}\n{more}",
        group=GROUP,
        databases=True,
        database_disk_mib=disk_mib,
    )


@contextmanager
def furnished(directory: Path, machines: list[Machine], *, disk_mib: int) -> Iterator[None]:
    """One server's data on the disk of each machine; what was mounted for them is gone at the end.

    Args:
        directory: Of the lab.
        machines: All off.
        disk_mib: Size of the disk that each server has for itself; 0: it has none.
    """
    with ExitStack() as mounted:
        for machine in machines:
            place = machine.disk / "pg"
            place.mkdir()
            if disk_mib:
                image = machine.disk.with_name("pg.img")
                image.touch()
                os.truncate(image, disk_mib << 20)
                run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image)])
                run(["mount", "-o", "loop", str(image), str(place)])
                # Lazily: the machine may be on still, and its own mount goes with its power.
                mounted.callback(run, ["umount", "--lazy", str(place)])
        _furnish(directory, machines)
        yield


def _furnish(directory: Path, machines: list[Machine]) -> None:
    made = directory / "made"
    made.mkdir()
    shutil.chown(made, "postgres", "postgres")
    for folder in (directory, *(machine.disk for machine in machines)):
        folder.chmod(0o711)
    for machine in machines:
        machine.disk.parent.chmod(0o711)
    data = made / "data"
    words = ["-D", str(data), "-U", "postgres", "--auth=trust", "-N", "-E", "UTF8"]
    run([*_become(), str(PROGRAMS / "initdb"), *words])
    with (data / "postgresql.conf").open("a") as file:
        file.write(_CONFIGURATION)
    (data / "pg_hba.conf").write_text(_HBA)
    single = [str(PROGRAMS / "postgres"), "--single", "-j", "-D", str(data), "postgres"]
    run([*_become(), *single], text=_ROLES.replace(";\n", ";\n\n"))
    for machine in machines:
        place = machine.disk / "pg"
        run(["cp", "-a", str(data), str(place)])
        shutil.chown(place, "postgres", "postgres")
    shutil.rmtree(made)


def ask(machine: Machine, statement: str) -> str:
    """What a machine's own server answers, as psql prints it, or "" if it does not."""
    words = ["-h", PLACE, "-U", "postgres", "-d", "postgres", "-Atqc", statement]
    return machine.run(*_become(), "psql", *words, check=False).stdout.strip()


def rows(machine: Machine) -> set[int]:
    """What is in the ledger of a machine's server."""
    return {int(line) for line in ask(machine, "SELECT number FROM ledger").splitlines()}


def leader(machine: Machine) -> int:
    """The leader of a machine's server, as we number it; 0 if there is none."""
    for pid in machine.processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # It has just ended.
        if words[0] == str(PROGRAMS / "postgres").encode():
            return pid
    return 0


def fill(machine: Machine) -> None:
    """Leave no byte free on the disk that a machine's server has for itself."""
    step = 64 << 20
    with _ballast(machine).open("wb") as file:
        while step >= BLOCK_BYTES:
            try:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)
            except OSError:
                step //= 2  # What is free is not free for data alone.


def empty(machine: Machine) -> None:
    """Give it its room back."""
    _ballast(machine).unlink(missing_ok=True)


def _ballast(machine: Machine) -> Path:
    return machine.disk / "pg/ballast"


def part(lab: Lab) -> None:
    """Lose what the two servers send each other; the agents go on hearing each other."""
    for name in NODES:
        lab.network.lose_tcp(name, "ring", PORT)


def streams(lab: Lab, standby: Machine, limit_s: float = LIMIT_S) -> None:
    """Wait until a machine's server receives from the other one.

    Raises:
        NotSeenError: It does not.
    """
    Agent(standby).wait(
        lambda s: any(
            resource["condition"] == "standby" and "streaming" in resource["detail"]
            for resource in _resources(s)
        ),
        limit_s,
        "a standby that receives",
    )
    assert lab.other(standby).is_on


def commits(status: dict[str, object]) -> str:
    """What is said of the primary's commits."""
    details = [r["detail"] for r in _resources(status) if r["name"] == "postgres"]
    return details[0] if details else ""


def in_sync(lab: Pair[S], active: S, limit_s: float = 2 * LIMIT_S) -> None:
    """Wait until the standby has every commit, and both agents know.

    Raises:
        NotSeenError: It has not.
    """
    standby = lab.other(active)
    Agent(active).wait(lambda s: "as well" in commits(s), limit_s, "in sync")
    Agent(standby).wait(lambda s: s["takeover"]["possible"], limit_s, "promotable")


def _resources(status: dict[str, object]) -> list[dict[str, str]]:
    groups: list[dict[str, object]] = status["groups"]  # type: ignore[assignment]  # JSON
    found: list[dict[str, str]] = next(g["resources"] for g in groups if g["name"] == GROUP)  # type: ignore[misc]
    return found


def _become() -> tuple[str, ...]:
    return ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")


@contextmanager
def writing(
    lab: Lab | VirtualLab,
    address: str = VIP,
    limit_s: float = LIMIT_S,
    *,
    pause_s: float = 0.0,
) -> Iterator[Writer]:
    """Somebody who writes all the time, and whose first row was acknowledged."""
    writer = Writer(lab, address, pause_s=pause_s)
    try:
        writer.wait_acked(limit_s)
        yield writer
    finally:
        writer.close()


class Writer:
    """Commits numbered rows through the address, and notes what was acknowledged.

    Entries: `what` ("try", "acked" or "failed") and `number`.
    """

    def __init__(self, lab: Lab | VirtualLab, address: str = VIP, *, pause_s: float = 0.0) -> None:
        """Start it in the client's place in the network; it rests for so long after each row."""
        name = f"writer-{time.monotonic_ns()}"
        self._process = ReportingProcess(
            [*inside(lab.client_pid), *module("hil.database", address, str(pause_s))],
            lab.directory / f"{name}.jsonl",
            lab.directory / f"{name}.log",
        )
        self.record = self._process.record

    def wait_acked(self, limit_s: float = LIMIT_S, *, after_ns: int = 0) -> Entry:
        """Return the first acknowledgement of a row that was begun after a time."""
        return self.record.wait(
            lambda e: e["what"] == "acked" and e["sent_ns"] > after_ns,
            limit_s,
            after_ns=after_ns,
            what="a commit",
        )

    def acked(self) -> set[int]:
        """Rows whose commit was acknowledged."""
        return {e["number"] for e in self.record.since() if e["what"] == "acked"}

    def tried(self) -> set[int]:
        """Rows that were sent, whatever became of them."""
        return {e["number"] for e in self.record.since() if e["what"] == "try"}

    def lost(self, machine: Machine) -> set[int]:
        """Rows whose commit was acknowledged and that a machine's server has not."""
        return self.acked() - rows(machine)

    def invented(self, machine: Machine) -> set[int]:
        """Rows that a machine's server has of this time, and that were never sent."""
        there = rows(machine)  # first, for it goes on writing
        tried = self.tried()
        first = min(tried)
        return {number for number in there if number >= first} - tried

    def gap_ms(self, after_ns: int) -> float:
        """The longest time between two acknowledgements that ended after a time."""
        times = [e["at_ns"] for e in self.record.since() if e["what"] == "acked"]
        return max((b - a for a, b in pairwise(times) if b > after_ns), default=0) / 1e6

    def close(self) -> None:
        """Write no more."""
        self._process.close()


def kept(writer: Writer, machine: Machine) -> None:
    """Have it write no more: nothing acknowledged is lost, nothing is invented.

    Raises:
        AssertionError: A machine's server lacks a row, or has one too many.
    """
    writer.close()
    assert not (lost := writer.lost(machine)), f"lost: {sorted(lost)}"
    assert not (invented := writer.invented(machine)), f"invented: {sorted(invented)}"


def main() -> None:
    """Arguments: the address and the pause after each row, seconds."""
    address, pause = sys.argv[1:]
    pause_s = float(pause)
    options_text = "connect_timeout=2 keepalives_idle=1 keepalives_interval=1 keepalives_count=2"
    place = f"host={address} dbname=postgres user=postgres tcp_user_timeout=1000 {options_text}"
    number = time.time_ns() // 1000 * 1000
    while True:
        try:
            with psycopg.connect(place, autocommit=True) as connection:
                while True:
                    number += 1
                    _commit(connection, number)
                    time.sleep(pause_s)
        except psycopg.Error as error:
            _report("failed", number, why=" ".join(str(error).split())[:200])
            time.sleep(0.02)  # nobody has the address at the moment: nothing to wait for


def _commit(connection: psycopg.Connection, number: int) -> None:
    sent_ns = time.monotonic_ns()
    _report("try", number)
    connection.execute("INSERT INTO ledger VALUES (%s)", (number,))
    _report("acked", number, sent_ns=sent_ns)


def _report(what: str, number: int, **details: object) -> None:
    line = {"what": what, "number": number, "at_ns": time.monotonic_ns(), **details}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


assert NODES == ("alpha", "beta"), "the addresses above are theirs"

if __name__ == "__main__":
    main()
