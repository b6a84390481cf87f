# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold in every world, judged by the simulated machines and not by the cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fencing import FenceOutcome
from haagent.core.effects import DANGEROUS, Effect, Fence, PowerOn, StartGroup
from haagent.core.events import (
    Consent,
    Event,
    EvidenceGathered,
    FenceFinished,
    PeerHeard,
    StopKind,
)
from haagent.core.gates import EVIDENCE_OLD_NS
from haagent.core.pair import FENCED_HOLD_NS
from haagent.core.phases import (
    Alive,
    FenceCause,
    Fencing,
    PoweringOn,
    Silent,
    Standby,
    Starting,
    TakingOver,
    Wanting,
    Yielded,
)
from haagent.core.settings import S
from haagent.core.state import State, Step
from haagent.core.wire import Body, Frame, Role

from .bmc import Shot
from .moves import Moves
from .violation import Violation

if TYPE_CHECKING:
    from .agent import Agent
    from .machine import Machine
    from .world import World


class Order:
    """A power-off ordered from this machine, as S10 counts it."""

    def __init__(self, local_ns: int, incarnation: int, attempt: int) -> None:
        self.local_ns = local_ns
        self.incarnation = incarnation
        self.attempt = attempt
        self.failed = False
        self.durable = False


class Ear:
    """What an agent should have understood of the peer's frames: an independent small model."""

    def __init__(self, incarnation: int, links: int) -> None:
        self.mine = incarnation
        self.peer = 0
        self.retired: set[int] = set()
        self.counters = [-1] * links
        self.newest = -1
        self.heard_ns: int | None = None
        self.body: Body | None = None
        self.told: dict[str, tuple[int, int]] = {}
        """Of each group: the last term in which the peer held it, and its best position then."""

    def counts(self, frame: Frame) -> bool:
        """Whether the frame is a sign of life: not a replay, of an incarnation that echoed us."""
        if frame.incarnation == self.peer:
            return frame.counter > self.counters[frame.link]
        return frame.incarnation not in self.retired and frame.body.echo == self.mine

    def hear(self, event: PeerHeard) -> None:
        """The frame is given to the core."""
        frame = event.frame
        if not self.counts(frame):
            return
        if frame.incarnation != self.peer:
            self.retired.add(self.peer)
            self.peer = frame.incarnation
            self.counters = [-1] * len(self.counters)
            self.newest = -1
        self.counters[frame.link] = frame.counter
        if frame.counter > self.newest:
            self.newest, self.body = frame.counter, frame.body
            self._note_positions(frame.body)
        self.heard_ns = max(self.heard_ns or 0, event.heard_ns)

    def _note_positions(self, body: Body) -> None:
        for report in body.groups:
            if report.role is not Role.ACTIVE:
                continue
            term, best = self.told.get(report.name, (0, -1))
            if report.term > term and report.position >= 0:
                best = report.position
            if report.term >= term:
                self.told[report.name] = (report.term, max(best, report.position))


