# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the files of a PostgreSQL server are, and how this pair replicates them."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal

from haagent.resources import Times

VERSIONS = (13, 17)
"""First and last major version that this was written for."""
TIMES = Times(start_s=120.0, stop_s=60.0, monitor_s=5.0, interval_s=2.0)
"""A start may have to replay what was received; a fast shutdown writes a checkpoint first."""
SYNC_WAIT_S = 10.0
"""Longer than most fences take: see docs/resources/postgresql.md, "Durability"."""

Packaging = Literal["debian", "pgdg"]
Durability = Literal["async", "sync"]
SyncPolicy = Literal["block", "continue"]
Rebuild = Literal["never", "auto"]
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Layout:
    """One server's places on this node."""

    programs: Path
    """pg_ctl and its like."""
    data: Path
    configuration: Path
    """postgresql.conf, which on Debian is not in `data`."""
    log: Path
    """What the server writes until its own logging is up, and after that if it has none."""
    sockets: Path
    unit: str = ""
    """What the packages would have systemd start."""

    @property
    def marker(self) -> Path:
        """Is there while the data is no copy of anything: beside it, since pg_rewind tidies up."""
        return self.data.with_name(f"{self.data.name}.haagent-unusable")

    @property
    def start_file(self) -> Path:
        """Debian's word on who starts the server at boot."""
        return self.configuration.with_name("start.conf")


def debian(version: int, cluster: str, sockets: Path) -> Layout:
    """The places of postgresql-common, which PGDG's packages for Debian and Ubuntu share.

    Source: pg_createcluster(1), FILES.
    """
    name = Path(str(version)) / cluster
    return Layout(
        programs=Path(f"/usr/lib/postgresql/{version}/bin"),
        data=Path("/var/lib/postgresql") / name,
        configuration=Path("/etc/postgresql") / name / "postgresql.conf",
        log=Path(f"/var/log/postgresql/postgresql-{version}-{cluster}.log"),
        sockets=sockets,
        unit=f"postgresql@{version}-{cluster}.service",
    )


def pgdg(version: int, sockets: Path) -> Layout:
    """The places of PGDG's RPM packages. Source: their README.rpm-dist."""
    home = Path(f"/var/lib/pgsql/{version}")
    return Layout(
        programs=Path(f"/usr/pgsql-{version}/bin"),
        data=home / "data",
        configuration=home / "data/postgresql.conf",
        log=home / "pgstartup.log",
        sockets=sockets,
        unit=f"postgresql-{version}.service",
    )


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    """One server of a group, on this node, and its counterpart on the other."""

    name: str
    node: str
    peer: str
    layout: Layout
    address: Address
    """Where this node's server is reached by the other node, not by clients."""
    peer_address: Address
    port: int = 5432
    user: str = "postgres"
    """System user of the server, and its superuser by peer authentication."""
    replication_user: str = "replicator"
    passfile: Path | None = None
    """libpq's password file with the replication user's password; None: pg_hba asks for none."""
    conninfo: str = ""
    """Added to every connection to the peer, such as "sslmode=verify-full"."""
    rebuild: Rebuild = "never"
    durability: Durability = "async"
    times: Times = field(default=TIMES)

    @property
    def slot(self) -> str:
        """The replication slot that holds back what the peer has not got, on this node."""
        return slot_of(self.peer)

    @property
    def own_slot(self) -> str:
        """The one that the peer keeps for this node."""
        return slot_of(self.node)


def slot_of(node: str) -> str:
    """A slot's name has only lower case letters, digits and underscores."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in node.lower())
    return f"haagent_{kept}"[:63]
