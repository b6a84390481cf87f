# SPDX-License-Identifier: GPL-2.0-or-later
"""A server's second serial line: one line of text for each thing that the bench waits for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CONNECT_LIMIT_S = 20.0
"""QEMU connects within 0.1 s on an idle machine."""
_BACKLOG = 1
_READ_BYTES_MAX = 4096


class Bell:
    """The far end of the line, for one life of a QEMU process, which connects to it."""

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        """Wait at a path of the file system; lines are told from a thread of its own."""
        self._on_line = on_line
        path.unlink(missing_ok=True)
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(path))
        self._door.listen(_BACKLOG)
        self._door.settimeout(CONNECT_LIMIT_S)
        self._line: socket.socket | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    def accept(self) -> None:
        """Return when QEMU has connected.

        Raises:
            OSError: It did not.
        """
        self._line, _ = self._door.accept()
        self._reader.start()

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):  # an accept that waits notices only this
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        if self._line is not None:
            with suppress(OSError):  # QEMU was quicker
                self._line.shutdown(socket.SHUT_RDWR)
            self._reader.join()
            self._line.close()

    def _read(self) -> None:
        assert self._line is not None
        buffer = b""
        with suppress(OSError):  # QEMU was killed
            while received := self._line.recv(_READ_BYTES_MAX):
                *lines, buffer = (buffer + received).split(b"\n")
                for line in lines:
                    self._on_line(line.decode(errors="replace").strip())
