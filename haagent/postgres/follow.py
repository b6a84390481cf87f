# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether one server can stream from another, and what makes it a standby of that one."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from pwd import getpwnam

from haagent.durable import sync
from haagent.postgres.layout import PostgresSettings
from haagent.postgres.position import Position, log_position
from haagent.postgres.sql import Identity

CONNECT_S = 3
NAMES = "synchronous_standby_names"
GATE = "haagent gate"
"""A standby's name that no node can have."""
BLOCK_BYTES = 512
"""In which files are counted, whatever their disk's own are. Source: stat(2)."""
KEEPALIVES = "keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=10000"
"""A connection whose other end lost its power is noticed in about ten seconds."""


def identity(settings: PostgresSettings) -> Identity | None:
    """Who the server's user is here; None if there is none."""
    try:
        entry = getpwnam(settings.user)
    except KeyError:
        return None
    return Identity(entry.pw_uid, entry.pw_gid)


def local_conninfo(settings: PostgresSettings, *, waits: bool = False) -> str:
    """To our own server. What the agent writes waits for no standby, unless that is asked for."""
    commit = "on" if waits else "local"
    options = f"-c synchronous_commit={commit} -c default_transaction_read_only=off"
    place = f"host={settings.layout.sockets} port={settings.port}"
    return f"{place} dbname=postgres user={settings.user} options='{options}'"


def peer_conninfo(settings: PostgresSettings) -> str:
    """To the peer's server, as the user that may replicate."""
    words = [f"host={settings.peer_address} port={settings.port}"]
    words.append(f"user={settings.replication_user}")
    if settings.passfile is not None:
        words.append(f"passfile={_word(str(settings.passfile))}")
    words += [KEEPALIVES, settings.conninfo]
    return " ".join(filter(None, words))


def standby_settings(settings: PostgresSettings) -> dict[str, str]:
    """What a standby's configuration says of its primary."""
    source = f"{peer_conninfo(settings)} application_name={settings.node}"
    values = {
        "primary_conninfo": f"{source} connect_timeout={CONNECT_S}",
        "primary_slot_name": settings.own_slot,
        "recovery_target_timeline": "latest",
        # A primary that was started in place would else be without its standby for 5 s.
        "wal_retrieve_retry_interval": "1s",
    }
    if settings.durability == "sync":
        # Once it is promoted, nothing is acknowledged before the core allows it (S11).
        values[NAMES] = waits_for(settings.peer)
    return values


def waits_for(name: str) -> str:
    """`synchronous_standby_names` for commits that wait for one standby."""
    return f'"{name}"'


def forks(history: str) -> dict[int, int]:
    """Where each earlier timeline was left, by a history file. Source: PostgreSQL, 26.3.5."""
    found = {}
    for line in history.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0].isdecimal() and "/" in words[1]:
            found[int(words[0])] = log_position(words[1])
    return found


def follows(own: Position, theirs: Position, left: Mapping[int, int]) -> bool:
    """Whether all that a server at `own` has is part of the history of one at `theirs`.

    Args:
        own: Of the one that is to follow.
        theirs: Of the primary.
        left: Where the primary's history left each of its earlier timelines.
    """
    if own.timeline == theirs.timeline:
        return own.log <= theirs.log
    return own.log <= left.get(own.timeline, -1)


def configure(settings: PostgresSettings, values: Mapping[str, str], *, standby: bool) -> None:
    """Write a stopped server's own settings; a running one is told by ALTER SYSTEM.

    Raises:
        OSError: They could not be written.
    """
    data = settings.layout.data
    file = data / "postgresql.auto.conf"
    kept = [
        line
        for line in (file.read_text(encoding="utf-8").splitlines() if file.exists() else [])
        if (match := re.match(r"\s*(\w+)\s*=?", line)) is None or match[1].lower() not in values
    ]
    lines = kept + [f"{name} = {quoted(value)}" for name, value in values.items()]
    write_private(settings, file, "\n".join(lines) + "\n")
    signal_file = data / "standby.signal"
    if standby:
        write_private(settings, signal_file, "")
    else:
        signal_file.unlink(missing_ok=True)


def mark_unusable(settings: PostgresSettings, why: str) -> None:
    """From now on the data is no copy of anything, whoever asks, until `unmark`.

    Raises:
        OSError: It could not be noted: then it must not be touched.
    """
    write_private(settings, settings.layout.marker, why + "\n")


def unmark(settings: PostgresSettings) -> None:
    """The data is whole again."""
    settings.layout.marker.unlink(missing_ok=True)
    sync(settings.layout.marker.parent)


def unusable(settings: PostgresSettings) -> str:
    """Why the data cannot be served; "" if it can, as far as we know."""
    marker = settings.layout.marker
    try:
        return marker.read_text(encoding="utf-8").strip() or "it is half of a copy"
    except FileNotFoundError:
        pass
    except OSError as error:
        return f"{marker}: {error.strerror}"
    if not (settings.layout.data / "PG_VERSION").exists():
        return f"{settings.layout.data} is empty"
    return ""


def elsewhere(data: Path) -> str:
    """What of the data lies outside its directory, where no rebuild looks; "" if nothing."""
    spaces = data / "pg_tblspc"
    if spaces.is_dir() and any(spaces.iterdir()):
        return "it has tablespaces"
    return "its pg_wal is a link" if (data / "pg_wal").is_symlink() else ""


def empty(data: Path) -> None:
    """Remove what is in the directory, not itself: it may be a mount point."""
    for entry in data.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def room(data: Path) -> int:
    """Bytes that a copy may take in the directory, once what is in it was removed."""
    there = next(place for place in (data, *data.parents) if place.exists())
    disk, used = os.statvfs(there), 0
    for folder, _, files in os.walk(data):
        for file in files:
            with suppress(FileNotFoundError):  # a server may still run there
                used += Path(folder, file).lstat().st_blocks * BLOCK_BYTES
    return disk.f_bavail * disk.f_frsize + used


def quoted(value: str) -> str:
    """A value as it stands in a configuration file."""
    return "'" + value.replace("'", "''") + "'"


def _word(value: str) -> str:
    return "'" + value.replace("\\", r"\\").replace("'", r"\'") + "'"


def write_private(settings: PostgresSettings, file: Path, text: str) -> None:
    """Write a file for the server's user alone, durably, and as a whole or not at all.

    Raises:
        OSError: It could not be written.
    """
    fresh = file.with_name(f"{file.name}.haagent")
    with fresh.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    fresh.chmod(0o600)
    whose = identity(settings)
    if whose is not None:
        os.chown(fresh, whose.user, whose.group)
    fresh.replace(file)
    sync(file.parent)
