# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a resource that does not serve is to be restarted in place, or its group is lost here.

Pure: readings and the time come in, a decision and the next state go out. Failures in a row are
counted for each resource; restarts are counted for the group, since it is the group's service
that each of them interrupts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from haagent.resources import Condition, Reading


@dataclass(frozen=True, slots=True)
class Policy:
    """What is borne before a restart, and before the group is given up."""

    failures: int = 2
    """Bad readings of one resource in a row that make a failure, > 0."""
    restarts: int = 3
    """Restarts in place within any `restart_window_ns`, >= 0."""
    restart_window_ns: int = 600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Nothing:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart this resource, and what was started after it."""

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Lost:
    """No restart is left: this node cannot serve the group."""

    detail: str


Decision = Nothing | Restart | Lost


@dataclass(frozen=True, slots=True)
class Health:
    """What is remembered of a group's readings and restarts."""

    rows: tuple[tuple[str, int], ...] = ()
    """Resources whose last readings were bad, and how many in a row."""
    restarts_ns: tuple[int, ...] = ()
    """When restarts were decided, those within the window, oldest first."""


def judge(
    health: Health, policy: Policy, name: str, reading: Reading, now_ns: int
) -> tuple[Health, Decision]:
    """Take one reading of one resource of a group that is to be ACTIVE here."""
    rows = dict(health.rows)
    if reading.condition is Condition.ACTIVE:
        rows.pop(name, None)
        return replace(health, rows=tuple(rows.items())), Nothing()
    rows[name] = rows.get(name, 0) + 1
    counted = replace(health, rows=tuple(rows.items()))
    if rows[name] < policy.failures:
        return counted, Nothing()
    return fail(counted, policy, name, reading.detail or reading.condition.value, now_ns)


def fail(
    health: Health, policy: Policy, name: str, detail: str, now_ns: int
) -> tuple[Health, Decision]:
    """Take a failure that needs no second look, such as a restart that did not succeed.

    Returns:
        Never `Nothing`. All rows begin anew: what comes after is another service.
    """
    recent = tuple(at for at in health.restarts_ns if now_ns - at < policy.restart_window_ns)
    if len(recent) >= policy.restarts:
        window_s = policy.restart_window_ns / 1e9
        tried = f"{len(recent)} restarts within {window_s:g} s did not cure it"
        reason = f"{name}: {detail}" + (f" ({tried})" if recent else "")
        return Health(restarts_ns=recent), Lost(reason)
    return Health(restarts_ns=(*recent, now_ns)), Restart(name, detail)
