# SPDX-License-Identifier: GPL-2.0-or-later
"""Two mishaps at once, drawn at random: `make hil-soak` for hours, a few seeds here."""

from __future__ import annotations

import threading
import time

import pytest

from hil.proof import held_alone
from hil.qemu.lab import VirtualLab
from hil.qemu.mishaps import draw, mend, strike, two_at_once
from hil.qemu.soak import SETTLE_S
from hil.trials.conftest import VirtualRoles

pytestmark = pytest.mark.virtual("BMCs and PDUs that fail when told to")

SEEDS = (110, 220, 223, 259, 353)
"""In each the active is lost while its fence, or who is to take over, is not well.
Seeds that failed once are added here and stay."""


@pytest.mark.parametrize("seed", SEEDS)
def test_one_holder_whatever_happens(lab: VirtualLab, roles: VirtualRoles, seed: int) -> None:
    """S1: two mishaps give never two holders; mended, exactly one."""
    assert len(roles) == len(draw(seed))
    for blow in draw(seed):
        threading.Event().wait(blow.after_s)  # drawn: the moment is a part of the mishap
        strike(lab, blow)
    threading.Event().wait(SETTLE_S)  # two fences and a takeover lie within
    holder, _ = mend(lab)
    held_alone(lab, holder, time.monotonic_ns())
    assert two_at_once(lab) == []
