# SPDX-License-Identifier: GPL-2.0-or-later
"""What the core must know of the configuration: frozen, checked before it gets here."""

from __future__ import annotations

from dataclasses import dataclass

MS = 1_000_000
"""Nanoseconds in a millisecond."""
S = 1_000_000_000
"""Nanoseconds in a second."""

NODES = 2
"""A pair. Nodes are numbered 0 and 1 in the order of the configuration."""


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """One service group."""

    name: str
    preferred: int
    """Node that starts the group at a joint start when both are equally able: 0 or 1."""
    failback_after_ns: int | None = None
    """How long the preferred node must be well before it asks for the group; None: never."""
    max_lag: int | None = None
    """How far this node's data may be behind the peer's, in the units of its position."""
    sync: bool = False
    """S11: every commit that was acknowledged must survive the loss of the holder."""
    sync_wait_ns: int = 10 * S
    """How long commits wait for a silent standby until the holder has it proved off."""
    sync_continue: bool = False
    """After that they go on without proof, at a risk that is told."""
    max_moves: int = 6
    """Changes of node in `move_window`; from then on the group stays where it is."""
    move_window_ns: int = 600 * S


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One heartbeat path, as the decisions see it."""

    name: str
    switched: bool
    """False for a direct cable, whose lost carrier says nothing about our own connectivity."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Every time the core decides by, in nanoseconds. Defaults: docs/adr/0002, design section 7."""

    interval_ns: int = 100 * MS
    suspect_after_ns: int = 400 * MS
    dead_after_ns: int = 1 * S
    serving_grace_ns: int = 10 * S
    """How long a peer whose service still answers is left alone although it is silent."""
    fence_delay_ns: int = 3 * S
    """S9: how much later the second node shoots when both would gain."""
    fence_retry_ns: int = 5 * S
    """Pause after a fence that was not confirmed."""
    max_fences: int = 3
    """S10: power-offs ordered per window."""
    fence_window_ns: int = 1800 * S
    lone_start_after_ns: int | None = None
    """S5: None waits for the peer for ever; a number fences it after that long alone."""
    power_on_retry_ns: int = 10 * S
    stop_budget_ns: int = 20 * S
    """A group that takes longer to stop counts as one that cannot be stopped (S7)."""


@dataclass(frozen=True, slots=True)
class PairSettings:
    """The pair as one of its nodes sees it."""

    me: int
    """My own number: 0 or 1."""
    groups: tuple[GroupSettings, ...]
    links: tuple[LinkSettings, ...]
    timing: Timing
    configuration_hash: bytes
    """16 bytes over everything that must be equal on both nodes."""
    witnessed: bool = False
    """There are witnesses, without whose consent nobody is shot (S2 e)."""
    host_identity: bytes = bytes(16)
    """The system UUID of this machine (SMBIOS), zero when it is unknown."""
    release: int = 0
    """Of this software, for the peer's operators to compare."""
    unfed_s: int = 0
    """What our watchdog promises the peer (S2 e); see haagent.core.wire.Body."""

    @property
    def peer(self) -> int:
        """The other node's number."""
        return 1 - self.me
