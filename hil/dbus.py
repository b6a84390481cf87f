# SPDX-License-Identifier: GPL-2.0-or-later
"""A D-Bus daemon of one's own: the real one, at a private address, gone with its test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.processes import end, spawn

CONFIGURATION = """<busconfig>
  <type>bench</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
  </policy>
</busconfig>
"""
"""Whoever may connect may do everything. Source: dbus-daemon(1)."""


class PrivateBus:
    """A message bus that can die and come back."""

    def __init__(self, folder: Path) -> None:
        """Starts nothing yet; the socket will be in that folder."""
        self._socket = folder / "bus"
        self._configuration = folder / "bus.conf"
        self._configuration.write_text(CONFIGURATION.format(socket=self._socket))
        self._daemon: subprocess.Popen[str] | None = None
        self.address = f"unix:path={self._socket}"

    def start(self) -> None:
        """Start the daemon; returns when it listens."""
        assert self._daemon is None, "it runs"
        command = ["dbus-daemon", f"--config-file={self._configuration}", "--nofork"]
        self._daemon = spawn(
            [*command, "--nopidfile", "--print-address=1"], stderr=subprocess.DEVNULL
        )
        assert self._daemon.stdout is not None
        if not self._daemon.stdout.readline():
            raise RuntimeError("dbus-daemon did not start")

    def kill(self) -> None:
        """End it at once, and with it every connection; harmless when it does not run."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            end(daemon)
            self._socket.unlink(missing_ok=True)


@contextmanager
def private_bus(folder: Path) -> Iterator[PrivateBus]:
    """A running bus with its socket in that folder."""
    bus = PrivateBus(folder)
    bus.start()
    try:
        yield bus
    finally:
        bus.kill()
