# SPDX-License-Identifier: GPL-2.0-or-later
"""Hands log events to systemd's journal with their fields, so that it can select by them.

    journalctl HAAGENT_GROUP=db           what concerned that group
    journalctl HAAGENT_EVENT=pair.changed HAAGENT_NODE=alpha

Each entry has the line that stderr would have got as its MESSAGE, a PRIORITY, HAAGENT_CLUSTER,
HAAGENT_NODE, and a field for each key of the event whose value is a text, a number or a truth: its
name in upper case after "HAAGENT_".

Source: systemd, "Native Journal Protocol" (systemd.io/JOURNAL_NATIVE_PROTOCOL); systemd.exec(5),
JOURNAL_STREAM.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "haagent"
PREFIX = "HAAGENT_"
KEY = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
"""What journald takes as a field's name: at most 64 characters, with the prefix."""
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Source: syslog(3)."""
SEND_BUFFER_BYTES = 8 << 20
"""As systemd's own library asks for: an entry is larger than the default only with a traceback."""
_SO_SNDBUFFORCE = 32
"""Source: Linux, include/uapi/asm-generic/socket.h."""


class Journald:
    """The way to the journal.

    Args:
        constants: Fields of every entry, e.g. {"node": "alpha"}.
        address: Of journald's socket.
    """

    def __init__(self, constants: Mapping[str, str], address: Path = SOCKET) -> None:
        self._address: Final = str(address)
        self._constants = b"".join((_field("SYSLOG_IDENTIFIER", IDENTIFIER), *_fields(constants)))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        for option in (_SO_SNDBUFFORCE, socket.SO_SNDBUF):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, SEND_BUFFER_BYTES)
                break
            except OSError:  # Not privileged: as much as anybody gets.
                continue

    def send(self, event: Mapping[str, Any], line: str) -> bool:
        """Whether the journal has taken it; waits while it is full. Not for the loop."""
        priority = PRIORITIES.get(str(event.get("level")), PRIORITIES["info"])
        told = {key: value for key, value in event.items() if key not in {"level", "time"}}
        entry = b"".join(
            (
                self._constants,
                _field("MESSAGE", line),
                _field("PRIORITY", str(priority)),
                *_fields(told),
            )
        )
        try:
            # Not connected: a journald that was started anew is found again.
            self._socket.sendto(entry, self._address)
        except OSError:  # Away, or the entry is larger than a datagram may be.
            return False
        return True

    def close(self) -> None:
        """Send nothing any more."""
        self._socket.close()


def is_journal(descriptor: int) -> bool:
    """Whether systemd has connected this descriptor with the journal, and nobody changed that."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def _fields(values: Mapping[str, Any]) -> Iterator[bytes]:
    for key, value in values.items():
        name = f"{PREFIX}{key.upper()}"
        if isinstance(value, str | int | float) and KEY.fullmatch(name):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            yield _field(name, text)


def _field(name: str, value: str) -> bytes:
    """As text, or with its length where the value has line breaks."""
    data = value.encode(errors="backslashreplace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data)
