# SPDX-License-Identifier: GPL-2.0-or-later
"""What one seed draws before anything runs: the pair, its times, and which faults may strike."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from haagent.core.settings import MS, GroupSettings, LinkSettings, PairSettings, S, Timing
from haagent.resources.health import Policy

from . import watchdog, witness
from .seeds import ONCE_FAILED

HASH = b"one-and-the-same"
LAN, RING = 0, 1
"""Link numbers: the switched LAN, on which the addresses live, and a direct cable."""


THEMES = (
    ("switchover", "switchover", "loss", "one_way", "delay", "duplicate", "kill", "pause",
     "record_lost", "loaded", "leave"),
    ("partition", "one_way", "bmc_slow", "bmc_loses_answer", "stop_process", "loaded", "freeze",
     "delay", "bmc_does_nothing"),
    ("stop_fails", "stop_hangs", "group_slow", "switchover", "group_lost", "start_fails", "kill",
     "stop_process"),
    ("power_loss", "power_loss_with_bmc", "confirm_off", "reset", "bmc_slow", "kill", "pause",
     "leave"),
    ("loaded", "loaded", "loss", "loss", "stop_process", "reference_lost", "partition"),
    ("disk_full", "disk_slow", "record_lost", "kill", "power_loss", "partition", "switchover",
     "reset"),
    ("away", "order_group", "order_group", "switchover", "maintenance", "partition", "leave",
     "kill", "power_loss"),
    ("replication_broken", "replication_broken", "position_unknown", "position_unknown",
     "power_loss", "partition", "accept_loss", "switchover", "freeze", "leave"),
    ("group_lost", "group_lost", "clients_lost", "start_fails", "away"),
    ("resource_dies", "resource_dies", "monitor_lies", "start_fails", "stop_fails", "kill",
     "switchover", "order_group"),
    ("start_hangs", "start_hangs", "stop_hangs", "start_fails", "stop_fails", "switchover",
     "power_loss", "order_group"),
    ("monitor_lies", "monitor_lies", "kill", "pause", "disk_slow", "disk_full", "switchover",
     "leave", "stop_process"),
    ("clients_lost", "clients_lost", "clients_lost", "clients_lost", "group_lost", "away"),
    ("reload", "reload", "partition", "power_loss", "switchover", "kill", "pause"),
    ("witness_lost", "witness_lost", "witness_slow", "witness_forgets", "partition", "partition",
     "power_loss", "freeze", "stop_process", "bmc_slow", "loss"),
    ("bmc_dead", "bmc_dead", "bmc_dead", "power_loss_with_bmc", "partition", "one_way", "one_way",
     "witness_lost", "witness_forgets", "kill", "stop_process", "freeze", "pause", "delay"),
)  # fmt: skip
"""Faults that make trouble together: some seeds have one of these, densely, instead of a draw."""
HORIZONS_S = ((4, 12),) * 5 + ((18, 50),)
"""How long faults strike: mostly short and dense."""
SILENCERS = (
    "partition", "one_way", "isolated", "stop_process", "freeze", "reset", "power_loss",
    "power_loss_with_bmc",
)  # fmt: skip
"""Faults that make a node silent, without which few others matter: most seeds have some more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a group is made of, and what is borne of it."""

    resources: int
    """The last one is the group's address."""
    policy: Policy
    interval_ns: int
    """Pause between two looks at a resource."""
    start_limit_ns: int
    stop_limit_ns: int
    """A step that hangs is given up after so long."""


@dataclass(frozen=True, slots=True)
class Mix:
    """One world's constants."""

    seed: int
    groups: tuple[GroupSettings, ...]
    plans: tuple[Plan, ...]
    """Of each group."""
    timing: Timing
    links: tuple[LinkSettings, ...]
    probe: bool
    """A service probe is configured, so evidence can say "still serving"."""
    blind: bool
    """ARP probes never see the peer (a filter, a VLAN): S1 must hold by the grants alone."""
    bmc_on_lan: bool
    """The BMCs hang on the LAN's switch: a cut cable cuts the way to the peer's BMC too."""
    fence_deadline_ns: int
    kinds: tuple[str, ...]
    """The faults this seed may inject (swarm testing: a subset, so that faults do not mask
    each other)."""
    strikes: int
    """How many faults are drawn at random times."""
    reactive: float
    """Probability that an effect of note draws another fault within its shadow."""
    faults_from_ns: int
    heal_ns: int
    drift_ppm: tuple[int, int]
    witness: witness.Plan | None = None
    unfed: watchdog.Plan | None = None
    """Each machine has a watchdog, and it is the last fence level."""

    def settings(self, me: int) -> PairSettings:
        """The pair as that node sees it."""
        witnessed = self.witness is not None
        return PairSettings(me, self.groups, self.links, self.timing, HASH, witnessed)


