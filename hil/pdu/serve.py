# SPDX-License-Identifier: GPL-2.0-or-later
"""An emulated PDU as a process: `python -m hil.pdu.cyberpower PATH [--user U --password P]`.

It says every outlet that moves on stdout, and ends with its stdin or on SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Protocol

from hil.pdu.outlets import OnChange
from hil.pdu.terminal import Terminal


class Make(Protocol):
    """Whatever makes an emulator."""

    def __call__(
        self, path: Path, *, account: tuple[str, str], outlets: int, on_change: OnChange
    ) -> Terminal:
        """One that is not plugged in yet."""
        ...


def serve(make: Make) -> None:
    """Emulate until stdin ends."""
    parser = argparse.ArgumentParser(description=make.__doc__)
    parser.add_argument("path", type=Path, help="where the serial line appears")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="", help="of an emulator: no secret")
    parser.add_argument("--outlets", type=int, default=8)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with make(
        given.path,
        account=(given.user, given.password),
        outlets=given.outlets,
        on_change=_tell,
    ):
        _say("ready")
        sys.stdin.read()


def _tell(outlet: int, on: bool) -> None:  # noqa: FBT001  # the form of OnChange
    _say(f"outlet {outlet} {'on' if on else 'off'}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
