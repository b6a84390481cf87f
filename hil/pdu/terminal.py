# SPDX-License-Identifier: GPL-2.0-or-later
"""A serial adapter that is a pseudo-terminal: paced, noisy, pulled out and plugged in again.

The path is a symbolic link to the terminal of the moment, as udev makes one. We keep the other
side open ourselves, so that the terminal outlives whoever opens and closes it.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import random
import select
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

BITS_PER_CHARACTER = 10
"""8N1: a start bit, eight bits, a stop bit."""
CHUNK = 16
"""Characters that go out at once; at 9600 baud every 17 ms, as a UART's FIFO does."""
STOP_LIMIT_S = 10.0


@dataclass
class LineFaults:
    """What is wrong with the line; may be changed at any time."""

    noise: float = 0.0
    """Chance of each character, said or heard, to become another one."""
    mute: bool = False
    """Nothing is said, although all is heard and carried out."""
    deaf: bool = False
    """Nothing is heard."""
    lose: int | None = None
    """So many characters from now on are heard, then one is lost, once."""
    cut_after: int | None = None
    """So many characters are said from now on, then nothing until this is None again."""
    pull_after: int | None = None
    """So many characters are said from now on, then the adapter is pulled out, once."""


class Terminal:
    """A pseudo-terminal in a thread of its own, from `with` to its end."""

    def __init__(self, path: Path, *, baud: int = 9600, seed: int = 1) -> None:
        self.path = path
        self.line = LineFaults()
        self._character_s = BITS_PER_CHARACTER / baud
        self._random = random.Random(seed)  # noqa: S311  # noise, reproducible
        self._fds: tuple[int, int] | None = None
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_number = 0
        self._stopping = threading.Event()
        self._requests: list[tuple[Callable[[], None], threading.Event]] = []
        self._woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"pdu {path.name}")

    def __enter__(self) -> Self:
        self._plug()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        os.write(self._wake, b"x")
        self._thread.join(STOP_LIMIT_S)
        assert not self._thread.is_alive(), "the emulator does not end"
        self._pull()
        os.close(self._woken)
        os.close(self._wake)

    def pull(self) -> None:
        """Pull the adapter out: whoever has it open gets errors, the path is gone."""
        self._in_thread(self._pull)

    def plug(self) -> None:
        """Plug it in again: the path is back, as a new device."""
        self._in_thread(self._plug)

    def babble(self, data: bytes) -> None:
        """Say something out of turn."""
        self._in_thread(lambda: self.say(data))

    def babble_on(self, *, pause_s: float = 0.01) -> None:
        """Say garbage without end."""

        def babble() -> None:
            self.say(b"\x00U\xaa#~" * 8)
            self.later(pause_s, babble)

        self._in_thread(babble)

    def say(self, data: bytes) -> None:
        """Send to the client, as fast as the line is."""
        for start in range(0, len(data), CHUNK):
            chunk = bytes(map(self._noisy, data[start : start + CHUNK]))
            for limit in (self.line.cut_after, self.line.pull_after):
                if limit is not None:
                    chunk = chunk[:limit]
            if self._stopping.wait(len(chunk) * self._character_s) or self._fds is None:
                return
            if not self.line.mute:
                with contextlib.suppress(BlockingIOError):  # Nobody reads; a UART drops it, too.
                    os.write(self._fds[0], chunk)
            if self.line.cut_after is not None:
                self.line.cut_after -= len(chunk)
            if self.line.pull_after is not None:
                self.line.pull_after -= len(chunk)
                if self.line.pull_after == 0:
                    self.line.pull_after = None
                    self._pull()

    def hear(self, character: int) -> None:
        """Take one character that the client sent."""
        raise NotImplementedError

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Have something happen after a while, in the emulator's thread."""
        self._timer_number += 1
        due_s = time.monotonic() + delay_s
        heapq.heappush(self._timers, (due_s, self._timer_number, action))

    def _noisy(self, character: int) -> int:
        if self.line.noise and self._random.random() < self.line.noise:
            return self._random.randrange(256)
        return character

    def _run(self) -> None:
        while not self._stopping.is_set():
            fds = [self._woken] if self._fds is None else [self._woken, self._fds[0]]
            wait_s = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            ready, _, _ = select.select(fds, [], [], wait_s)
            if self._woken in ready:
                os.read(self._woken, 64)
                self._serve_requests()
            elif ready:
                self._take(os.read(fds[1], 256))
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def _take(self, data: bytes) -> None:
        for character in data:
            if self._stopping.wait(self._character_s):
                return
            if self.line.lose is not None:
                self.line.lose -= 1
                if self.line.lose < 0:
                    self.line.lose = None
                    continue
            if not self.line.deaf:
                self.hear(self._noisy(character))

    def _serve_requests(self) -> None:
        while self._requests:
            action, done = self._requests.pop(0)
            action()
            done.set()

    def _in_thread(self, action: Callable[[], None]) -> None:
        done = threading.Event()
        self._requests.append((action, done))
        os.write(self._wake, b"x")
        assert done.wait(STOP_LIMIT_S), "the emulator is busy"

    def _plug(self) -> None:
        if self._fds is not None:
            return
        self._fds = os.openpty()
        os.set_blocking(self._fds[0], False)
        tty.setraw(self._fds[1])
        new = self.path.with_name(f"{self.path.name}.new")
        new.symlink_to(os.ttyname(self._fds[1]))
        new.replace(self.path)

    def _pull(self) -> None:
        fds, self._fds = self._fds, None
        if fds is not None:
            self.path.unlink()
            for fd in fds:
                os.close(fd)
