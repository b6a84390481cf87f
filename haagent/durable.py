# SPDX-License-Identifier: GPL-2.0-or-later
"""The record that survives: written whole, fsync'd and renamed; a torn one counts as none.

The file is one JSON object {"boot": id, "record": {...}, "sum": SHA-256 of the record's text}.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from haagent.core.effects import GroupRecord, Record
from haagent.core.orders import Orders
from haagent.errors import EdgeError

BYTES_MAX = 65_536
"""Far above what eight groups need; a larger file is not ours."""


class DurableError(EdgeError):
    """The record could not be made durable, e.g. because the disk is full."""


class DurableRecord:
    """One node's record in its state directory.

    Args:
        path: The file; its directory must exist.
        boot_id: Of this boot of the machine, see haagent.host.boot_id.
    """

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id

    def load(self) -> tuple[Record, bool]:
        """The last record, and whether it was written since this machine was booted.

        Returns:
            An empty record and False when there is none or when it is torn: such a node
            joins as one that knows nothing, which is always safe (S5).
        """
        try:
            with self._path.open("rb") as file:
                document = json.loads(file.read(BYTES_MAX))
            text = json.dumps(document["record"], sort_keys=True)
            if document["sum"] != hashlib.sha256(text.encode()).hexdigest():
                return Record(), False
            return _record(document["record"]), document["boot"] == self._boot_id
        except (OSError, ValueError, KeyError, TypeError):
            return Record(), False

    def store(self, record: Record) -> None:
        """Make it durable; returns only when a power cut can no longer undo it.

        Raises:
            DurableError: it may or may not be durable; the file is never torn.
        """
        body = asdict(record)
        for names in ("stopped", "frozen"):
            body["orders"][names] = sorted(body["orders"][names])
        text = json.dumps(body, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        document = {"boot": self._boot_id, "record": body, "sum": digest}
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(json.dumps(document).encode())
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            sync(self._path.parent)
        except OSError as error:
            raise DurableError(f"{self._path}: {error.strerror}") from error


def keep(directory: Path) -> None:
    """Make durable what others have written into a directory; what lies deeper is not theirs.

    A copied file is in memory alone for seconds, and after a crash it would be empty, or gone.

    Raises:
        DurableError: Something of it may not be durable.
    """
    try:
        for path in filter(Path.is_file, directory.iterdir()):
            with suppress(FileNotFoundError):  # an editor's, which is gone again
                sync(path)
        sync(directory)
    except OSError as error:
        raise DurableError(f"{error.filename}: {error.strerror}") from error


def sync(path: Path) -> None:
    """Have a file's content, or a folder's names, on the disk.

    Raises:
        OSError: They may not be; it names the path.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(descriptor)


def _record(body: dict[str, object]) -> Record:
    """The record in a parsed file; any wrong shape raises what load() takes for "torn"."""
    groups, fences = body["groups"], body["fences_ns"]
    if not isinstance(groups, list) or not isinstance(fences, list):
        raise TypeError
    return Record(
        groups=tuple((str(name), GroupRecord(**fields)) for name, fields in groups),
        fences_ns=tuple(int(at_ns) for at_ns in fences),
        orders=_orders(body["orders"]),
        owes_power=body.get("owes_power") is True,
    )


def _orders(body: object) -> Orders:
    if not isinstance(body, dict):
        raise TypeError
    first, second = body["away"]
    return Orders(
        version=int(body["version"]),
        maintenance=bool(body["maintenance"]),
        away=(bool(first), bool(second)),
        stopped=frozenset(map(str, body["stopped"])),
        frozen=frozenset(map(str, body["frozen"])),
    )
