# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated hardware watchdog, the agent that feeds it, and the peer that waits for its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fencing import FenceOutcome
from haagent import feeding
from haagent.core.events import Consent, FenceFinished, Reconfigured
from haagent.core.phases import HOLDING
from haagent.core.settings import MS, S
from haagent.outwaiting import SPARE_S, proved
from haagent.witness import keeps_claim
from haagent.witness.panel import Kept

if TYPE_CHECKING:
    from .agent import Agent
    from .bmc import Worker
    from .machine import Machine

FEED_NS = 500 * MS
LOOK_NS = 1 * S


@dataclass(frozen=True, slots=True)
class Plan:
    """What the watchdogs of a pair are."""

    timeout_s: int
    unfed_after_s: int


class Watchdog:
    """The device: it runs on when its machine is frozen, and ends with a reset."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.fires_ns: int | None = None

    def feed(self) -> None:
        """Start it, or its time anew."""
        plan = self.machine.world.mix.unfed
        assert plan is not None
        timeout_ns = plan.timeout_s * S
        self.fires_ns = self.machine.world.now_ns + timeout_ns
        self.machine.world.after(timeout_ns, self._over, self.fires_ns)

    def stop(self) -> None:
        """Disarmed, or reset with its machine."""
        self.fires_ns = None

    def _over(self, fires_ns: int) -> None:
        if self.fires_ns == fires_ns:
            self.machine.reset("watchdog")


class Guard:
    """The agent's part in it: the right to feed, and the wait for the peer's end."""

    def __init__(self, agent: Agent, plan: Plan) -> None:
        self.agent = agent
        self.world = agent.world
        self.plan = plan
        self.right = feeding.FeedingRight(agent.incarnation, plan.unfed_after_s * S)
        self.armed = False
        self.kept: Kept | None = None
        self._grant = 0
        """Of the witnesses' lock: another number is another lock."""
        self._fed_ns: int | None = None
        self._waiting: tuple[Worker, FenceOutcome] | None = None

    @property
    def now_ns(self) -> int:
        """The machine's own clock."""
        return self.agent.machine.local_ns()

    def beat(self) -> None:
        """A heartbeat is about to leave."""
        self.right.sent(self.agent.counter + 1, self.now_ns)
        due = self._fed_ns is None or self.now_ns - self._fed_ns >= FEED_NS
        if not due or not self.right.lasts(self.now_ns):
            return
        self._fed_ns = self.now_ns
        # A process may be stopped between the look at its right and the feeding.
        self.agent.later(self.world.rng.choice((0, 1 * MS)), self._feed)

    def _feed(self) -> None:
        self.agent.machine.watchdog.feed()
        if not self.armed:
            self.armed = True
            unfed_s = feeding.unfed_s(self.plan.unfed_after_s, self.plan.timeout_s)
            self.agent.answer(0, Reconfigured(replace(self.agent.state.settings, unfed_s=unfed_s)))

    def look(self) -> None:
        """Ask the witnesses whether they stand by us; again and again."""
        asked_ns = self.now_ns
        self.agent.later(self.world.witness.delay_ns(), self._looked, asked_ns)
        self.agent.later(LOOK_NS, self.look)

    def _looked(self, asked_ns: int) -> None:
        if self.world.witness.stands_by(self.agent):
            self.agent.later(self.world.witness.delay_ns(), self.right.agreed, asked_ns)

    def answered(self, consent: Consent, asked_ns: int, grant: int) -> None:
        """The witnesses answered a claim."""
        if not keeps_claim(self.agent.state.pair):
            return
        if consent is Consent.WON:
            same = self.kept is not None and grant == self._grant
            since_ns = self.kept.since_ns if self.kept is not None and same else self.now_ns
            self.kept, self._grant = Kept(since_ns, asked_ns), grant
        elif consent is not Consent.UNREACHABLE:
            self.kept = None
        self._judge()

    def observe(self) -> None:
        """After a step."""
        self.right.observe(self.agent.state)
        if not keeps_claim(self.agent.state.pair):
            self.kept = None

    def ends(self) -> None:
        """The process ends in order."""
        if not any(isinstance(group.phase, HOLDING) for group in self.agent.state.groups):
            self.agent.machine.watchdog.stop()

    def outwaits(self, worker: Worker, outcome: FenceOutcome) -> bool:
        """The devices proved nothing; whether the peer's watchdog may still."""
        if not self._need_ns() or self.kept is None:
            return False
        self._waiting = worker, outcome
        self.world.after(self._need_ns() + round(SPARE_S) * S, self._give_up, worker)
        return True

    def _need_ns(self) -> int:
        view = self.agent.state.view
        unfed_s = view.body.unfed_s if view is not None else 0
        return feeding.outwait_ns(unfed_s) if unfed_s else 0

    def _judge(self) -> None:
        if self._waiting is None or not self._waiting[0].alive or self.kept is None:
            return
        heard_ns = self.agent.ear.heard_ns or 0
        if self._need_ns() and proved(self.kept, heard_ns, self._need_ns()):
            self.world.note(self.agent.machine.node, "peer outwaited", "")
            self._answer(FenceOutcome.CONFIRMED_OFF, self.kept.asked_ns)

    def _give_up(self, worker: Worker) -> None:
        if self._waiting is not None and self._waiting[0] is worker and worker.alive:
            self._answer(self._waiting[1], None)

    def _answer(self, outcome: FenceOutcome, read_ns: int | None) -> None:
        assert self._waiting is not None
        worker, self._waiting = self._waiting[0], None
        worker.alive = False
        self.agent.answer(MS, FenceFinished(worker.attempt, outcome, "watchdog", read_ns))
