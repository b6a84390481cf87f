# SPDX-License-Identifier: GPL-2.0-or-later
r"""One segment of a recording: bytes on the disk that are whole, or known not to be.

    offset size
    0      20   "haagent black box 1\n": the form of everything below
    20     ...  blocks

    block: 4 "BLCK" | 4 bytes of payload, n | 4 CRC-32 of those four and the payload | n payload

All integers are big-endian. The payloads of a segment are one zlib stream, flushed to a byte after
each block; in it are lines of JSON. The first line is the segment's header, an object; each line
after it is an entry (see entries and codec). Whatever does not check ends the segment: what stands
before it is good, what stands behind it is not looked at. A file may hold several segments.

Source: RFC 1950 (zlib), RFC 8259 (JSON).
"""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haagent.blackbox import RecordingError

MAGIC = b"haagent black box 1\n"
TEXT_BYTES_MAX = 256 << 20
"""Of one segment, unpacked: a hundred times what is ever written; a larger one is an attack."""
LEVEL = 6
"""Level 9 saves 1 % of the bytes and costs 10 % more time; level 1 writes a third more."""
_BLOCK = struct.Struct("!4sII")
_MARK = b"BLCK"


class SegmentWriter:
    """Appends to one new file. Whoever calls it does so from one thread, for it waits for the disk.

    Args:
        path: The file, which must not exist.
        header: JSON object that stands first.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path, header: dict[str, object]) -> None:
        self.path = path
        self.pending = 0
        """Entries added since the last write."""
        self._packer = zlib.compressobj(LEVEL)
        self._parts: list[bytes] = [self._packer.compress(_line(json.dumps(header)))]
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        self.size = 0
        """Bytes in the file."""
        try:
            self._put(MAGIC)
        except OSError:
            self.abandon()
            raise

    def add(self, text: str) -> None:
        """Take one entry, as JSON; it is in the file after the next write()."""
        self.pending += 1
        self._parts.append(self._packer.compress(_line(text)))

    def write(self) -> None:
        """Put what was added into the file, as one block.

        Raises:
            OSError: the block is not in the file, and the segment is to be closed.
        """
        self._parts.append(self._packer.flush(zlib.Z_SYNC_FLUSH))
        payload = b"".join(self._parts)
        length = len(payload).to_bytes(4)
        checksum = zlib.crc32(payload, zlib.crc32(length))
        self._put(_BLOCK.pack(_MARK, len(payload), checksum) + payload)
        self._parts, self.pending = [], 0

    def sync(self) -> None:
        """Return when a power cut can no longer undo what was written.

        Raises:
            OSError: it may or may not.
        """
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Write nothing more.

        Raises:
            OSError: the disk took less than it had promised.
        """
        os.close(self._descriptor)

    def abandon(self) -> None:
        """Close it whatever the disk says; what was written before stays."""
        with suppress(OSError):
            os.close(self._descriptor)

    def _put(self, data: bytes) -> None:
        done = os.write(self._descriptor, data)
        if done < len(data):
            os.ftruncate(self._descriptor, self.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += done


def _line(text: str) -> bytes:
    return text.encode(errors="replace") + b"\n"


@dataclass(frozen=True, slots=True)
class RawSegment:
    """A segment as it stands in a file."""

    header: dict[str, Any]
    lines: list[Any]
    """Parsed JSON of each entry."""
    torn: str
    """Why nothing more can be read of it, "" if it ends well."""


def read_segments(data: bytes) -> Iterator[RawSegment]:
    """Every segment in a file's bytes, each as far as it is whole.

    Raises:
        RecordingError: There is none in it.
    """
    at = data.find(MAGIC)
    if at < 0:
        raise RecordingError("no recording of haagent, or of a release with another form")
    while at >= 0:
        following = data.find(MAGIC, at + 1)
        end = len(data) if following < 0 else following
        segment = _segment(data[at + len(MAGIC) : end])
        if segment is not None:
            yield segment
        at = following


def _segment(data: bytes) -> RawSegment | None:
    """None if not even its header is whole."""
    text, torn = _unpack(data)
    lines: list[Any] = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except (ValueError, RecursionError):
            torn = "a line is no JSON"
            break
    if not lines or not isinstance(lines[0], dict):
        return None
    return RawSegment(lines[0], lines[1:], torn)


def _unpack(data: bytes) -> tuple[bytes, str]:
    """The text of all blocks up to the first one that does not check, and why it does not."""
    unpacker = zlib.decompressobj()
    texts: list[bytes] = []
    at = 0
    while at < len(data):
        header = data[at : at + _BLOCK.size]
        if len(header) < _BLOCK.size:
            return b"".join(texts), "it ends within a block's header"
        mark, length, checksum = _BLOCK.unpack(header)
        payload = data[at + _BLOCK.size : at + _BLOCK.size + length]
        if mark != _MARK or zlib.crc32(payload, zlib.crc32(header[4:8])) != checksum:
            return b"".join(texts), "a block is torn"
        room = TEXT_BYTES_MAX - sum(map(len, texts))
        try:
            texts.append(unpacker.decompress(payload, room))
        except zlib.error as error:
            return b"".join(texts), f"a block cannot be unpacked: {error}"
        if unpacker.unconsumed_tail:
            return b"".join(texts), "it is too long"
        at += _BLOCK.size + length
    return b"".join(texts), ""
