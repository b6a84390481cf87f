# SPDX-License-Identifier: GPL-2.0-or-later
"""Every checker fires when a core is broken on purpose; none of them is a decoration."""

from __future__ import annotations

import pytest

from .history import judge, make
from .sabotage import SABOTAGES, Sabotage

SEEDS_MAX = 300
"""A break that so many histories do not show would not be found by the simulation."""


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.breaks.__name__)
def test_sabotage_is_seen(sabotage: Sabotage) -> None:
    """A core that breaks the rule is caught, by the checker of that rule."""
    with sabotage.breaks():
        for seed in range(SEEDS_MAX):
            world = make(seed, only=sabotage.only, faults_ns=sabotage.faults_ns)
            if sabotage.unfed and world.mix.unfed is None:
                continue
            if sabotage.prepares is not None:
                sabotage.prepares(world)
            failure = judge(world).failure
            if failure is not None and failure.startswith(f"Violation: {sabotage.checker}"):
                return
    pytest.fail(f"{sabotage.breaks.__name__} was not seen in {SEEDS_MAX} histories")


def test_nothing_is_left_of_a_sabotage() -> None:
    """After its with block the core is whole again."""
    for sabotage in SABOTAGES:
        with sabotage.breaks():
            pass
    assert judge(make(0)).failure is None
