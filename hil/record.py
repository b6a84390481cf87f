# SPDX-License-Identifier: GPL-2.0-or-later
"""What was seen, in order: entries with a monotonic time, and a way to wait for one."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hil.processes import end, spawn

Entry = dict[str, Any]
"""One thing seen; `at_ns` is CLOCK_MONOTONIC, which all namespaces share."""


class NotSeenError(AssertionError):
    """Something that had to happen did not, within its limit."""


class Record:
    """A growing list of entries, kept in a JSON-lines file as well; safe between threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._entries: list[Entry] = []
        self._grown = threading.Condition()

    def add(self, entry: Entry) -> None:
        """Append an entry, with the time of now if it has none."""
        entry.setdefault("at_ns", time.monotonic_ns())
        with self._grown:
            self._entries.append(entry)
            self._file.write(json.dumps(entry) + "\n")
            self._grown.notify_all()

    def since(self, after_ns: int = 0) -> list[Entry]:
        """Entries that are later than a time, oldest first."""
        with self._grown:
            return [entry for entry in self._entries if entry["at_ns"] > after_ns]

    def wait(
        self, wanted: Callable[[Entry], bool], limit_s: float, *, after_ns: int = 0, what: str = ""
    ) -> Entry:
        """Return the first wanted entry later than a time; wait for it if need be.

        Raises:
            NotSeenError: There was none within the limit.
        """
        end_s = time.monotonic() + limit_s
        checked = 0
        with self._grown:
            while True:
                for entry in self._entries[checked:]:
                    if entry["at_ns"] > after_ns and wanted(entry):
                        return entry
                checked = len(self._entries)
                if not self._grown.wait(end_s - time.monotonic()) and time.monotonic() >= end_s:
                    raise NotSeenError(f"not seen within {limit_s:g} s: {what or wanted}")

    def close(self) -> None:
        """Close the file; the entries stay readable."""
        self._file.close()


class ReportingProcess:
    """A process of ours that writes an entry a line; they all go into its record."""

    def __init__(self, command: Sequence[str], record: Path, errors: Path) -> None:
        self.record = Record(record)
        with errors.open("ab") as sink:
            self._process: subprocess.Popen[str] = spawn(command, stderr=sink)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the process, as we number it."""
        return self._process.pid

    def tell(self, line: str) -> None:
        """Write a line to its standard input.

        Raises:
            OSError: It has ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def wait_end(self) -> None:
        """Return when it has ended and everything it wrote is in the record."""
        self._process.wait()
        self._reader.join()

    def close(self) -> None:
        """Kill it, reap it, keep its record."""
        self._process.kill()
        self.wait_end()
        end(self._process)
        self.record.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.record.add(json.loads(line))
