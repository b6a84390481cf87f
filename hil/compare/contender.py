# SPDX-License-Identifier: GPL-2.0-or-later
"""What a way to keep a pair available brings to the bench, to be compared with others there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from hil.record import NotSeenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.qemu.guest import Guest
    from hil.qemu.lab import VirtualLab

PACKAGES = (
    "pacemaker",
    "corosync",
    "pacemaker-cli-utils",
    "resource-agents",
    "fence-agents",
    "keepalived",
)
"""Debian's, on the servers' disk beside haagent; each contender starts only its own."""
READY_LIMIT_S = 300.0
"""For a pair that starts under emulation; seconds, when it goes on from a saved state."""
_LOOK_EVERY_S = 1.0


class Contender(Protocol):
    """One of them with one configuration."""

    @property
    def name(self) -> str:
        """One word."""

    @property
    def title(self) -> str:
        """For a table."""

    @property
    def settings(self) -> str:
        """How it is configured, for a reader: what departs from its defaults, and why."""

    @property
    def units(self) -> tuple[str, ...]:
        """The systemd units whose processes it consists of."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Whose versions are to be told."""

    def start(self, lab: VirtualLab) -> None:
        """Configure and start it on two booted servers.

        Raises:
            RuntimeError: A server refused.
            NotSeenError: It does not come up.
        """

    def could_take_over(self, active: Guest, standby: Guest) -> bool:
        """Whether the one has everything, and the other would take it, as they say themselves."""


def ready(lab: VirtualLab, contender: Contender, limit_s: float) -> tuple[Guest, Guest]:
    """Wait until one serves and the other could take over; return both, in this order.

    Raises:
        NotSeenError: It does not come to that.
    """

    def roles() -> tuple[Guest, Guest]:
        answer = lab.client.wait_served(limit_s, after_ns=time.monotonic_ns())
        active = lab.machines[answer["node"]]
        return active, lab.other(active)

    # Who serves may change meanwhile: keepalived's short times do not outlast a slow resumption.
    look(lambda: contender.could_take_over(*roles()), limit_s, f"{contender.name} ready")
    return roles()


def look(wanted: Callable[[], bool], limit_s: float, what: str) -> None:
    """Look again and again until something is so.

    Raises:
        NotSeenError: It was not so within the limit.
    """
    end_s = time.monotonic() + limit_s
    while not wanted():
        if time.monotonic() > end_s:
            raise NotSeenError(f"not so within {limit_s:g} s: {what}")
        # Three products have no one event for this, and each look costs the server a process.
        time.sleep(_LOOK_EVERY_S)
