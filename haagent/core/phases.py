# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of the pair and of a group; each holds only what is true in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from haagent.core.reasons import Reason


class Proof(StrEnum):
    """What says that the peer is off (S2 b and c)."""

    HARDWARE = "hardware"
    CONSOLE = "console"
    """Read back by the same devices, on an operator's order: the power is his to give back."""
    OPERATOR = "operator"
    FORCED = "forced"
    """The operator's word against live evidence."""

    @property
    def by_device(self) -> bool:
        """Whether a fence device answers for it, which can be caught lying (S8)."""
        return self in {Proof.HARDWARE, Proof.CONSOLE}


class Grant(StrEnum):
    """What allows a group to be started here (S2)."""

    YIELDED = "yielded"
    """The peer promised, to this very attempt, not to start it (S2 a and d)."""
    LEFT = "left"
    """The peer stopped everything and went away (S2 a)."""
    PEER_OFF = "peer_off"
    """The peer was proved off (S2 b and c)."""


class FenceCause(StrEnum):
    """Why the peer is shot."""

    SILENCE = "silence"
    ALONE = "alone"
    """Never heard since the start, and lone_start_after is over (S5)."""
    ASKED = "asked"
    """It cannot stop a group and asks for it (S7)."""


# Phases of the pair: what is known of the peer.


@dataclass(frozen=True, slots=True)
class Unheard:
    """Not heard since this agent started, or since its power was given back (S5)."""

    since_ns: int
    fenced_ns: int | None = None
    """When the hardware proved it off, if we gave it its power back since."""


@dataclass(frozen=True, slots=True)
class Alive:
    """Heard, and it hears us or did so in this incarnation."""

    since_ns: int
    fence_retry_ns: int = 0
    """A fence that the peer itself asked for is not tried before this."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Silent for longer than suspect_after; evidence is being gathered."""

    since_ns: int


@dataclass(frozen=True, slots=True)
class Silent:
    """Silent for longer than dead_after, and a gate says no."""

    since_ns: int
    cause: FenceCause
    reasons: tuple[Reason, ...] = ()
    retry_ns: int = 0
    """No fence before this."""
    clear_ns: int | None = None
    """Since when no other gate says no: from then the second node waits for the first (S9)."""


@dataclass(frozen=True, slots=True)
class Fencing:
    """The power-off is ordered."""

    since_ns: int
    attempt: int
    cause: FenceCause


@dataclass(frozen=True, slots=True)
class Fenced:
    """The peer is proved off."""

    since_ns: int
    proof: Proof
    read_ns: int
    """Since when: frames heard later than this are of a living peer (S8)."""


@dataclass(frozen=True, slots=True)
class PoweringOn:
    """The takeover is over, the peer gets its power back; its being off is no proof any more."""

    since_ns: int
    fenced_ns: int | None
    """None where the order was given before this machine was booted."""
    attempt: int | None
    """None between two tries."""
    tries: int
    retry_ns: int


@dataclass(frozen=True, slots=True)
class Left:
    """The peer stopped all groups, said so, and its agent ended."""

    since_ns: int


PairPhase = Unheard | Alive | Suspect | Silent | Fencing | Fenced | PoweringOn | Left


# Phases of a group on this node.


@dataclass(frozen=True, slots=True)
class Assessing:
    """Leftovers of an earlier run are being removed (S5)."""

    attempt: int
    until_ns: int
    retry_ns: int | None = None
    """When to try again to stop it; None while a try is under way."""


@dataclass(frozen=True, slots=True)
class Standby:
    """Not running here."""

    handed_over_until_ns: int = 0
    """After a hand-over: until then the peer goes first."""


@dataclass(frozen=True, slots=True)
class Wanting:
    """Asks the peer for a promise; only the answer to this attempt counts (S4)."""

    attempt: int
    term: int
    switchover: bool
    until_ns: int


@dataclass(frozen=True, slots=True)
class Blocked:
    """Not running here, and not to be started before retry_ns, for a named reason."""

    reason: Reason
    detail: str
    retry_ns: int


@dataclass(frozen=True, slots=True)
class Yielded:
    """Promised the peer not to start it while that attempt of that incarnation stands."""

    incarnation: int
    attempt: int
    term: int
    pause: Blocked | None = None
    """It had a reason not to start it, which outlasts the promise."""


@dataclass(frozen=True, slots=True)
class TakingOver:
    """Has a grant; the term is being made durable and the addresses probed meanwhile."""

    grant: Grant
    attempt: int
    term: int
    until_ns: int
    """A disk or a probe that has not answered by then has failed."""
    persisted: bool = False
    probed: bool = False


START_TRIES = 2
"""Tries to start a group here before the peer is asked to take it: the first may have met what the
group's end on the other node had left."""


@dataclass(frozen=True, slots=True)
class Starting:
    """Resources are being started in a durable term."""

    term: int
    attempt: int | None
    """None: waits for its next try."""
    retry_ns: int = 0
    tries: int = 0
    detail: str = ""
    """Why the last try failed."""

    @property
    def failing(self) -> bool:
        """It was tried often enough, and waits."""
        return self.attempt is None and self.tries >= START_TRIES


@dataclass(frozen=True, slots=True)
class Active:
    """Holds the group."""

    term: int
    since_ns: int


@dataclass(frozen=True, slots=True)
class Releasing:
    """Stopping: addresses first, then resources in reverse."""

    term: int
    attempt: int
    until_ns: int
    reason: Reason | None = None
    """Set when the group could not be held: it is then blocked here for a while."""
    detail: str = ""
    retry_ns: int | None = None
    """When to try again to stop it; None while a try is under way."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """Could not be stopped: asks to be fenced and goes on trying (S7)."""

    term: int
    attempt: int
    retry_ns: int


GroupPhase = (
    Assessing | Standby | Wanting | Yielded | TakingOver | Starting | Active | Releasing
    | Stuck | Blocked
)  # fmt: skip
HOLDING = (Assessing, Starting, Active, Releasing, Stuck)
"""Phases in which resources of the group may run on this node."""
