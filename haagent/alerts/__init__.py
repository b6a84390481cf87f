# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells people, or their systems, that somebody must look: on raise, on clear, and what happened.

standing: which alarms stand, and which of them are news. occurrences: what happened, in words.
courier: a bounded queue for each receiver, with retries. webhook: a program of its own that posts.
desk: all of it together, looked at once a second. None of it can hold up the agent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Severity(IntEnum):
    """How much it matters; the name in lower case is what is written."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2
    """A takeover would not work, or a group is active nowhere: what `status` calls critical."""

    @property
    def word(self) -> str:
        """As in the configuration."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to post. Secrets are read by the program that posts, each time."""

    url: str = ""
    """"" if it is itself a secret, in `url_file`."""
    url_file: str = ""
    authorization_file: str = ""
    """Its line is the value of the Authorization field; "" for none."""
    folder: Path = Path()
    """At which the paths of these files begin."""
    ca_file: Path | None = None
    """None: the system's authorities."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """One [[alert]]."""

    name: str
    target: tuple[str, ...] | Webhook
    """A command, or where to post."""
    severity: Severity = Severity.WARNING
    """The least that it is told."""
    after_s: float = 5.0
    """An alarm that comes or goes is news when it has lasted so long."""
    timeout_s: float = 30.0
    """Of one try."""


def undelivered_code(alert: str) -> str:
    """Of the alarm about an [[alert]] that does not get through."""
    return f"alert_{alert}"
