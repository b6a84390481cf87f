# SPDX-License-Identifier: GPL-2.0-or-later
"""A server's second serial line: one line of text for each thing that the bench waits for."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hil.qemu.door import Door

_READ_BYTES_MAX = 4096


class Bell:
    """The far end of the line, for one life of a QEMU process, which connects to it."""

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        """Wait at a path of the file system; lines are told from a thread of its own."""
        self._on_line = on_line
        self._door = Door(path, self._read)

    def accept(self) -> None:
        """Return when QEMU has connected.

        Raises:
            OSError: It did not.
        """
        self._door.accept()

    def close(self) -> None:
        """Hang up."""
        self._door.close()

    def _read(self, line: socket.socket) -> None:
        buffer = b""
        with suppress(OSError):  # QEMU was killed
            while received := line.recv(_READ_BYTES_MAX):
                *lines, buffer = (buffer + received).split(b"\n")
                for one in lines:
                    self._on_line(one.decode(errors="replace").strip())
