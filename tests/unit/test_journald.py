# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal gets every event with its fields, and can select by them."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from haagent import log
from haagent.config.settings import LogSettings
from haagent.journald import Journald, is_journal

LIMIT_S = 20.0
OWN_RUN = """
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
exec /lib/systemd/systemd-journald
"""
CONSTANTS = {"cluster": "shop", "node": "alpha"}


class Journal:
    """A real journald with a /run of its own."""

    def __init__(self, pid: int) -> None:
        self._run = Path(f"/proc/{pid}/root/run")
        self.socket = self._run / "systemd/journal/socket"

    def select(self, *matches: str, count: int) -> list[dict[str, Any]]:
        """What `journalctl` finds by these, as soon as there are so many entries."""
        command = ["journalctl", "-D", str(self._run / "log/journal"), "-o", "json", *matches]
        end_s = time.monotonic() + LIMIT_S
        while True:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            found = [json.loads(line) for line in done.stdout.splitlines()]
            if len(found) >= count:
                return found
            assert time.monotonic() < end_s, f"{len(found)} entries; {done.stderr}"


@pytest.fixture(scope="module")
def journal() -> Iterator[Journal]:
    """It runs for as long as the tests."""
    if os.geteuid() != 0:
        pytest.fail("a journald of its own needs root")
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", OWN_RUN]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            found = Journal(process.pid)
            end_s = time.monotonic() + LIMIT_S
            while not found.socket.exists() or "/run" not in _mounts(process.pid):
                assert time.monotonic() < end_s, "journald does not run"
                time.sleep(0.01)
            yield found
        finally:
            process.terminate()


def _mounts(pid: int) -> set[str]:
    """What is mounted for the process, so that its /run is not ours."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return {line.split()[4] for line in lines}


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The standard library's logging as it was."""
    before = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = before


def test_journalctl_selects_by_group(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stderr is the journal's: entries go there whole, and HAAGENT_GROUP=db finds those of db."""
    read_end, write_end = os.pipe()
    status = os.fstat(write_end)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    monkeypatch.setattr(log, "Journald", partial(Journald, address=journal.socket))
    writer = log.setup(LogSettings(), write_end, CONSTANTS)
    logger = structlog.get_logger()
    logger.info("group.changed", group="db", term=7)
    logger.info("group.changed", group="web", term=8)
    logger.warning("resource.failed", group="db", of="postgresql", detail="two\nlines")
    writer.close()
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.read() == b"", "not to stderr as well"
    first, second = journal.select("HAAGENT_GROUP=db", count=2)
    assert json.loads(first["MESSAGE"])["term"] == 7
    assert (first["HAAGENT_TERM"], first["PRIORITY"]) == ("7", "6")
    assert (first["HAAGENT_NODE"], first["HAAGENT_CLUSTER"]) == ("alpha", "shop")
    assert first["SYSLOG_IDENTIFIER"] == "haagent"
    assert (second["PRIORITY"], second["HAAGENT_DETAIL"]) == ("4", "two\nlines")
    assert len(journal.select("HAAGENT_EVENT=group.changed", count=2)) == 2


def test_what_cannot_be_a_field_is_in_the_line_alone(journal: Journal) -> None:
    """Lists, secrets, nothing, and names that journald does not take; truths are words."""
    event = {"event": "odd", "reasons": ["a"], "none": None, "k" * 60: 1, "a-b": 2, "ok": True}
    way = Journald({}, journal.socket)
    assert way.send(event, "line")
    way.close()
    (entry,) = journal.select("HAAGENT_EVENT=odd", count=1)
    fields = {key for key in entry if key.startswith("HAAGENT_")}
    assert fields == {"HAAGENT_EVENT", "HAAGENT_OK"}
    assert entry["HAAGENT_OK"] == "true"


@pytest.mark.parametrize("gone", [True, False], ids=["away", "too long"])
def test_what_the_journal_does_not_take_goes_to_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, gone: bool
) -> None:
    """No journald, or an entry that no datagram carries: the line is not lost."""
    address = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        if not gone:
            listener.bind(str(address))
        read_end, write_end = os.pipe()
        status = os.fstat(write_end)
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr(log, "Journald", partial(Journald, address=address))
        writer = log.setup(LogSettings(), write_end, CONSTANTS)
        detail = "x" if gone else "x" * (16 << 20)
        structlog.get_logger().info("pair.changed", detail=detail)
        with os.fdopen(read_end, "rb") as pipe:
            event = json.loads(pipe.readline())
        assert event["detail"] == detail
        writer.close()
        os.close(write_end)
        assert writer.dropped == 0


def test_only_a_stderr_that_is_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that was started by a service has its variable, and another stderr."""
    read_end, write_end = os.pipe()
    status = os.fstat(write_end)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    assert is_journal(write_end)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + 1}")
    assert not is_journal(write_end)
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not is_journal(write_end)
    os.close(read_end)
    os.close(write_end)
    assert not is_journal(write_end)
