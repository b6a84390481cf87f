# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated BMC, and the worker process that talks to it from the other machine."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from fencing import FenceOutcome
from haagent.core.events import FenceFinished, PowerOnFinished
from haagent.core.settings import MS, S

from .mix import LAN

if TYPE_CHECKING:
    from .agent import Agent
    from .machine import Machine
    from .world import World

POLL_NS = 100 * MS


class Mode(StrEnum):
    """How a BMC behaves."""

    OK = "ok"
    SLOW = "slow"
    """Acts after up to 8 s, perhaps after the worker gave up."""
    DEAD = "dead"
    REFUSES = "refuses"
    LOSES_ANSWER = "loses_answer"
    """Carries the order out and is not heard from afterwards."""
    DOES_NOTHING = "does_nothing"
    """Accepts the order; the power stays and the reading says so."""
    LIAR = "liar"
    """Says off while the machine runs; only in the directed test (S8)."""


class Bmc:
    """Cuts and gives the power of one machine."""

    def __init__(self, world: World, machine: Machine) -> None:
        self.world = world
        self.machine = machine
        self.mode = Mode.OK
        self.has_power = True
        self.pdu = False
        """Where the BMC itself does not answer, its outlets can still be switched."""

    def reachable(self) -> bool:
        """From the peer: over the management network, or over the LAN where it hangs there."""
        cut = self.world.mix.bmc_on_lan and not self.world.network.passes(LAN)
        return self.pdu or (self.has_power and self.mode is not Mode.DEAD and not cut)

    def lag_ns(self) -> int:
        """From an accepted order to the power."""
        rng = self.world.rng
        slow = self.mode is Mode.SLOW
        return rng.randint(1 * S, 8 * S) if slow else rng.randint(10 * MS, 200 * MS)

    def act(self, *, on: bool, shot: Shot | None) -> None:
        """The order reaches the power, whoever gave it and whatever became of him."""
        if not self.has_power:
            return
        if on:
            self.machine.power_on("bmc")
        elif self.machine.powered:
            self.machine.power_off("bmc")
            if shot is not None:
                self.world.checker.shot_hit(shot)

    def act_for_console(self, on: bool = False) -> None:  # noqa: FBT001, FBT002  # a timer's call
        """The same for an operator, who is no shooter in the checker's sense."""
        self.act(on=on, shot=None)

    def says_off(self) -> bool:
        """What a status reading says."""
        return self.mode is Mode.LIAR or not self.machine.powered


class Shot:
    """One Fence effect, for the checker of crossing fences."""

    def __init__(
        self, shooter: int, ordered_ns: int, heard_ns: int | None, changed_ns: int, *, asked: bool
    ) -> None:
        self.shooter = shooter
        self.ordered_ns = ordered_ns
        self.heard_ns = heard_ns
        """World time of the last frame that counted; None for a lone start."""
        self.changed_ns = changed_ns
        """World time of the last change of its own roles."""
        self.asked = asked
        self.hit_ns: int | None = None


class Worker:
    """The process that carries out one order; a frozen machine freezes it, SIGKILL ends it."""

    def __init__(self, agent: Agent, attempt: int, shot: Shot | None) -> None:
        self.agent = agent
        self.world = agent.world
        self.attempt = attempt
        self.shot = shot
        self.on = shot is None
        self.alive = True
        self.read_ns: int | None = None
        """When the last reading was taken, by this machine's clock."""
        self.bmc = self.world.machines[1 - agent.machine.node].bmc
        self.until_ns = self.world.now_ns + self.world.mix.fence_deadline_ns
        slow = self.bmc.mode is Mode.SLOW
        self._later((5 * MS, 1500 * MS if slow else 150 * MS), self._logged_in)

    def _later(self, range_ns: tuple[int, int], call: object) -> None:
        self.world.after(self.world.rng.randint(*range_ns), self._run, call)

    def _run(self, call: object) -> None:
        if self.alive:
            assert callable(call)
            self.agent.machine.when_awake(self._run_awake, call)

    def _run_awake(self, call: object) -> None:
        if self.alive:
            assert callable(call)
            call()

    def _logged_in(self) -> None:
        if not self.bmc.reachable():
            self._later((300 * MS, 2 * S), self._failed)
        elif self.bmc.mode is Mode.REFUSES:
            self._failed()
        else:
            if self.bmc.mode not in {Mode.DOES_NOTHING, Mode.LIAR}:
                self.world.after(self.bmc.lag_ns(), self._act)
            self._later((20 * MS, POLL_NS), self._read)

    def _act(self) -> None:
        # Not _run: the BMC has the order, so neither freezing nor killing us takes it back.
        self.bmc.act(on=self.on, shot=self.shot)

    def _read(self) -> None:
        heard = self.bmc.reachable() and self.bmc.mode is not Mode.LOSES_ANSWER
        if heard and self.bmc.says_off() != self.on:
            self._later((10 * MS, 200 * MS), self._read_again)
        elif self.world.now_ns >= self.until_ns:
            self._finish(FenceOutcome.UNKNOWN)
        else:
            self._later((POLL_NS, POLL_NS), self._read)

    def _read_again(self) -> None:
        """After the settle time: only a second equal reading counts."""
        self.read_ns = self.agent.machine.local_ns()
        heard = self.bmc.reachable() and self.bmc.mode is not Mode.LOSES_ANSWER
        agrees = heard and self.bmc.says_off() != self.on
        self._finish(FenceOutcome.CONFIRMED_OFF if agrees else FenceOutcome.UNKNOWN)

    def _failed(self) -> None:
        self._finish(FenceOutcome.FAILED)

    def _finish(self, outcome: FenceOutcome) -> None:
        done = outcome is FenceOutcome.CONFIRMED_OFF
        guard = self.agent.guard
        if guard is not None and not (self.on or done) and guard.outwaits(self, outcome):
            return
        self.alive = False
        if self.on:
            self.agent.answer(MS, PowerOnFinished(self.attempt, done, outcome.value))
        else:
            if outcome is FenceOutcome.FAILED:
                self.world.checker.shot_failed(self.agent, self.attempt)
            self.agent.answer(
                MS, FenceFinished(self.attempt, outcome, self.bmc.mode.value, self.read_ns)
            )
