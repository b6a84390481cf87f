# SPDX-License-Identifier: GPL-2.0-or-later
"""What shall be done: values, carried out by the edges, answered by events (S4)."""

from __future__ import annotations

from dataclasses import dataclass, field

from haagent.core.events import StopKind
from haagent.core.orders import Orders
from haagent.core.wire import Body


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """What a node must remember of a group across a restart."""

    term: int
    held: bool
    """The node held the group in this term and has not released it."""
    held_term: int
    """The last term in which this node held the group."""
    peer_term: int = 0
    """The last term in which the peer was heard to hold it."""
    peer_position: int = -1
    """How fresh its data was then, as far as it told."""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything durable. Times are monotonic ns of the boot that wrote them."""

    groups: tuple[tuple[str, GroupRecord], ...] = ()
    fences_ns: tuple[int, ...] = ()
    orders: Orders = field(default_factory=Orders)
    owes_power: bool = False
    """The peer's power-off was ordered here, and it has not been given back."""


@dataclass(frozen=True, slots=True)
class Beat:
    """Send this on every link now."""

    body: Body


@dataclass(frozen=True, slots=True)
class GatherEvidence:
    """Ask references, service probes, virtual addresses and witnesses; answer soon."""

    attempt: int
    terms: tuple[int, ...] = ()
    """The highest term known of each group, by which the witnesses are asked for their consent to
    a takeover; (): they are not asked."""


@dataclass(frozen=True, slots=True)
class Fence:
    """Power the peer off and read it back. Dangerous."""

    attempt: int


@dataclass(frozen=True, slots=True)
class AbandonFence:
    """Stop that attempt; nothing of it may act later from this machine."""

    attempt: int


@dataclass(frozen=True, slots=True)
class PowerOn:
    """Give the peer its power back. Dangerous."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Persist:
    """Make the record durable."""

    attempt: int
    record: Record


@dataclass(frozen=True, slots=True)
class ProbeVip:
    """Does anybody answer for the group's addresses from now on?"""

    group: int
    attempt: int


@dataclass(frozen=True, slots=True)
class StartGroup:
    """Start the group's resources, then its addresses, and announce them. Dangerous."""

    group: int
    attempt: int


@dataclass(frozen=True, slots=True)
class StopGroup:
    """Remove the group's addresses, stop its resources in reverse, see that they stopped."""

    group: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Manage:
    """Look after the group's resources, or leave them alone: watch, but mend nothing."""

    group: int
    on: bool


@dataclass(frozen=True, slots=True)
class StandBy:
    """While the group is not held: run what a standby keeps running of it, or not even that."""

    group: int
    on: bool


@dataclass(frozen=True, slots=True)
class CommitAlone:
    """Let the group's commits wait for the peer no longer, if no reading came after that one."""

    group: int
    attempt: int
    """Of the SyncRead that it answers."""
    risk: bool = False
    """The peer is not known to be out of date: it could be promoted without these commits."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the network anew where the group's addresses are."""

    group: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an operator's request."""

    request: int
    ok: bool
    message: str


@dataclass(frozen=True, slots=True)
class Exit:
    """Everything that had to be done first is done."""

    kind: StopKind


Effect = (
    Beat
    | GatherEvidence
    | Fence
    | AbandonFence
    | PowerOn
    | Persist
    | ProbeVip
    | StartGroup
    | StopGroup
    | Manage
    | StandBy
    | CommitAlone
    | Announce
    | Reply
    | Exit
)
DANGEROUS = (Fence, PowerOn, StartGroup)
"""At most one of these leaves a step."""
