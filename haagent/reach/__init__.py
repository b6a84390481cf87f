# SPDX-License-Identifier: GPL-2.0-or-later
"""Am I still connected to the clients? Watched all the time, told for each group when it changes.

Two signs are read, because each misses what the other sees: the carrier of the interfaces that
hold the group's addresses (seen at once, but it says nothing of the network behind the first
switch), and references that answer whenever the network is well (seen in seconds).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from haagent.vip import Vip


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the clients of a group are within reach."""

    reachable: bool = True
    """Judged over some time, so that nothing moves for a shaky cable."""
    doubtful: bool = False
    """The newest sign speaks against it. A gateway that dies is silent for both nodes: the one
    that sees it first must not believe that the other is better off."""
    detail: str = ""
    """Why not, for the operator."""


Change = Callable[[int, Verdict], None]
"""Called on the loop with the group's index, and what is to be said of its clients now."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A third party that answers whenever the network is well, such as the gateway."""

    address: IPv4Address | IPv6Address
    neighbour_on: str = ""
    """Interface on which it is asked for its hardware address: for a gateway that answers no echo
    request, since no host can refuse this and still be used. "": it is asked by echo request."""

    def __str__(self) -> str:
        """As in the configuration, for the operator."""
        return f"{self.address} on {self.neighbour_on}" if self.neighbour_on else str(self.address)


@dataclass(frozen=True, slots=True)
class ReachTimes:
    """How patient the watch is."""

    reference_interval_s: float = 2.0
    """Between two rounds of questions; also the limit of an answer. Seconds."""
    failures: int = 3
    """Rounds in a row without any answer until the clients count as out of reach, at least 2: the
    peer's own round, which may end almost an interval later, comes in between."""
    successes: int = 2
    """Rounds in a row with an answer until they count as within reach again."""
    carrier_hold_s: float = 1.0
    """How long a carrier must be gone, or back, to count. Seconds. A switch that restarts one port
    takes it away for less than that."""


@dataclass(frozen=True, slots=True)
class Clients:
    """Where the clients of one group are met."""

    interfaces: tuple[str, ...]
    """Each must have a carrier."""
    references: tuple[Reference, ...]
    """At least one must answer, if there are any."""


def clients_of(vips: Sequence[Vip], references: Sequence[Reference]) -> Clients:
    """What tells whether the clients of these addresses are within reach.

    References in a subnet of one of the addresses judge alone, where there are such: a gateway
    of the management network that still answers says nothing about the clients' network.
    """
    near = tuple(
        reference
        for reference in references
        if any(reference.address in vip.address.network for vip in vips)
    )
    interfaces = tuple(dict.fromkeys(vip.interface for vip in vips))
    return Clients(interfaces, near or tuple(references))
