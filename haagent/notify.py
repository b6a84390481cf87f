# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells systemd how the agent is: ready, reloading, about to stop, alive, and a line of status.

Started by anything else, it tells nobody. A datagram that cannot be sent at once is dropped: the
next one says more, and the loop never waits for systemd.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

from haagent.pace import Pace

FEEDS_PER_TIMEOUT = 4
"""systemd advises half the timeout; this leaves room for a datagram that was dropped."""
STATUS_CHARACTERS_MAX = 200
"""It is one line of `systemctl status`."""
EXIT_REPLACED = 75
"""The exit status that says: start another agent in my place. Source: sysexits.h, EX_TEMPFAIL."""


class Notifier:
    """The way to systemd, if it was systemd that started this process."""

    def __init__(self, address: str = "", watchdog_ns: int = 0) -> None:
        """Open the way; sends nothing yet.

        Args:
            address: Of systemd's datagram socket, a path or an abstract name after "@"; "" for
                none.
            watchdog_ns: systemd ends the agent when it has heard nothing for so long; 0: never.
        """
        self._socket: socket.socket | None = None
        self._pause_ns = watchdog_ns // FEEDS_PER_TIMEOUT
        self._pace = Pace()
        self._fed_ns: int | None = None
        self._status = ""
        if address:
            kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            self._socket = socket.socket(socket.AF_UNIX, kind)
            with suppress(OSError):
                self._socket.connect("\0" + address[1:] if address[0] == "@" else address)

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Notifier:
        """As systemd says in the environment, of which it is removed: it is not for children."""
        address = environment.pop("NOTIFY_SOCKET", "")
        timeout_us = environment.pop("WATCHDOG_USEC", "")
        process = environment.pop("WATCHDOG_PID", "")
        ours = timeout_us.isdecimal() and process in {"", str(os.getpid())}
        return cls(address, int(timeout_us) * 1000 if ours else 0)

    @property
    def watchdog_ns(self) -> int:
        """The time without a sign of life after which systemd acts; 0 if it does not watch."""
        return self._pause_ns * FEEDS_PER_TIMEOUT

    def ready(self) -> None:
        """The agent does its work: it hears, and answers on its control socket."""
        self._send("READY=1")

    def reloading(self, now_ns: int) -> None:
        """A new configuration is taken in; `ready` says that it was. The time is monotonic."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now_ns // 1000}")

    def stopping(self, budget_s: float) -> None:
        """The agent is about to end, and may take so long: a hand-over is not to be cut short."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(budget_s * 1e6)}")

    def status(self, text: str) -> None:
        """A line for `systemctl status`; the same one again is not sent again."""
        line = " ".join(text.split())[:STATUS_CHARACTERS_MAX]
        if line != self._status and self._send(f"STATUS={line}"):
            self._status = line

    def beat(self, now_ns: int, interval_ns: int) -> None:
        """The loop has turned; call it with every heartbeat.

        Feeds systemd's watchdog, but never for a beat that is itself late: a loop that only
        crawls is as good as one that hangs, and starves like it (S7).

        Args:
            now_ns: Monotonic.
            interval_ns: Between two beats that are on time.
        """
        late_ns = self._pace.late_ns(now_ns, interval_ns)
        if not self._pause_ns or late_ns > self._pause_ns:
            return
        hungry = self._fed_ns is None or now_ns - self._fed_ns >= self._pause_ns
        if hungry and self._send("WATCHDOG=1"):
            self._fed_ns = now_ns

    def close(self) -> None:
        """Tell nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> bool:
        """Whether it is on its way."""
        if self._socket is None:
            return False
        try:
            self._socket.send(text.encode())
        except OSError:  # systemd is full, or being replaced (daemon-reexec).
            return False
        return True
