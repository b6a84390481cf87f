# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened: the only input of the core beside the time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from fencing import FenceOutcome
from haagent.core.settings import PairSettings
from haagent.core.wire import Frame


@dataclass(frozen=True, slots=True)
class PeerHeard:
    """An authentic frame arrived; the core judges replays itself."""

    link: int
    """Where it arrived, by the link's place in the configuration."""
    heard_ns: int
    """When the kernel received it, monotonic."""
    frame: Frame


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The deadline that the core published is over; queued input was taken first."""


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """An interface of ours gained or lost its carrier."""

    link: int
    carrier: bool


class Consent(StrEnum):
    """What the witnesses say of our taking over (S2 e)."""

    UNASKED = "unasked"
    """None is configured, or we had nothing to gain when they could be asked."""
    WON = "won"
    """They agree, and will not agree to the same of the peer."""
    AGREED = "agreed"
    """They agree, and might agree to the same of the peer."""
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class EvidenceGathered:
    """The answers asked for by GatherEvidence."""

    attempt: int
    connected: bool
    """A reference answered; True as well when none is configured."""
    serving: bool
    """A service probe of a group that we do not hold answered."""
    vip_answered: bool
    """Somebody else answered for one of the virtual addresses, or they could not be probed."""
    consent: Consent = Consent.UNASKED


@dataclass(frozen=True, slots=True)
class FenceFinished:
    """The power-off that Fence ordered ended."""

    attempt: int
    outcome: FenceOutcome
    detail: str
    read_ns: int | None = None
    """When the reading that completed the proof was made, monotonic; None: just now."""


@dataclass(frozen=True, slots=True)
class FenceReadied:
    """Readiness of the peer's fence devices changed."""

    ready: bool
    detail: str


@dataclass(frozen=True, slots=True)
class PowerOnFinished:
    """The power-on that PowerOn ordered ended."""

    attempt: int
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Persisted:
    """The record is on the disk, fsync'd."""

    attempt: int


@dataclass(frozen=True, slots=True)
class PersistFailed:
    """The record could not be made durable."""

    attempt: int
    detail: str


@dataclass(frozen=True, slots=True)
class VipProbed:
    """The probe window for a group's virtual addresses closed."""

    group: int
    attempt: int
    answered: str | None
    """The MAC that answered, None for silence."""


@dataclass(frozen=True, slots=True)
class VipProbeFailed:
    """A group's addresses could not be probed: nothing is known of a foreign holder."""

    group: int
    attempt: int
    detail: str


@dataclass(frozen=True, slots=True)
class GroupStarted:
    """Every resource of the group runs here, its addresses are announced."""

    group: int
    attempt: int


@dataclass(frozen=True, slots=True)
class GroupStartFailed:
    """Something of the group did not start; what did start may still run."""

    group: int
    attempt: int
    detail: str


@dataclass(frozen=True, slots=True)
class GroupStopped:
    """Every resource of the group was seen stopped here."""

    group: int
    attempt: int


@dataclass(frozen=True, slots=True)
class GroupStopFailed:
    """Something of the group still runs here."""

    group: int
    attempt: int
    detail: str


@dataclass(frozen=True, slots=True)
class GroupLost:
    """A resource of an active group went away and could not be put back."""

    group: int
    detail: str


@dataclass(frozen=True, slots=True)
class SwitchoverAsked:
    """An operator wants the groups handed over, in whichever direction they go."""

    request: int
    group: int | None
    """None: all groups that the answering node holds, or else all that the peer holds."""
    dry_run: bool = False
    """Only say whether it could be done."""


@dataclass(frozen=True, slots=True)
class MaintenanceAsked:
    """An operator turns the pair's maintenance on or off."""

    request: int
    on: bool


@dataclass(frozen=True, slots=True)
class ConfirmOffAsked:
    """An operator states that the peer is off (grant c of S2)."""

    request: int
    force: bool


@dataclass(frozen=True, slots=True)
class OffProved:
    """An operator fenced the peer from the console: a whole level read off (grant b of S2)."""

    request: int
    read_ns: int
    """Monotonic: a moment at which the whole level was off."""


@dataclass(frozen=True, slots=True)
class AwayAsked:
    """An operator puts a node on standby, or takes it back."""

    request: int
    node: int
    on: bool


GroupWord = Literal["stop", "start", "freeze", "unfreeze"]
"""What a group can be told."""


@dataclass(frozen=True, slots=True)
class GroupOrdered:
    """An operator stops, starts, freezes or unfreezes a group, on both nodes."""

    request: int
    group: int
    what: GroupWord


@dataclass(frozen=True, slots=True)
class FailoverAsked:
    """An operator wants groups started here although their data is too old."""

    request: int
    group: int | None
    """None: all that this node does not hold."""


@dataclass(frozen=True, slots=True)
class PositionRead:
    """How fresh our data is; -1 when nobody can tell."""

    group: int
    position: int


@dataclass(frozen=True, slots=True)
class StandbyRead:
    """How what runs of a group on the node that does not hold it is."""

    group: int
    ready: bool
    """It could be promoted; True where there is nothing of the kind."""
    escaped: bool = False
    """It serves, against all orders."""


@dataclass(frozen=True, slots=True)
class SyncRead:
    """Whether commits of a group held here wait for the peer, and it has all of them."""

    group: int
    attempt: int
    """Of the reading; CommitAlone answers to it."""
    complete: bool
    """False: commits wait for a peer that does not get them."""


@dataclass(frozen=True, slots=True)
class ReachChanged:
    """Whether the group's clients reach this node."""

    group: int
    reachable: bool
    """Judged over some time."""
    doubtful: bool = False
    """The newest sign says that they do not. A standby does not offer itself then; a holder gives
    the group away that was judged out of reach and still is."""


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """Other times and rules for the same pair: the same groups, links and node."""

    settings: PairSettings


class StopKind(StrEnum):
    """How the agent is to end."""

    LEAVE = "leave"
    """Hand everything over, then exit."""
    PAUSE = "pause"
    """Exit at once and leave the groups running; a new agent takes them up."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The agent was told to end."""

    kind: StopKind


Event = (
    PeerHeard
    | DeadlinePassed
    | LinkChanged
    | EvidenceGathered
    | FenceFinished
    | FenceReadied
    | PowerOnFinished
    | Persisted
    | PersistFailed
    | VipProbed
    | VipProbeFailed
    | GroupStarted
    | GroupStartFailed
    | GroupStopped
    | GroupStopFailed
    | GroupLost
    | SwitchoverAsked
    | MaintenanceAsked
    | ConfirmOffAsked
    | OffProved
    | AwayAsked
    | GroupOrdered
    | FailoverAsked
    | PositionRead
    | StandbyRead
    | SyncRead
    | ReachChanged
    | Reconfigured
    | StopAsked
)
