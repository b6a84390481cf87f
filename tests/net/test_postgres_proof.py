# SPDX-License-Identifier: GPL-2.0-or-later
"""The short form of `make database-proof`: a few rounds of it, with all that it checks."""

from __future__ import annotations

import signal
import time

import pytest

from hil.database import ask, in_sync, options, writing
from hil.database_faults import freeze, partition, switchover
from hil.database_logs import Logs
from hil.database_proof import Round, prove
from hil.lab import Lab
from hil.machine import Machine

OPTIONS = options("sync", 'sync_wait = "3s"')
LIMIT_S = 600


@pytest.mark.timeout(LIMIT_S)
def test_rounds_of_mixed_kinds_lose_nothing(lab: Lab) -> None:
    """S1, S11: none lost, none invented, and never two that wrote: both logs are compared."""
    told: list[Round] = []
    rounds = prove(lab, (switchover, freeze, partition), told.append, sync=True)
    assert rounds == told
    assert [(done.kind, done.moved, done.lost) for done in rounds] == [
        ("switchover", True, 0),
        ("freeze", True, 0),
        ("partition", True, 0),
    ]


@pytest.mark.timeout(LIMIT_S)
def test_two_that_write_are_seen(lab: Lab, roles: tuple[Machine, Machine]) -> None:
    """Sabotage: a second server is promoted by hand and writes once; the logs tell on it.

    The active has it switched off, goes on alone, and so writes after a later timeline began.
    """
    active, standby = roles
    in_sync(lab, active)
    logs = Logs(lab)
    logs.begin(active)
    standby.signal_agent(signal.SIGKILL)
    with writing(lab) as writer:
        assert ask(standby, "SELECT pg_promote()") == "t"
        alone = "SET synchronous_commit = local; INSERT INTO ledger VALUES (1) RETURNING number"
        assert ask(standby, alone) == "1"
        writer.wait_acked(after_ns=time.monotonic_ns())
        with pytest.raises(AssertionError, match="timeline"):
            logs.judge()
