# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated agent process: the loop's contract, and the effects carried out with delays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from haagent.core import step as core
from haagent.core.effects import (
    AbandonFence,
    Announce,
    Beat,
    CommitAlone,
    Effect,
    Exit,
    Fence,
    GatherEvidence,
    Manage,
    Persist,
    PowerOn,
    ProbeVip,
    Record,
    Reply,
    StandBy,
    StartGroup,
    StopGroup,
)
from haagent.core.events import (
    Consent,
    DeadlinePassed,
    Event,
    EvidenceGathered,
    PeerHeard,
    Persisted,
    PersistFailed,
    VipProbed,
)
from haagent.core.settings import MS, S
from haagent.core.wire import Frame

from .bmc import Worker
from .checkers import Ear
from .service import Service
from .violation import Violation
from .watchdog import Guard

if TYPE_CHECKING:
    from .machine import Machine
    from .world import World

SPIN_MAX = 40
"""More deadlines than this at one instant are a core that never sleeps."""
PROBE_NS = 20 * MS


class Agent:
    """One process: killed at any time, or stopped and continued."""

    def __init__(self, world: World, machine: Machine, *, same_boot: bool) -> None:
        self.world = world
        self.machine = machine
        self.began_ns = world.now_ns
        self.alive = True
        self.stopped = False
        """SIGSTOP: the kernel goes on queueing its frames, and its fence worker runs on."""
        self.incarnation = world.rng.getrandbits(63) + 1
        self.ear = Ear(self.incarnation, len(world.mix.links))
        self.counter = 0
        self.inputs: tuple[deque[Event], ...] = tuple(
            deque() for _ in range(len(world.mix.links) + 1)
        )
        """What waits to be read: a socket per link, and the answers."""
        self.workers: dict[int, Worker] = {}
        self.disk_free_ns = 0
        self.consent = Consent.UNASKED
        """What the witnesses said last that was not too late, and when."""
        self.consent_ns = 0
        self._waits: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._wake_ns = -1
        self.sync_told: dict[int, int] = {}
        """Number of the last reading of each synchronous group, and what it said."""
        self.sync_copies: dict[int, bool] = {}
        self.guard = Guard(self, world.mix.unfed) if world.mix.unfed else None
        self.services = [Service(self, group) for group in range(len(world.mix.groups))]
        found = [index for index, service in enumerate(self.services) if service.found()]
        self._first = core.start(
            machine.settings,
            incarnation=self.incarnation,
            now_ns=machine.local_ns(),
            record=machine.record,
            same_boot=same_boot,
            found=frozenset(found),
        )
        self.state = self._first.state

    def begin(self) -> None:
        """The first effects, once the machine knows its agent."""
        for group in self.world.ledger.groups:
            self.world.ledger.look(self, group)
        for effect in self._first.effects:
            self._carry_out(effect)
        for link, up in enumerate(self.machine.carriers()):
            if not up:
                self.machine.world.network.tell_carrier(link, self.machine.node)
        if self.guard is not None:
            self.guard.look()
        self._wake()

    # Input.

    @property
    def runnable(self) -> bool:
        """Neither the process nor its machine is frozen."""
        return self.alive and not self.stopped and not self.machine.frozen

    def hear(self, link: int, frame: Frame, *, wake: bool = True) -> None:
        """The kernel received a frame: it has its time from now on."""
        self.inputs[link].append(PeerHeard(link, self.machine.local_ns(), frame))
        if wake:
            self._arrived()

    def answer(self, delay_ns: int, event: Event) -> None:
        """A result, or an operator's word, reaches the process after that time."""
        self.world.after(delay_ns, self._answered, event)

    def _answered(self, event: Event) -> None:
        if self.alive:
            self.inputs[-1].append(event)
            self._arrived()

    def _arrived(self) -> None:
        if not self.machine.loaded:
            self._wake()
        else:
            self._wake_after(self.world.rng.randint(0, 350 * MS))

    def _wake_after(self, delay_ns: int) -> None:
        at_ns = self.world.now_ns + delay_ns
        if self.world.now_ns < self._wake_ns <= at_ns:
            return
        self._wake_ns = at_ns
        self.world.after(delay_ns, self._woken, at_ns)

    def _woken(self, at_ns: int) -> None:
        if self._wake_ns == at_ns:
            self._wake()

    def _wake(self) -> None:
        """The loop: all queued input, then the clock, until there is nothing left to do."""
        if not self.runnable:
            return
        if self.world.clock_first and core.deadline_ns(self.state) is not None:
            self._step(DeadlinePassed())  # Only in a sabotage test.
        spins = 0
        while True:
            self._drain()
            deadline_ns = core.deadline_ns(self.state)
            if not self.alive or deadline_ns is None or deadline_ns > self.machine.local_ns():
                break
            spins += 1
            if spins > SPIN_MAX:
                raise Violation("spin: the core asks for no sleep at all")
            self._step(DeadlinePassed())
        if self.alive and deadline_ns is not None:
            late_ns = self.world.rng.randint(0, 250 * MS) if self.machine.loaded else 0
            self._wake_after(self.machine.world_ns(deadline_ns) - self.world.now_ns + late_ns)

    def _drain(self) -> None:
        """In each source's order; between the sources in any order."""
        while self.alive:
            ready = [source for source in self.inputs if source]
            if not ready:
                return
            source = ready[0] if len(ready) == 1 else self.world.rng.choice(ready)
            self._step(source.popleft())

    def _step(self, event: Event) -> None:
        before = self.state
        if isinstance(event, PeerHeard):
            self.ear.hear(event)
            if self.guard is not None:
                self.guard.right.heard(event.frame)
        if isinstance(event, EvidenceGathered):
            self._consented(event)
        result = core.step(before, event, self.machine.local_ns())
        self.state = result.state
        self.world.checker.stepped(self, event, before, result)
        if self.guard is not None:
            self.guard.observe()
        for effect in result.effects:
            self._carry_out(effect)
        self.world.witness.observe(self)

    def _consented(self, event: EvidenceGathered) -> None:
        """What the core shall go by, unless it comes too late (S4)."""
        evidence = self.state.evidence
        if evidence is not None and evidence.attempt == event.attempt:
            self.consent, self.consent_ns = event.consent, self.world.now_ns

    # Life.

    def die(self) -> None:
        """SIGKILL, or the machine's end: its fence worker ends with it, its resources do not."""
        self.alive = False
        self.machine.agent = None
        for worker in self.workers.values():
            worker.alive = False

    def stop(self) -> None:
        """SIGSTOP."""
        self.stopped = True

    def cont(self) -> None:
        """SIGCONT."""
        self.stopped = False
        self.thaw_if_runnable()

    def thaw_if_runnable(self) -> None:
        """What its own code waited for goes on, then the loop."""
        if self.runnable:
            waits, self._waits = self._waits, []
            for call, arguments in waits:
                self._run(call, *arguments)
            self._wake()

    def later(self, delay_ns: int, call: Callable[..., None], *arguments: Any) -> None:
        """Work of this very process."""
        self.world.after(delay_ns, self._run, call, *arguments)

    def _run(self, call: Callable[..., None], *arguments: Any) -> None:
        if not self.alive:
            return
        if self.runnable:
            call(*arguments)
        else:
            self._waits.append((call, arguments))

    # Effects.

    def _carry_out(self, effect: Effect) -> None:
        rng = self.world.rng
        match effect:
            case Beat():
                if self.guard is not None:
                    self.guard.beat()
                frames = []
                for link in range(len(self.world.mix.links)):
                    self.counter += 1
                    node = self.machine.node
                    frame = Frame(node, link, self.incarnation, self.counter, effect.body)
                    frames.append(frame)
                self.world.network.send(self.machine.node, frames)
                return
            case Persist():
                self._persist(effect)
            case Fence():
                shot = self.world.checker.shot(self, effect.attempt)
                self.workers[effect.attempt] = Worker(self, effect.attempt, shot)
            case PowerOn():
                self.workers[effect.attempt] = Worker(self, effect.attempt, None)
            case AbandonFence():
                self.workers[effect.attempt].alive = False
            case GatherEvidence():
                self.later(rng.randint(5, 300) * MS, self._gathered, effect)
            case ProbeVip():
                seen = self.machine.sees_answer(effect.group)
                self.later(PROBE_NS, self._probed, effect, seen)
            case StartGroup():
                self.services[effect.group].start(effect.attempt)
            case StopGroup():
                self.services[effect.group].stop(effect.attempt)
            case Exit():
                if self.guard is not None:
                    self.guard.ends()
                self.die()
            case Manage():
                self.services[effect.group].manage(on=effect.on)
            case CommitAlone():
                self.world.ledger.let_go(self, effect.group, effect.attempt)
            case Announce() | Reply() | StandBy():
                pass
            case _:
                assert_never(effect)
        self.world.carried_out(self.machine.node, effect)

    def _persist(self, effect: Persist) -> None:
        """One write after the other; the answer comes later than the write."""
        slow = self.machine.disk_slow
        took_ns = self.world.rng.randint(1 * MS, 3 * S if slow else 15 * MS)
        start_ns = max(self.world.now_ns, self.disk_free_ns)
        self.disk_free_ns = start_ns + took_ns
        self.later(self.disk_free_ns - self.world.now_ns - MS // 2, self._written, effect)

    def _written(self, effect: Persist) -> None:
        if self.machine.disk_full:
            self.answer(MS // 2, PersistFailed(effect.attempt, "no space left on device"))
            return
        record: Record = effect.record
        self.machine.write(record)
        self.answer(MS // 2, Persisted(effect.attempt))

    def _gathered(self, effect: GatherEvidence) -> None:
        node, world = self.machine.node, self.world
        other = world.machines[1 - node]
        groups = range(len(world.mix.groups))
        answered = any(self.machine.sees_answer(group) for group in groups)
        serving = world.mix.probe and any(
            other.serves(group) and self.machine.lan_to(other)
            for group in groups
            if not self.machine.holds(group)
        )
        connected = world.network.connected(node)
        facts = EvidenceGathered(effect.attempt, connected, serving, answered)
        if effect.terms:
            asked_ns = self.machine.local_ns()
            self.later(world.witness.delay_ns(), self._claimed, facts, asked_ns)
        else:
            world.witness.give_back(self)
            if self.guard is not None:
                self.guard.kept = None
            self.answer(0, facts)

    def _claimed(self, facts: EvidenceGathered, asked_ns: int) -> None:
        """The witnesses were asked; their answer takes its time too."""
        witness = self.world.witness
        consent, delay_ns = witness.claim(self), witness.delay_ns()
        if self.guard is not None:
            self.later(delay_ns, self.guard.answered, consent, asked_ns, witness.grants)
        self.answer(delay_ns, replace(facts, consent=consent))

    def _probed(self, effect: ProbeVip, seen: str | None) -> None:
        seen = seen or self.machine.sees_answer(effect.group)
        self.answer(0, VipProbed(effect.group, effect.attempt, seen))
