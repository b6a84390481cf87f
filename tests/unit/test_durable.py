# SPDX-License-Identifier: GPL-2.0-or-later
"""The record survives what disks and power do to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from haagent.core.effects import GroupRecord, Record
from haagent.core.orders import Orders
from haagent.durable import DurableError, DurableRecord, keep

RECORD = Record(
    groups=(
        ("web", GroupRecord(7, held=True, held_term=7)),
        ("db", GroupRecord(3, held=False, held_term=2)),
    ),
    fences_ns=(5, 9),
    orders=Orders(4, True, (False, True), frozenset({"web"}), frozenset({"db", "web"})),  # noqa: FBT003  # a row of fields
)


def test_round_trip(tmp_path: Path) -> None:
    """What was stored is loaded, and known to be of this boot."""
    path = tmp_path / "record.json"
    DurableRecord(path, "boot-1").store(RECORD)
    assert DurableRecord(path, "boot-1").load() == (RECORD, True)


def test_other_boot(tmp_path: Path) -> None:
    """After a reboot the record is still there, but nothing of it may be taken up."""
    path = tmp_path / "record.json"
    DurableRecord(path, "boot-1").store(RECORD)
    assert DurableRecord(path, "boot-2").load() == (RECORD, False)


def test_missing(tmp_path: Path) -> None:
    """No record is an empty one."""
    assert DurableRecord(tmp_path / "record.json", "boot").load() == (Record(), False)


def test_torn_anywhere(tmp_path: Path) -> None:
    """A record cut off at any byte, or with any byte changed, is whole or counts as none."""
    path = tmp_path / "record.json"
    durable = DurableRecord(path, "boot")
    durable.store(RECORD)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at])
        assert durable.load() == (Record(), False)
        changed = bytearray(whole)
        changed[at] ^= 0x01
        path.write_bytes(changed)
        assert durable.load() in ((Record(), False), (RECORD, False))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    """Whatever the file holds, loading it gives a record."""
    path = tmp_path / "record.json"
    path.write_bytes(content)
    assert DurableRecord(path, "boot").load() == (Record(), False)


def test_unwritable_is_a_named_error(tmp_path: Path) -> None:
    """A directory that went away is a DurableError that names the file, not a crash."""
    with pytest.raises(DurableError, match=r"record\.json"):
        DurableRecord(tmp_path / "gone" / "record.json", "boot").store(RECORD)


FULL_DISK = """
import sys
from pathlib import Path
from haagent.core.effects import Record
from haagent.durable import DurableError, DurableRecord
directory = Path(sys.argv[1])
durable = DurableRecord(directory / "record.json", "boot")
durable.store(Record(fences_ns=(1,)))
try:
    (directory / "ballast").write_bytes(bytes(1 << 20))
except OSError:
    pass
try:
    durable.store(Record(fences_ns=(2,)))
except DurableError as error:
    print(error)
print(durable.load()[0].fences_ns)
"""


def test_full_disk_keeps_the_old_record(tmp_path: Path) -> None:
    """On a full disk storing is refused by name, and the record before is still whole."""
    mount = 'mount -t tmpfs -o size=8k tmpfs "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, "sh", tmp_path, sys.executable, FULL_DISK],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    first, second = done.stdout.splitlines()
    assert "No space left" in first
    assert second == "(1,)"


def test_files_of_others_are_kept_whatever_lies_beside_them(tmp_path: Path) -> None:
    """A pipe, a link to nowhere and a folder are no files: nobody waits for them."""
    (tmp_path / "haagent.toml").write_text("x")
    (tmp_path / "key.1").symlink_to("haagent.toml")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    keep(tmp_path)


def test_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Never taken for kept."""
    with pytest.raises(DurableError, match="nowhere: No such file"):
        keep(tmp_path / "nowhere")
