# SPDX-License-Identifier: GPL-2.0-or-later
"""What no row may do, whatever is wrong with the hardware."""

from __future__ import annotations

from collections.abc import Iterator

from fencing import FenceOutcome
from fencing.client import WARM_BUDGET_S

from .attempt import Run
from .case import Case

OVERRUN_S = 0.5
"""An attempt ends within its deadline and so much, and what it waited for a processor."""
PASSWORD = "t0p-secret-word"  # noqa: S105  # of hardware that lives for one row
"""The right password of every row, for whoever looks for it where it must not be."""


def violations(run: Run, case: Case) -> tuple[str, ...]:
    """Everything that is wrong with a row, in words."""
    return (*_of_the_proof(run, case), *_of_the_end(run, case))


def _of_the_proof(run: Run, case: Case) -> Iterator[str]:
    confirmed = run.outcome is FenceOutcome.CONFIRMED_OFF
    if confirmed and run.ran and not case.lie:
        yield "S3: confirmed off, and the machine runs"
    if case.ends_well and not confirmed:
        yield "it is not proved off, although nothing need have prevented it"
    if case.lie and not (confirmed and run.ran):
        yield "it lies, and is not believed any more: the page may say so"
    if run.outcome is FenceOutcome.FAILED and run.orders:
        yield f"S3: FAILED is for orders that never left, and {run.orders} arrived"
    if run.outcome is FenceOutcome.FAILED and run.ran_before and not run.ran_later:
        yield "S3: FAILED is for orders that never left, and the machine is off"
    if not confirmed and not run.detail:
        yield "not confirmed, and no reason is given"


def _of_the_end(run: Run, case: Case) -> Iterator[str]:
    if run.seconds > run.deadline_s + OVERRUN_S + run.waited_s:
        yield f"it took {run.seconds:.2f} s, the deadline is {run.deadline_s:g} s"
    yield from (f"left behind: {what}" for what in run.left)
    excused = run.killed + case.sessions_left
    if case.sessions_left and run.seconds > WARM_BUDGET_S:
        excused += 1  # Of a second worker, asked beside the first on a busy machine.
    if run.sessions > excused:
        yield f"left behind: {run.sessions} sessions, {excused} are excused"
    if run.died and not case.kills_worker:
        yield "a worker ended by itself"
    if PASSWORD in repr(run):
        yield "S9: the password is told"
