# SPDX-License-Identifier: GPL-2.0-or-later
"""A segment is whole, or known not to be: at whichever byte the power went."""

from __future__ import annotations

import json
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haagent.blackbox import RecordingError
from haagent.blackbox.segment import MAGIC, RawSegment, SegmentWriter, read_segments

HEADER: dict[str, object] = {"number": 1}
BLOCKS, PER_BLOCK = 4, 3


def written(path: Path) -> tuple[bytes, list[list[object]], list[int]]:
    """A segment's bytes, its entries, and where its blocks end."""
    writer = SegmentWriter(path, HEADER)
    entries: list[list[object]] = []
    ends = []
    for block in range(BLOCKS):
        for number in range(PER_BLOCK):
            entries.append(["Noted", block * PER_BLOCK + number, "ä" * block, {}])
            writer.add(json.dumps(entries[-1]))
        writer.write()
        ends.append(writer.size)
    writer.close()
    return path.read_bytes(), entries, ends


def only(data: bytes) -> RawSegment | None:
    """The one segment in there, None if nothing of it can be read."""
    try:
        found = list(read_segments(data))
    except RecordingError:
        return None
    assert len(found) <= 1
    return found[0] if found else None


def test_a_segment_comes_back(tmp_path: Path) -> None:
    """What was written is read, and ends well."""
    data, entries, _ = written(tmp_path / "1.box")
    assert only(data) == RawSegment(HEADER, entries, "")


def test_power_cut_at_every_byte(tmp_path: Path) -> None:
    """Cut anywhere, all blocks before are read, nothing else, and the reader knows of the cut."""
    data, entries, ends = written(tmp_path / "1.box")
    for length in range(len(data)):
        found = only(data[:length])
        whole = sum(end <= length for end in ends)
        if not whole:
            assert found is None
            continue
        assert found is not None
        assert found.lines == entries[: whole * PER_BLOCK]
        assert bool(found.torn) == (length not in ends), length


def test_every_byte_turned(tmp_path: Path) -> None:
    """No byte can rot unseen: what is read is always a beginning of what was written."""
    data, entries, _ = written(tmp_path / "1.box")
    for place in range(len(data)):
        rotten = bytearray(data)
        rotten[place] ^= 0xFF
        found = only(bytes(rotten))
        if found is not None:
            assert found.torn, place
            assert found.header == HEADER
            assert found.lines == entries[: len(found.lines)]
            assert len(found.lines) < len(entries)


def test_zeros_where_the_disk_lost_it(tmp_path: Path) -> None:
    """A file that was made longer before its bytes came, as file systems do, is torn there."""
    data, entries, ends = written(tmp_path / "1.box")
    for end in ends:
        found = only(data[:end] + bytes(len(data) - end + 100))
        assert found is not None
        assert found.torn
        assert found.lines == entries[: (ends.index(end) + 1) * PER_BLOCK]


def test_segments_one_after_the_other(tmp_path: Path) -> None:
    """`cat` of segments is a recording; a torn one hides none of those behind it."""
    data, entries, ends = written(tmp_path / "1.box")
    found = list(read_segments(data[: ends[0] + 5] + data + b"rubbish"))
    assert [len(one.lines) for one in found] == [PER_BLOCK, len(entries)]
    assert [bool(one.torn) for one in found] == [True, True]


def test_a_full_disk_leaves_whole_blocks(tmp_path: Path) -> None:
    """A block for which there is no room fails as a whole, and what was there stays."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", tmp_path], check=True)
    try:
        path = tmp_path / "1.box"
        writer = SegmentWriter(path, HEADER)
        writer.add('["first"]')
        writer.write()
        writer.add(json.dumps(["second", [hash(str(number)) for number in range(1000)]]))
        with pytest.raises(OSError, match="No space left"):
            writer.write()
        writer.abandon()
        assert only(path.read_bytes()) == RawSegment(HEADER, [["first"]], "")
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(rubbish: bytes) -> None:
    """Nothing in a file can make the reader fail in another way than it says."""
    assert only(rubbish) is None
    found = only(MAGIC + rubbish)
    assert found is None or found.torn


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that unpacks to more than one ever does is given up."""
    monkeypatch.setattr("haagent.blackbox.segment.TEXT_BYTES_MAX", 10_000)
    writer = SegmentWriter(tmp_path / "1.box", HEADER)
    writer.add(json.dumps(["x" * 1_000_000]))
    writer.write()
    writer.close()
    found = only((tmp_path / "1.box").read_bytes())
    assert found is not None
    assert (found.lines, found.torn) == ([], "a line is no JSON")
    assert len(zlib.compress(b"x" * 1_000_000)) < 10_000
