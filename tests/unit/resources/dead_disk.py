# SPDX-License-Identifier: GPL-2.0-or-later
"""A file system whose disk does not answer: whoever touches a file in it cannot even be killed.

FUSE is used for it: a request that was handed to the file system's server is waited for in
uninterruptible sleep, as one to a dead disk or NFS server is; and the server here never answers.
Closing its connection ends all of it, so that a test leaves nothing behind.

Source: Linux, include/uapi/linux/fuse.h; fs/fuse/dev.c, request_wait_answer().
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

FUSE_INIT = 26
REQUEST_BYTES = 1 << 17
IN_HEADER = struct.Struct("=IIQ")
"""Its beginning: length, operation, number of the request."""
OUT_HEADER = struct.Struct("=IiQ")
INIT_ANSWER = struct.pack("=IIIIHHI", 7, 31, 4096, 0, 16, 12, 4096) + bytes(40)
MNT_FORCE, MNT_DETACH = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)


class DeadDisk:
    """A mounted one."""

    def __init__(self, path: Path, connection: int) -> None:
        self.path = path
        self.touched = threading.Event()
        """Somebody waits for an answer."""
        self._connection = connection
        self._server = threading.Thread(target=self._serve)
        self._server.start()

    def revive(self) -> None:
        """Everybody who waits gets an error now, and goes on."""
        _libc.umount2(bytes(self.path), MNT_FORCE)
        self._server.join()
        _libc.umount2(bytes(self.path), MNT_DETACH)

    def _serve(self) -> None:
        """Agree on the protocol, then answer nothing, until the mount is ended."""
        with suppress(OSError):
            while True:
                request = os.read(self._connection, REQUEST_BYTES)
                _, operation, number = IN_HEADER.unpack_from(request)
                if operation == FUSE_INIT:
                    length = OUT_HEADER.size + len(INIT_ANSWER)
                    os.write(self._connection, OUT_HEADER.pack(length, 0, number) + INIT_ANSWER)
                else:
                    self.touched.set()


@contextmanager
def dead_disk(path: Path) -> Iterator[DeadDisk]:
    """Mount one at an empty directory; the test is skipped where that is not allowed."""
    try:
        connection = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"no FUSE: {error.strerror}")
    options = f"fd={connection},rootmode=40000,user_id=0,group_id=0"
    if _libc.mount(b"dead", bytes(path), b"fuse", 0, options.encode()) != 0:
        os.close(connection)
        pytest.skip(f"no FUSE mount: {os.strerror(ctypes.get_errno())}")
    disk = DeadDisk(path, connection)
    try:
        yield disk
    finally:
        disk.revive()
        os.close(connection)
