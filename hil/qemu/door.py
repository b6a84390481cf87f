# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a QEMU process comes in: it connects to us, so nobody has to look whether it is there."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CONNECT_LIMIT_S = 20.0
"""QEMU connects within 0.1 s on an idle machine."""
_BACKLOG = 1


class Door:
    """A path of the file system to which one process connects, once."""

    def __init__(self, path: Path, read: Callable[[socket.socket], None]) -> None:
        """Open it; `read` takes what comes in, in a thread of its own, until the line ends."""
        self._read = read
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(_BACKLOG)
        self._listener.settimeout(CONNECT_LIMIT_S)
        self._line: socket.socket | None = None
        self._reader: threading.Thread | None = None
        self._is_shut = False
        self._turning = threading.Lock()
        """One may shut it while another waits for QEMU to come."""

    def accept(self) -> socket.socket:
        """Return the line when QEMU has connected.

        Raises:
            OSError: It did not, or the door was shut before.
        """
        line, _ = self._listener.accept()
        with self._turning:
            if self._is_shut:
                line.close()
                raise OSError(errno.ESHUTDOWN, os.strerror(errno.ESHUTDOWN))
            self._line = line
            self._reader = threading.Thread(target=self._read, args=(line,), daemon=True)
            self._reader.start()
        return line

    def close(self) -> None:
        """Shut it; returns when nobody reads any more."""
        with self._turning:
            self._is_shut = True
        with suppress(OSError):  # an accept that waits notices only this
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._line is not None and self._reader is not None:
            with suppress(OSError):  # QEMU was quicker
                self._line.shutdown(socket.SHUT_RDWR)  # a reader that waits notices only this
            self._reader.join()
            self._line.close()
