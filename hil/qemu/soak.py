# SPDX-License-Identifier: GPL-2.0-or-later
"""`make hil-soak HOURS=…`: pair after pair meets two mishaps, drawn at random, until time is up."""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time

from hil.proof import held_alone
from hil.qemu.image import image
from hil.qemu.lab import VirtualLab
from hil.qemu.mishaps import draw, mend, strike, two_at_once
from hil.qemu.proof import never_both, ready
from hil.qemu.report import write
from hil.qemu.saved import resumed
from hil.qemu.shell import EXIT_NOT_ROOT, leave_in_order
from hil.qemu.story import Story, Verdict, tell

SETTLE_S = 15.0
"""After the second mishap, before anything is mended: two fences and a takeover lie within."""


def play(seed: int) -> None:
    """One pair, two mishaps, and what must hold: never two holders; mended, exactly one.

    Raises:
        AssertionError: It did not hold; the report says what was seen.
    """
    with resumed(image()) as lab:
        lab.power_on()
        ready(lab)
        try:
            meet(lab, seed)
        except AssertionError as error:
            story = Story(f"seed {seed}", "two mishaps", Verdict.FAILED, str(error))
            tell(story, lab)
            _say(f"report: {write([story])}")
            raise


def meet(lab: VirtualLab, seed: int) -> None:
    """Have a ready pair meet two mishaps, and mend it; check what must hold.

    Raises:
        AssertionError: It did not hold.
    """
    for blow in draw(seed):
        threading.Event().wait(blow.after_s)  # drawn: the moment is a part of the mishap
        _say(f"  {blow.node}: {blow.what}, {blow.after_s:.1f} s later")
        strike(lab, blow)
    threading.Event().wait(SETTLE_S)
    try:
        holder, _ = mend(lab)
        held_alone(lab, holder, time.monotonic_ns())
    finally:
        twice = two_at_once(lab)
        assert not twice, f"S1: two held the address: {twice}"
        never_both(lab)


def main() -> None:
    """Until the time is up, or something did not hold: then with exit status 1 and the seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, help="only this one")
    given = parser.parse_args()
    if os.geteuid() != 0:
        _say("virtual servers need root, for their networks")
        raise SystemExit(EXIT_NOT_ROOT)
    leave_in_order()
    end_s = time.monotonic() + given.hours * 3600
    seeds = random.SystemRandom()
    played = 0
    while time.monotonic() < end_s:
        seed = given.seed if given.seed is not None else seeds.randrange(1_000_000)
        _say(f"SEED={seed}")
        try:
            play(seed)
        except AssertionError as error:
            _say(f"did not hold, SEED={seed}: {error}")
            raise SystemExit(1) from error
        played += 1
        if given.seed is not None:
            break
    _say(f"{played} pairs, all of it held")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
