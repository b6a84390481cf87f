# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts carriers and references together, and tells for each group when the outcome changes.

One timer asks everybody, again while somebody is silent, and at the end of the round it judges the
answers: no task, no socket made or closed. An agent that was late itself takes in the answers that
wait before it asks again or judges (S6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from haagent.netlink import Netlink
from haagent.reach import Change, Clients, ReachTimes, Reference, Verdict
from haagent.reach.carrier import CarrierWatch
from haagent.reach.echo import EchoAsker
from haagent.reach.neighbour import NeighbourAsker
from haagent.reach.steady import Steady

NUMBERS = 0x10000
"""Questions are numbered in 16 bits and start again from 0."""
REPEAT_S = 0.1
"""Between the questions of `answers_now`: one lost frame must not look like isolation."""
QUESTIONS = 4
"""At most in one round. A cable that loses 30 % of its frames fails three rounds in a row once in 2
million tries; with one question it would be once in 37."""


class ReachWatch:
    """Watches over every group's clients while the agent runs, holding the group or not.

    Until the first verdict every group counts as within reach.

    Args:
        groups: Where each group's clients are met, in the order of the groups (`clients_of`).
        references: All of them; those of `groups` are among them.
        netlink: Opened before and closed after this.
        on_change: Called on the loop with each new verdict, or new words for it.
        times: How patient to be.
        verdicts: What is known already, of another watch over the same groups.
    """

    def __init__(  # noqa: PLR0913 - whom it asks, and whom it tells
        self,
        groups: Sequence[Clients],
        references: Sequence[Reference],
        netlink: Netlink,
        on_change: Change,
        times: ReachTimes,
        *,
        verdicts: Sequence[Verdict] = (),
    ) -> None:
        self._groups = tuple(groups)
        self._on_change = on_change
        self._times = times
        self._askers: tuple[EchoAsker | NeighbourAsker, ...] = (
            EchoAsker([one for one in references if not one.neighbour_on], self._heard),
            NeighbourAsker([one for one in references if one.neighbour_on], netlink, self._heard),
        )
        interfaces = {name: None for clients in groups for name in clients.interfaces}
        self._carriers = CarrierWatch(netlink, interfaces, times.carrier_hold_s, self._judge)
        self._verdicts = list(verdicts) or [Verdict()] * len(self._groups)
        lost = {
            clients.references
            for clients, verdict in zip(groups, self._verdicts, strict=True)
            if not verdict.reachable
        }
        self._steady = {
            clients.references: Steady(
                times.failures, times.successes, good=clients.references not in lost
            )
            for clients in groups
            if clients.references
        }
        """One for each set of references: groups of one network share it."""
        self._asks = bool(references)
        self._number = 0
        self._round = 0
        """Number of the first question of this round."""
        self._answered: set[Reference] = set()
        """In this round."""
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        """Callers of `answers_now`: each wants an answer to its question or a later one."""

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """For each group whether its clients are within reach."""
        return tuple(self._verdicts)

    def start(self) -> None:
        """Watch from now on.

        Raises:
            EdgeError: not permitted to open raw sockets.
        """
        for asker in self._askers:
            asker.open()
        self._carriers.start()
        if self._asks:
            self._begin_round()

    def close(self) -> None:
        """Watch no longer; never raises."""
        if self._timer is not None:
            self._timer.cancel()
        self._carriers.close()
        for asker in self._askers:
            asker.close()
        self._askers = ()  # Whoever still waits for an answer asks nobody.

    async def answers_now(self, timeout_s: float) -> bool:
        """Whether any reference answers a question asked from now on; True with the first answer.

        For the evidence of a takeover, which cannot wait for the next round. With no reference at
        all: False.

        Args:
            timeout_s: How long to wait for the first answer, seconds.
        """
        if not self._asks:
            return False
        loop = asyncio.get_running_loop()
        self._drain()  # What waits here is older than the question.
        answered: asyncio.Future[None] = loop.create_future()
        waiter = ((self._number + 1) % NUMBERS, answered)
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                while not answered.done():
                    self._ask()
                    await asyncio.wait({answered}, timeout=REPEAT_S)
        except TimeoutError:
            self._drain()  # A loop that was late finds the answers here (S6).
        finally:
            self._waiting.remove(waiter)
        return answered.done()

    def _begin_round(self) -> None:
        self._answered.clear()
        self._round = (self._number + 1) % NUMBERS
        self._ask_silent(QUESTIONS)

    def _ask_silent(self, left: int) -> None:
        """Ask, as often as that for the rest of the round, unless every group has its answer."""
        self._drain()
        later = asyncio.get_running_loop().call_later
        step_s = self._times.reference_interval_s / QUESTIONS
        if left == 0 or all(map(self._within_reach, self._steady)):
            self._timer = later(left * step_s, self._end_round)
        else:
            self._ask()
            self._timer = later(step_s, self._ask_silent, left - 1)

    def _within_reach(self, references: tuple[Reference, ...]) -> bool:
        """Whether any of them has answered in this round."""
        return not self._answered.isdisjoint(references)

    def _end_round(self) -> None:
        self._drain()
        for references, steady in self._steady.items():
            steady.take(good=self._within_reach(references))
        self._judge()
        self._begin_round()

    def _ask(self) -> None:
        self._number = (self._number + 1) % NUMBERS
        for asker in self._askers:
            asker.ask(self._number)

    def _drain(self) -> None:
        for asker in self._askers:
            asker.drain()

    def _heard(self, reference: Reference, number: int) -> None:
        if not_before(number, self._round):
            self._answered.add(reference)
        for first, answered in self._waiting:
            if not_before(number, first) and not answered.done():
                answered.set_result(None)

    def _judge(self) -> None:
        for index, clients in enumerate(self._groups):
            verdict = self._verdict(clients)
            if verdict != self._verdicts[index]:
                self._verdicts[index] = verdict
                self._on_change(index, verdict)

    def _verdict(self, clients: Clients) -> Verdict:
        faults = [self._carriers.faults[name] for name in clients.interfaces]
        doubtful = any(self._carriers.gone(name) for name in clients.interfaces)
        if clients.references:
            steady = self._steady[clients.references]
            doubtful = doubtful or not steady.newest
            if not steady.good:
                asked = ", ".join(str(reference) for reference in clients.references)
                faults.append(f"no reference answers ({asked})")
        detail = "; ".join(fault for fault in faults if fault)
        return Verdict(not detail, doubtful, detail)


def not_before(number: int, first: int) -> bool:
    """Whether a question was asked at `first` or later, of two that are not far apart."""
    return (number - first) % NUMBERS < NUMBERS // 2
