# SPDX-License-Identifier: GPL-2.0-or-later
"""Two real cores on simulated machines, as many histories as there is time for."""

from __future__ import annotations

import os

import pytest

from .history import judge, make, run
from .kinds import KINDS
from .runner import run_many
from .seeds import ONCE_FAILED

SEEDS = int(os.environ.get("SEEDS", "2000"))
FIRST_SEED = int(os.environ.get("FIRST_SEED", "0"))
JOBS = int(os.environ.get("JOBS", str(os.cpu_count() or 1)))
ENOUGH_SEEDS = 1000
"""From so many on, every fault and every phase must have come up."""
PHASES = (
    "pair Fenced", "pair Fencing", "pair Left", "pair PoweringOn", "pair Silent", "pair Suspect",
    "group Blocked", "group Releasing", "group Stuck", "group TakingOver left",
    "group TakingOver peer_off", "group TakingOver yielded", "group Yielded", "distrusted",
    "operator confirms", "effect AbandonFence", "effect PowerOn", "gate fence_delay",
    "gate isolated", "gate configuration_differs", "gate still_serving", "gate stalled",
    "gate maintenance",
    "resource died", "start hung", "stop hung", "restart in place", "mended in place", "group lost",
    "monitor says active, it is stopped", "monitor says failed, it is active",
    "witness lock taken", "gate witness_refuses", "gate witness_unreachable",
    "monitor says stopped, it is active", "taken up in pieces", "not taken up, though it may run",
    "moved by itself", "group restless", "1 active here, some there", "2 active here, none there",
)  # fmt: skip


@pytest.mark.sim
@pytest.mark.timeout(max(300, SEEDS))
def test_many_histories() -> None:
    """S1 to S10 hold in every history; healed, each group gets exactly one active again."""
    result = run_many(range(FIRST_SEED, FIRST_SEED + SEEDS), jobs=JOBS)
    assert not result.failures, "\n\n".join(result.failures)
    if SEEDS >= ENOUGH_SEEDS:
        missing = [kind for kind in KINDS if not result.counts[f"fault {kind}"]]
        missing += [phase for phase in PHASES if not result.counts[phase]]
        assert not missing, f"simulated in name only: {missing}"


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_seed_that_once_failed(seed: int) -> None:
    """What was found once is not found again."""
    failure = run(seed).failure
    assert failure is None, failure


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_seed_is_one_history(seed: int) -> None:
    """The same seed gives the same transcript, to the nanosecond."""
    first, second = make(seed), make(seed)
    judge(first)
    judge(second)
    assert first.transcript() == second.transcript()
