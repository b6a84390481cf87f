# SPDX-License-Identifier: GPL-2.0-or-later
"""How a command ends: one meaning for each number, whatever was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `haagent fence` and `python -m fencing`."""

    DONE = 0
    ATTENTION = 1
    BLOCKED = 2
    NOT_ORDERED = 3
    UNPROVED = 4
    STILL_OFF = 5
    USAGE = 64
    """Not the 2 of option parsers, which would look like BLOCKED. Source: sysexits.h, EX_USAGE."""
    CONFIGURATION = 78
    """As of every command of haagent. Source: sysexits.h, EX_CONFIG."""
    INTERRUPTED = 130
    """What a shell shows for SIGINT."""


MEANINGS: Mapping[Exit, str] = {
    Exit.DONE: "done and read back; status: every device was read; test: ready",
    Exit.ATTENTION: "done, or usable, but something needs a person",
    Exit.BLOCKED: "status, test: a device cannot be counted on",
    Exit.NOT_ORDERED: "nothing was ordered",
    Exit.UNPROVED: "not proved; an order may have been carried out, now or later",
    Exit.STILL_OFF: "cycle: proved off, but not read on again",
    Exit.USAGE: "wrong usage",
    Exit.CONFIGURATION: "the configuration is refused",
    Exit.INTERRUPTED: "interrupted; the last line says what may still happen",
}
"""What each number says, in the words of the help and of docs/fencing-console.md."""


def table() -> str:
    """All of them in one paragraph, for a help page."""
    return "Exit codes: " + ". ".join(f"{code:d} {text}" for code, text in MEANINGS.items()) + "."


class RefusedError(Exception):
    """The command is not carried out, nothing was ordered; every line says one reason."""

    def __init__(self, code: Exit, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.code = code
        self.lines = lines
