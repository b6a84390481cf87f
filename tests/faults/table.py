# SPDX-License-Identifier: GPL-2.0-or-later
"""All rows there are, and how many are carried out at once: each in a process of its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import Self

from .agent_cases import CASES as AGENT
from .attempt import Run, carry_out
from .case import Case
from .ipmi_cases import CASES as IPMI
from .pdu_cases import CASES as PDU
from .redfish_cases import CASES as REDFISH
from .redfish_login_cases import CASES as REDFISH_LOGIN
from .rmcp_cases import CASES as RMCP

EVERY: tuple[Case, ...] = (*IPMI, *RMCP, *REDFISH, *REDFISH_LOGIN, *PDU, *AGENT)
"""In the order of the page."""
CASES: dict[str, Case] = {case.name: case for case in EVERY}
"""By name."""
AT_ONCE = 12
"""Most of a row is waiting; so many rows keep two cores busy, and make none late."""


def spread(names: Sequence[str]) -> tuple[str, ...]:
    """The same in another order: neighbours, which are of one driver, are far apart.

    So the rows whose agents are whole programs that start again and again never meet a dozen
    of their kind.
    """
    return tuple(name for first in range(AT_ONCE) for name in names[first::AT_ONCE])


class Table:
    """The rows that were asked for, carried out in the background."""

    def __init__(self, names: Iterable[str]) -> None:
        self._pool = ProcessPoolExecutor(AT_ONCE, get_context("spawn"), initializer=_be_strict)
        self._rows: dict[str, Future[Run]] = {
            name: self._pool.submit(carry_out_named, name) for name in spread(tuple(names))
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def row(self, name: str) -> Run:
        """What came out of one; blocks until it has."""
        return self._rows[name].result()

    def rows(self) -> tuple[Run, ...]:
        """What came out of all, in the order of the page."""
        return tuple(self._rows[name].result() for name in CASES if name in self._rows)


def carry_out_named(name: str) -> Run:
    """Carry out the row of that name in this process."""
    return carry_out(CASES[name])


def _be_strict() -> None:
    warnings.simplefilter("error")
