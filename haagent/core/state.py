# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything a node knows, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field

from haagent.core.effects import Effect, GroupRecord, Record
from haagent.core.events import Consent, StopKind
from haagent.core.orders import Orders
from haagent.core.phases import (
    Active,
    Fenced,
    Fencing,
    GroupPhase,
    PairPhase,
    PoweringOn,
    Proof,
    Starting,
    TakingOver,
)
from haagent.core.settings import GroupSettings, PairSettings
from haagent.core.wire import Body, GroupReport, Role
from haagent.core.wishes import Confirming, Switchover


@dataclass(frozen=True, slots=True)
class Sync:
    """Who has every commit that was acknowledged (S11); see haagent.core.synced."""

    complete: bool = False
    """We do, whatever becomes of the peer."""
    seen: int = 0
    """Number of the holder's last word, and its incarnation."""
    seen_of: int = 0
    word: int = 0
    """Number of our own last word as holder; 0: none was given yet."""
    given: bool = False
    """It says that the peer is complete."""
    stale: bool = False
    """The peer is certainly not, and will not be without a new word."""
    asked: int = 0
    """The reading that waits for leave to commit alone; 0 for none."""
    since_ns: int = 0
    risk: bool = False
    """Commits go on alone although the peer could be promoted without them."""


@dataclass(frozen=True, slots=True)
class Group:
    """One service group on this node."""

    settings: GroupSettings
    phase: GroupPhase
    term: int = 0
    """The highest term seen, of either node."""
    held_term: int = 0
    """The last term in which this node held it."""
    since_ns: int = 0
    position: int = -1
    """How fresh our data is; -1 when the group has none, or nobody can tell."""
    peer_term: int = 0
    """The last term in which the peer was heard to hold it."""
    peer_position: int = -1
    """How fresh the peer's data was by then, as far as it told; -1 when it never did."""
    accept_loss_until_ns: int = 0
    """Until then it is started although its data is too old, as an operator wants."""
    unreachable: bool = False
    """Its clients do not reach us: references are silent, or its interface has no carrier."""
    standby_ready: bool = True
    """What a standby runs of it is as it should be, if there is anything."""
    gave_up: bool = False
    """It could not be held here the last time, and has not been held here since."""
    doubtful: bool = False
    """The first sign of that: what both nodes lose at once is no reason to move the group."""
    sync: Sync = field(default_factory=Sync)
    moves_ns: tuple[int, ...] = ()
    """When it came to this node or left it, within the window."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """One heartbeat path."""

    carrier: bool = True
    counter: int = -1
    """Of the last frame accepted on it, within the peer's incarnation."""
    heard_ns: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """The newest thing the peer said, of the incarnation that echoed us."""

    incarnation: int
    counter: int
    heard_ns: int
    """When this incarnation was last heard, on any link."""
    body: Body

    def group(self, name: str) -> GroupReport | None:
        """What the peer says of that group, None when it does not know it."""
        for report in self.body.groups:
            if report.name == name:
                return report
        return None

    def role(self, name: str) -> Role | None:
        """The peer's role for that group."""
        report = self.group(name)
        return report.role if report else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Answers gathered while the peer was silent."""

    asked_ns: int
    attempt: int
    answered_ns: int | None = None
    """When the answers below were asked for; they stand while the next ones are awaited."""
    connected: bool = False
    serving: bool = False
    vip_answered: bool = False
    consent: Consent = Consent.UNASKED


@dataclass(frozen=True, slots=True)
class State:
    """Everything a node knows."""

    settings: PairSettings
    incarnation: int
    now_ns: int
    """Of the last step; a gap tells of our own stall (S6)."""
    beat_ns: int
    """When the next heartbeat is due."""
    pair: PairPhase
    groups: tuple[Group, ...]
    links: tuple[LinkState, ...]
    cut_off_ns: int | None = None
    """Since when none of our switched links has a carrier, if there are any."""
    wake_ns: int | None = None
    """Something waits for the next step."""
    last_attempt: int = 0
    view: View | None = None
    stranger: int = 0
    """An incarnation heard that has not echoed us yet."""
    stranger_heard_ns: int | None = None
    retired: tuple[int, ...] = ()
    """Earlier incarnations of the peer: never believed again."""
    quiet_from_ns: int = 0
    """Silence is not counted from before this (S6)."""
    pause_until_ns: int = 0
    """The peer announced that it would be silent until then."""
    stall_ns: int = 0
    stalled_at_ns: int = 0
    evidence: Evidence | None = None
    fences_ns: tuple[int, ...] = ()
    """When power-offs were ordered, within the window (S10)."""
    distrusted: bool = False
    """A fence device was caught lying (S8)."""
    fence_ready: bool | None = None
    fence_detail: str = ""
    orders: Orders = field(default_factory=Orders)
    position_kept_ns: int = 0
    """When the peer's positions were last made durable."""
    confirming: Confirming | None = None
    switchovers: tuple[Switchover, ...] = ()
    stopping: StopKind | None = None
    stopping_since_ns: int = 0
    stop_by_ns: int = 0
    exited: bool = False
    refusals: tuple[tuple[str, int], ...] = ()
    """Frames refused by the core, by name, for the counters."""

    @property
    def record(self) -> Record:
        """What must survive this process."""
        return Record(
            groups=tuple((group.settings.name, _record(group)) for group in self.groups),
            fences_ns=self.fences_ns,
            orders=self.orders,
            owes_power=isinstance(self.pair, Fencing | PoweringOn)
            or (isinstance(self.pair, Fenced) and self.pair.proof is Proof.HARDWARE),
        )


_RESUMABLE = (TakingOver, Starting, Active)
"""What a new process may take up when it finds the addresses still here."""


def _record(group: Group) -> GroupRecord:
    return GroupRecord(
        group.term,
        held=isinstance(group.phase, _RESUMABLE),
        held_term=group.held_term,
        peer_term=group.peer_term,
        peer_position=group.peer_position,
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What one event made of the state, and what shall be done about it."""

    state: State
    effects: tuple[Effect, ...] = field(default=())