def _group(name: str, preferred: int, seed: int) -> GroupSettings:
    rng = Random(f"group {seed}")  # noqa: S311 - histories, not secrets
    return GroupSettings(
        name,
        preferred,
        failback_after_ns=rng.choice((None, None, 2 * S, 5 * S)),
        max_lag=rng.choice((None, None, 2, 10)),
        max_moves=rng.choice((2, 4, 6)),
        move_window_ns=rng.choice((20, 60)) * S,
        sync=rng.random() < 0.4,
        sync_wait_ns=rng.choice((2, 10)) * S,
        sync_continue=rng.random() < 0.2,
    )


def _plan(seed: int) -> Plan:
    rng = Random(f"plan {seed}")  # noqa: S311 - histories, not secrets
    return Plan(
        resources=rng.choice((1, 2, 2, 2, 3)),
        policy=Policy(
            failures=rng.choice((1, 2, 3)),
            restarts=rng.choice((0, 1, 3)),
            restart_window_ns=rng.choice((10, 60)) * S,
        ),
        interval_ns=rng.choice((300, 500, 1000)) * MS,
        start_limit_ns=rng.choice((1, 3, 8)) * S,
        stop_limit_ns=rng.choice((1, 3, 8)) * S,
    )


def draw(seed: int, kinds: tuple[str, ...], *, only: tuple[str, ...] | None = None) -> Mix:
    """The mix of a seed.

    Args:
        seed: Everything follows from it.
        kinds: All kinds of fault there are.
        only: Exactly these kinds instead of a drawn subset, for directed tests.
    """
    rng = Random(seed)  # noqa: S311 - histories, not secrets
    share = rng.choice((0.08, 0.15, 0.3, 0.6))
    enabled = only or tuple(kind for kind in kinds if rng.random() < share)
    if only is None and rng.random() < 0.6:
        enabled += 2 * tuple(rng.sample(SILENCERS, 2))
    strikes = rng.randint(1, 10)
    if only is None and rng.random() < 0.3:
        enabled = rng.choice(THEMES)
        strikes = rng.randint(5, 30)
    interval_ns = rng.choice((100, 200, 250, 250)) * MS
    from_ns = rng.choice((0, 3, 10)) * S
    preferred = rng.choice((0, 0, 1))
    groups, plans = [_group("web", preferred, seed)], [_plan(seed)]
    if rng.random() < 0.35:
        groups.append(_group("data", rng.choice((preferred, 1 - preferred, 1 - preferred)), ~seed))
        plans.append(_plan(~seed))
    links = (LinkSettings("lan", switched=True), LinkSettings("ring", switched=False))
    return Mix(
        seed=seed,
        groups=tuple(groups),
        plans=tuple(plans),
        timing=Timing(
            interval_ns=interval_ns,
            suspect_after_ns=max(400 * MS, 2 * interval_ns),
            dead_after_ns=max(1 * S, 4 * interval_ns),
            serving_grace_ns=rng.choice((2, 6)) * S,
            fence_delay_ns=3 * S,
            fence_retry_ns=rng.choice((2, 5)) * S,
            fence_window_ns=60 * S,
            lone_start_after_ns=rng.choice((None, None, 6 * S, 15 * S)),
            power_on_retry_ns=rng.choice((3, 10)) * S,
            stop_budget_ns=rng.choice((2, 5)) * S,
        ),
        links=links[: rng.choice((1, 2, 2, 2))],
        probe=rng.random() < 0.5,
        blind=rng.random() < 0.3,
        bmc_on_lan=rng.random() < 0.25,
        fence_deadline_ns=rng.choice((2, 4)) * S,
        kinds=enabled,
        strikes=strikes,
        reactive=rng.choice((0.0, 0.1, 0.3, 0.5)),
        faults_from_ns=from_ns,
        heal_ns=from_ns + rng.randint(*rng.choice(HORIZONS_S)) * S,
        drift_ppm=(rng.randint(-200, 200), rng.randint(-200, 200)),
        witness=(chosen := _witness(seed)),
        unfed=_unfed(seed, chosen),
    )


def _witness(seed: int) -> witness.Plan | None:
    """Two pairs of three have none, and what once failed had none."""
    rng = Random(f"witness {seed}")  # noqa: S311 - histories, not secrets
    if seed in ONCE_FAILED or rng.random() < 0.6:
        return None
    return witness.Plan(
        chooses=rng.random() < 0.7,
        ignored=rng.random() < 0.3,
        lease_ns=rng.choice((5, 10, 30)) * S,
    )


def _unfed(seed: int, of: witness.Plan | None) -> watchdog.Plan | None:
    """Only witnesses that stand by one node allow it."""
    rng = Random(f"unfed {seed}")  # noqa: S311 - histories, not secrets
    if of is None or not of.chooses or of.ignored or rng.random() < 0.3:
        return None
    return watchdog.Plan(timeout_s=rng.choice((2, 5)), unfed_after_s=rng.choice((3, 5)))
