# SPDX-License-Identifier: GPL-2.0-or-later
"""Two mishaps at once, drawn at random: `make hil-soak` for hours, a few seeds here."""

from __future__ import annotations

import pytest

from hil.qemu.lab import VirtualLab
from hil.qemu.mishaps import draw
from hil.qemu.soak import meet
from hil.trials.conftest import VirtualRoles

pytestmark = pytest.mark.virtual("BMCs and PDUs that fail when told to")

SEEDS = (110, 220, 223, 259, 353)
"""In each the active is lost while its fence, or who is to take over, is not well.
Seeds that failed once are added here and stay."""


@pytest.mark.parametrize("seed", SEEDS)
def test_one_holder_whatever_happens(lab: VirtualLab, roles: VirtualRoles, seed: int) -> None:
    """S1: two mishaps give never two holders; mended, exactly one."""
    assert len(roles) == len(draw(seed))
    meet(lab, seed)
