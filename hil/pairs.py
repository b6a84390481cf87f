# SPDX-License-Identifier: GPL-2.0-or-later
"""What every bench's pair is to those who look at it: of namespaces, of virtual servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from hil.client import Client
    from hil.observer import Observer
    from hil.record import Record


class Server(Protocol):
    """One of the two."""

    @property
    def name(self) -> str:
        """As the configuration has it."""

    @property
    def mac(self) -> str:
        """Of its interface in the LAN."""

    @property
    def knock_every_s(self) -> float:
        """The pause between two questions to its agent while that does not answer."""

    def path(self, inside: str) -> Path:
        """Where a file of it is found on this side."""

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on it."""


S = TypeVar("S", bound=Server)


class Pair(Protocol[S]):
    """Both, and those who see what they do."""

    @property
    def machines(self) -> Mapping[str, S]:
        """By name."""

    @property
    def group(self) -> str:
        """Whose address the client uses."""

    @property
    def client(self) -> Client:
        """Who uses the service."""

    @property
    def observer(self) -> Observer:
        """Who sees which hardware address answers."""

    @property
    def power(self) -> Record:
        """What was ordered of the power, and what it was."""

    def other(self, machine: S, /) -> S:
        """The peer of one."""
