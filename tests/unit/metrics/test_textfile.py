# SPDX-License-Identifier: GPL-2.0-or-later
"""The metrics' file: whole, readable, and in nobody's way when its disk hangs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from structlog.testing import capture_logs

from haagent.metrics.textfile import CLOSE_S, Textfile

LIMIT_S = 20.0


async def until(true: Callable[[], bool]) -> None:
    """Wait for it."""
    end_s = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end_s
        await asyncio.sleep(0.005)


def test_written_again_and_again(tmp_path: Path) -> None:
    """Each writing replaces the file, for everybody to read; in peace it is removed."""
    path = tmp_path / "haagent.prom"
    texts = iter(range(10_000))

    async def text() -> bytes:
        return b"%d\n" % next(texts)

    async def main() -> None:
        file = Textfile(path, 0.01, text)
        file.open()
        await until(lambda: path.exists() and int(path.read_text()) > 2)
        assert path.stat().st_mode & 0o777 == 0o644
        await file.close()
        await file.close()

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_hangs_delays_nobody(tmp_path: Path) -> None:
    """A write that never ends holds up neither the loop nor the end; nothing more is gathered."""
    path = tmp_path / "haagent.prom"
    os.mkfifo(tmp_path / "haagent.prom.new")  # Opening it waits for a reader, for ever.
    asked = 0

    async def text() -> bytes:
        nonlocal asked
        asked += 1
        return b"text\n"

    async def main() -> float:
        file = Textfile(path, 0.01, text)
        file.open()
        for _ in range(50):
            await asyncio.sleep(0.005)
        began_s = time.monotonic()
        await file.close()
        return time.monotonic() - began_s

    assert asyncio.run(main()) < CLOSE_S + LIMIT_S / 2
    assert asked == 1
    os.close(os.open(tmp_path / "haagent.prom.new", os.O_RDWR | os.O_NONBLOCK))  # Lets it go.


def test_a_folder_that_is_missing_is_said_once(tmp_path: Path) -> None:
    """The log has it, and that it is over."""
    folder = tmp_path / "collector"

    async def text() -> bytes:
        return b"text\n"

    async def main() -> None:
        file = Textfile(folder / "haagent.prom", 0.01, text)
        file.open()
        await until(lambda: bool(troubles()))
        await asyncio.sleep(0.1)
        folder.mkdir()
        await until((folder / "haagent.prom").exists)
        await until(lambda: len(troubles()) > 1)
        await file.close()

    def troubles() -> list[str | None]:
        # A writer that another test had hang may have its say now.
        return [entry["trouble"] for entry in logged if entry["path"].startswith(str(folder))]

    with capture_logs() as logged:
        asyncio.run(main())
    assert troubles() == ["No such file or directory", None]