class Checker:
    """All checks of one world; each raises Violation at the moment of the offence."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.shots: list[Shot] = []
        self.moves = Moves(world)
        self.off_ns: list[int | None] = [None, None]
        """When that node's agent believed the peer proved off by hardware."""

    def one_holder(self) -> None:
        """S1: a group runs on one powered machine at most; a frozen one counts as running."""
        for group in range(len(self.world.mix.groups)):
            if all(m.powered and m.holds(group) for m in self.world.machines):
                if self.world.tolerates_two:
                    self.world.note_once("two holders")
                    return
                raise Violation(f"S1: group {group} runs on both powered machines")

    def stepped(self, agent: Agent, event: Event, before: State, step: Step) -> None:
        """After every step of a core."""
        self._note(agent, event, before, step)
        self._refused(event, step)
        dangerous = [effect for effect in step.effects if isinstance(effect, DANGEROUS)]
        if not dangerous:
            return
        if len(dangerous) > 1:
            raise Violation(f"one dangerous effect per step: {dangerous}")
        effect = dangerous[0]
        if isinstance(effect, Fence):
            self._fence(agent, effect, step.state)
        elif isinstance(effect, PowerOn):
            self._power_on(agent, before, step.state)
        else:
            self._start(agent, effect, before, step.state)

    def _note(self, agent: Agent, event: Event, before: State, step: Step) -> None:
        node, after = agent.machine.node, step.state
        changed = before.pair is not after.pair or before.groups is not after.groups
        if changed:
            self._count(before, after)
            self.moves.stepped(agent, event, before, after)
        if changed or len(step.effects) > 1 or not isinstance(event, PeerHeard):
            self.world.stepped(node, event, before, step)
        if isinstance(event, FenceFinished) and event.outcome is FenceOutcome.CONFIRMED_OFF:
            fencing = before.pair
            if isinstance(fencing, Fencing) and fencing.attempt == event.attempt:
                self.off_ns[node] = self.world.now_ns

    def _count(self, before: State, after: State) -> None:
        """So that no fault and no phase is simulated in name only."""
        counts = self.world.counts
        if type(before.pair) is not type(after.pair):
            counts[f"pair {type(after.pair).__name__}"] += 1
        for old, new in zip(before.groups, after.groups, strict=True):
            if type(old.phase) is not type(new.phase):
                grant = new.phase.grant if isinstance(new.phase, TakingOver) else ""
                counts[f"group {type(new.phase).__name__} {grant}".rstrip()] += 1
        if isinstance(after.pair, Silent):
            for reason in after.pair.reasons:
                counts[f"gate {reason.code}"] += 1
        if after.distrusted and not before.distrusted:
            counts["distrusted"] += 1
            if not self.world.lies and not counts["fault foreign_vip"]:
                raise Violation("S8: an honest device is distrusted")

    # Violence.

    def _fence(self, agent: Agent, effect: Fence, state: State) -> None:
        assert isinstance(state.pair, Fencing)
        self._agreed(agent, state)
        asked = state.pair.cause is FenceCause.ASKED
        ear, machine = agent.ear, agent.machine
        if asked:
            if ear.body is None or not ear.body.fence_me:
                raise Violation("justified violence: nobody asked to be fenced")
        else:
            for queue in agent.inputs[:-1]:
                for waiting in queue:
                    assert isinstance(waiting, PeerHeard)
                    if ear.counts(waiting.frame):
                        raise Violation("justified violence: a frame of the peer lies unread")
            silent_ns = machine.local_ns() - (ear.heard_ns or -1 << 62)
            if silent_ns < self.world.mix.timing.dead_after_ns:
                raise Violation(f"justified violence: the peer was heard {silent_ns} ns ago")
            if not self._could_gain(machine, state) and not self.world.ledger.stands(machine):
                raise Violation("S9: shoots although there is nothing to gain")
            self._consented(agent)
        self._bounded(agent, effect)

    def _consented(self, agent: Agent) -> None:
        """S2 e: the last answer that the witnesses gave this very agent was a yes, and is young."""
        if self.world.mix.witness is None:
            return
        if agent.consent not in {Consent.WON, Consent.AGREED}:
            raise Violation(f"witness: shoots, and they said {agent.consent}")
        if self.world.now_ns - agent.consent_ns > EVIDENCE_OLD_NS + S:
            raise Violation("witness: shoots on a consent of long ago")

    @staticmethod
    def _refused(event: Event, step: Step) -> None:
        """S2 e: the witnesses took the consent back; no order may follow from here."""
        pair, evidence = step.state.pair, step.state.evidence
        if not isinstance(event, EvidenceGathered) or event.consent is not Consent.REFUSED:
            return
        newest = evidence is not None and evidence.attempt == event.attempt
        if newest and isinstance(pair, Fencing) and pair.cause is not FenceCause.ASKED:
            raise Violation("consent: the fence goes on against the witnesses")

    @staticmethod
    def _agreed(agent: Agent, state: State) -> None:
        """Nobody is shot by rules that he is not known to share."""
        said = agent.ear.body
        if said is not None and said.configuration_hash != state.settings.configuration_hash:
            raise Violation("configuration: shoots while the peer runs another one")

    @staticmethod
    def _could_gain(machine: Machine, state: State) -> bool:
        idle = Standby | Wanting | Yielded
        return any(
            isinstance(group.phase, idle) and not machine.holds(index)
            for index, group in enumerate(state.groups)
        )

    def _bounded(self, agent: Agent, effect: Fence) -> None:
        """S10, over all agents of this boot, as far as the disk could know."""
        machine, timing = agent.machine, self.world.mix.timing
        now_ns = machine.local_ns()
        recent = [
            order
            for order in machine.orders
            if not order.failed and now_ns - order.local_ns < timing.fence_window_ns
        ]
        if len(recent) >= timing.max_fences:
            raise Violation(f"S10: fence number {len(recent) + 1} within the window")
        machine.orders.append(Order(now_ns, agent.incarnation, effect.attempt))
        machine.shooters.add(agent.incarnation)

    def shot_failed(self, agent: Agent, attempt: int) -> None:
        """No order left that machine, so it was no violence."""
        for order in agent.machine.orders:
            if (order.incarnation, order.attempt) == (agent.incarnation, attempt):
                order.failed = True

    def shot(self, agent: Agent, attempt: int) -> Shot:
        """A fence was ordered."""
        assert isinstance(agent.state.pair, Fencing)
        assert agent.state.pair.attempt == attempt
        cause = agent.state.pair.cause
        heard_ns = agent.ear.heard_ns if cause is FenceCause.SILENCE else None
        world_ns = None if heard_ns is None else agent.machine.world_ns(heard_ns)
        node = agent.machine.node
        asked = cause is FenceCause.ASKED
        changed_ns = agent.machine.world_ns(max(group.since_ns for group in agent.state.groups))
        return Shot(node, self.world.now_ns, world_ns, changed_ns, asked=asked)

    def shot_hit(self, shot: Shot) -> None:
        """Fences crossing: with the rule of the first node, two shots in one silence are wrong.

        The rule can only separate two nodes that fell silent to each other at nearly the same
        time, that knew each other's roles by then, and a BMC that acts within fence_delay; other
        pairs of shots prove nothing.
        """
        shot.hit_ns = self.world.now_ns
        limit_ns = self.world.mix.timing.fence_delay_ns // 2
        for other in self.shots:
            if other.shooter == shot.shooter or other.hit_ns is None:
                continue
            if other.heard_ns is None or shot.heard_ns is None or other.asked or shot.asked:
                continue
            overlap = max(other.ordered_ns, shot.ordered_ns) < min(other.hit_ns, shot.hit_ns)
            together = abs(other.heard_ns - shot.heard_ns) < limit_ns
            known = other.changed_ns < shot.heard_ns and shot.changed_ns < other.heard_ns
            if (
                overlap
                and together
                and known
                and abs(other.ordered_ns - shot.ordered_ns) < limit_ns
            ):
                raise Violation("S9: both nodes shot each other in the same silence")
        self.shots.append(shot)

    # Takeover.

    def _power_on(self, agent: Agent, before: State, state: State) -> None:
        """The first order after a proof: a second try, or a node that leaves, waits for nothing."""
        off_ns = self.off_ns[agent.machine.node]
        if off_ns is None:
            if agent.machine.shooters - {agent.incarnation}:
                return  # What an agent of this machine switched off, the next one switches on.
            raise Violation("power on: the peer was never proved off")
        if isinstance(before.pair, PoweringOn) or state.stopping is StopKind.LEAVE:
            return
        early = self.world.now_ns - off_ns < FENCED_HOLD_NS - S
        idle = TakingOver | ((Standby | Wanting | Yielded) if early else TakingOver)
        if any(isinstance(group.phase, idle) for group in state.groups):
            raise Violation("power on: before the takeover was settled")

    def _start(self, agent: Agent, effect: StartGroup, before: State, state: State) -> None:
        index = effect.group
        phase = state.groups[index].phase
        if not isinstance(phase, Starting) or not isinstance(
            before.groups[index].phase, TakingOver
        ):
            return  # The same holding goes on: a retry.
        name = state.groups[index].settings.name
        machine = agent.machine
        self._fresh(agent, before, index)
        if index in self.world.ledger.groups:
            self.world.ledger.begins(agent, index, before)
        durable = dict(machine.record.groups).get(name)
        if durable is None or not durable.held or durable.term < phase.term:
            raise Violation(f"durable: term {phase.term} of {name} starts, on disk is {durable}")
        if phase.term <= machine.held_terms.get(index, 0):
            raise Violation(f"terms: {name} held again in term {phase.term}")
        machine.held_terms[index] = phase.term

    @staticmethod
    def _fresh(agent: Agent, before: State, index: int) -> None:
        """Too old data is not started, unless an operator took the loss on himself.

        Judged by all that this agent heard, also of a holder that did not know its position later.
        """
        group = before.groups[index]
        limit = group.settings.max_lag
        term, position = agent.ear.told.get(group.settings.name, (0, -1))
        if (
            group.settings.sync
            or limit is None
            or before.now_ns < group.accept_loss_until_ns
            or group.held_term > term
        ):
            return
        lag = position - agent.machine.data.get(index, 0)
        if lag > limit:
            raise Violation(f"data: {group.settings.name} starts {lag} behind")

    def settled(self) -> str | None:
        """Liveness: None when each group is active on one node and both know; else what lacks."""
        agents = [machine.agent for machine in self.world.machines]
        for node, agent in enumerate(agents):
            if agent is None:
                return f"node {node} has no agent"
            if not isinstance(agent.state.pair, Alive):
                return f"node {node}: pair is {agent.state.pair}"
        for group in range(len(self.world.mix.groups)):
            holders = [m.node for m in self.world.machines if m.holds(group)]
            active = [
                node
                for node, agent in enumerate(agents)
                if agent and type(agent.state.groups[group].phase).__name__ == "Active"
            ]
            if len(holders) != 1 or holders != active:
                phases = [a.state.groups[group].phase for a in agents if a]
                return f"group {group}: runs on {holders}, active {active}, phases {phases}"
            if not self.world.machines[holders[0]].serves(group):
                return f"group {group}: something of it is dead on node {holders[0]}"
        return None


def effects_of_note(effects: tuple[Effect, ...]) -> list[Effect]:
    """All but the heartbeats."""
    return [effect for effect in effects if type(effect).__name__ != "Beat"]
