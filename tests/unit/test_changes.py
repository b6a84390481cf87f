# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever watches a hand-over sees every role change of both nodes, once, as it happens."""

from __future__ import annotations

from core.harness import Bench, active, says, standby

from haagent.changes import RoleChange, changes
from haagent.core.state import State
from haagent.core.wire import Role

NAMES = ("alpha", "beta")


def seen(before: State, bench: Bench) -> list[tuple[str, str, str]]:
    """Node, role before, role now."""
    return [
        (change.node, change.before, change.role) for change in changes(before, bench.state, NAMES)
    ]


def test_own_roles() -> None:
    """A group that is given away: the change is told with the node's own name."""
    bench = active()
    bench.hear(says(Role.STANDBY, term=1))
    before = bench.state
    bench.ask_switchover()
    assert seen(before, bench) == [("alpha", "active", "releasing")]
    before = bench.state
    bench.stopped()
    assert seen(before, bench) == [("alpha", "releasing", "standby")]


def test_the_peers_roles() -> None:
    """What the peer tells of itself is told with its name; the same again is no change."""
    bench = standby()
    before = bench.state
    bench.hear(says(Role.RELEASING, term=1, held_term=1))
    assert ("alpha", "active", "releasing") in seen(before, bench)
    before = bench.state
    bench.hear(says(Role.RELEASING, term=1, held_term=1))
    assert not [change for change in seen(before, bench) if change[0] == "alpha"]


def test_a_peer_that_is_heard_for_the_first_time() -> None:
    """What was not known has no word."""
    bench = Bench()
    before = bench.state
    bench.hear(says(Role.ACTIVE, term=1, held_term=1))
    assert RoleChange("web", "alpha", "active", "") in list(changes(before, bench.state, NAMES))
