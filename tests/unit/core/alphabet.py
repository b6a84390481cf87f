# SPDX-License-Identifier: GPL-2.0-or-later
"""A finite alphabet of everything that can happen to a core, and what must hold at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from core.harness import MINE, THEIRS, body, says
from fencing import FenceOutcome
from haagent.core.effects import DANGEROUS, Beat, Effect, Fence, PowerOn, StartGroup
from haagent.core.events import (
    AwayAsked,
    ConfirmOffAsked,
    Consent,
    DeadlinePassed,
    Event,
    EvidenceGathered,
    FenceFinished,
    FenceReadied,
    GroupLost,
    GroupOrdered,
    GroupStarted,
    GroupStartFailed,
    GroupStopFailed,
    GroupStopped,
    LinkChanged,
    MaintenanceAsked,
    OffProved,
    PeerHeard,
    Persisted,
    PersistFailed,
    PowerOnFinished,
    ReachChanged,
    StandbyRead,
    StopAsked,
    StopKind,
    SwitchoverAsked,
    SyncRead,
    VipProbed,
    VipProbeFailed,
)
from haagent.core.gates import EVIDENCE_OLD_NS, fence_reasons
from haagent.core.phases import (
    Active,
    Assessing,
    FenceCause,
    Fenced,
    Fencing,
    Grant,
    PoweringOn,
    Releasing,
    Silent,
    Starting,
    Stuck,
    Suspect,
    TakingOver,
    Wanting,
)
from haagent.core.settings import MS, S
from haagent.core.state import State, Step
from haagent.core.step import deadline_ns, step
from haagent.core.wire import Frame, GroupReport, Role

STRIDE_NS = 390 * MS
"""The loop at its slowest that is no stall yet: it saves steps, and is the hardest case."""
WAKES_MAX = 8
"""A core that wants more steps than this at one moment would never sleep."""
NEVER = 10**6
"""An attempt number that was never given."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One letter: a name and the events it means in a state, each with the time before it."""

    name: str
    events: Callable[[State], list[tuple[int, Event]]]
    slept_ns: int = 0
    """Time that passes before, unseen by the core."""
    answers: bool = False
    """It is an answer of the edges, or a wish of the operator."""

    def is_awaited(self, state: State) -> bool:
        """Whether it is more than an answer to a question that is not open (see `stale`)."""
        events = self.events(state) if self.answers else []
        return all(getattr(event, "attempt", None) != NEVER for _, event in events)


def settle(state: State, event: Event, now_ns: int) -> Iterator[tuple[State, Event, Step]]:
    """The event's step and whatever the core wants done at once after it, each one checked."""
    for _ in range(WAKES_MAX):
        done = step(state, event, now_ns)
        check(state, event, done, now_ns)
        yield state, event, done
        state, event = done.state, DeadlinePassed()
        if state.exited or (deadline_ns(state) or 0) > now_ns:
            return
    raise AssertionError(f"the core does not sleep: {state.pair} {state.groups}")


def run(state: State, happening: Happening) -> tuple[State, tuple[Effect, ...]]:
    """All steps of a letter; the state after it and every effect of it."""
    effects: list[Effect] = []
    if happening.slept_ns:
        state = replace(state, now_ns=state.now_ns + happening.slept_ns)
    for after_ns, event in happening.events(state):
        if state.exited:
            break
        for _, _, done in settle(state, event, state.now_ns + after_ns):
            state = done.state
            effects.extend(done.effects)
    return state, tuple(effects)


# What must hold at each step.


def check(before: State, event: Event, done: Step, now_ns: int) -> None:
    """The safety rules as far as one step of one node can break them."""
    dangerous = [effect for effect in done.effects if isinstance(effect, DANGEROUS)]
    assert len(dangerous) <= 1, dangerous
    # S6: only the clock's own event says that all queued input was taken.
    assert not dangerous or isinstance(event, DeadlinePassed), (dangerous, event)
    for effect in done.effects:
        match effect:
            case StartGroup(group=index):
                assert may_start(before, index), (before.pair, before.groups[index])
            case Fence():
                check_fence(before, done.state, now_ns)
            case PowerOn():
                assert isinstance(before.pair, Fenced | PoweringOn), before.pair
            case Beat():
                check_beat(done.state, effect)
            case _:
                pass
    for old, new in zip(before.groups, done.state.groups, strict=True):
        assert new.term >= old.term, "terms never fall"
        if isinstance(new.phase, Active) and not isinstance(old.phase, Active):
            assert isinstance(old.phase, Starting), old.phase


def may_start(before: State, index: int) -> bool:
    """S2: a durable term, silent addresses and a grant that still stands; or it was ours before.

    All of it was known before this step: a start follows an answer in a step of its own (S6).
    """
    phase = before.groups[index].phase
    if isinstance(phase, Starting):
        return phase.attempt is None
    if not isinstance(phase, TakingOver) or not (phase.persisted and phase.probed):
        return False
    return phase.grant is not Grant.PEER_OFF or isinstance(before.pair, Fenced)


def check_fence(before: State, after: State, now_ns: int) -> None:
    """S5 to S10: only from silence or on the peer's own word, with no gate closed."""
    assert isinstance(after.pair, Fencing)
    cause = after.pair.cause
    asked = cause is FenceCause.ASKED
    assert asked or isinstance(before.pair, Suspect | Silent)
    assert after.stopping is None
    assert not after.distrusted
    assert len(after.fences_ns) <= after.settings.timing.max_fences
    unshot = replace(after, fences_ns=after.fences_ns[:-1])
    # The pair is judged before the groups move on, so their phases are those of before or after.
    seen = [replace(unshot, groups=groups) for groups in (before.groups, after.groups)]
    assert any(fence_reasons(state, cause, now_ns) == () for state in seen)
    if asked:
        assert after.view is not None
        assert after.view.body.fence_me
        return
    assert not after.orders.maintenance
    assert after.evidence is not None
    assert after.evidence.answered_ns is not None
    assert now_ns - after.evidence.answered_ns < EVIDENCE_OLD_NS
    assert after.evidence.connected
    assert not after.settings.witnessed or after.evidence.consent is Consent.WON
    assert any(not isinstance(group.phase, Starting | Active) for group in after.groups)
    if cause is FenceCause.SILENCE:
        assert after.view is not None
        assert now_ns - after.view.heard_ns >= after.settings.timing.dead_after_ns
    assert now_ns - after.quiet_from_ns >= after.settings.timing.dead_after_ns


def check_beat(state: State, beat: Beat) -> None:
    """What is said fits what is true: an asking and a promise are never open together."""
    for group, said in zip(state.groups, beat.body.groups, strict=True):
        if isinstance(group.phase, Wanting):
            assert (said.attempt, said.attempt_incarnation) == (group.phase.attempt, MINE)
        elif said.role is not Role.YIELDED:
            assert (said.attempt, said.attempt_term, said.attempt_incarnation) == (0, 0, 0)
    if beat.body.leaving:
        assert not any(said.role.holds for said in beat.body.groups)


# The letters.


def frame(state: State, *reports: GroupReport, reborn: bool = False, **changes: object) -> Event:
    """The next frame of the peer's present incarnation, or the first one of another."""
    incarnation = state.view.incarnation if state.view else THEIRS
    counter = 1 + max([link.counter for link in state.links] + [0])
    if reborn and state.view:
        incarnation, counter = incarnation + 1, 1
    said = tuple(
        replace(report, name=group.name)
        for group in state.settings.groups
        for report in (reports or (says(Role.STANDBY),))
    )
    sent = Frame(1 - state.settings.me, 0, incarnation, counter, body(*said, **changes))
    return PeerHeard(0, state.now_ns, sent)


def heard(name: str, role: Role, *, reborn: bool = False, **changes: object) -> Happening:
    """A frame with that role for every group, in a term of its own."""

    def events(state: State) -> list[tuple[int, Event]]:
        term = state.groups[0].term
        report = says(role, term=term + (role is Role.ACTIVE), held_term=0)
        if role is Role.WANTING:
            report = replace(report, attempt=7, attempt_term=term + 1)
            report = replace(report, switchover=name.endswith("switchover"))
        return [(0, frame(state, report, reborn=reborn, **changes))]

    return Happening(f"hear {name}", events)


def _yields(state: State) -> list[tuple[int, Event]]:
    """The promise to the open asking of the first group that has one, or to none."""
    phases = [group.phase for group in state.groups]
    mine = next((phase for phase in phases if isinstance(phase, Wanting)), None)
    attempt, term = (mine.attempt, mine.term) if mine else (NEVER, 1)
    report = says(
        Role.YIELDED, term=term, attempt=attempt, attempt_term=term, attempt_incarnation=MINE
    )
    return [(0, frame(state, report))]


def _stranger(state: State) -> list[tuple[int, Event]]:
    sent = Frame(1 - state.settings.me, 0, 9, 1, body(says(Role.ACTIVE, term=99), echo=0))
    return [(0, PeerHeard(0, state.now_ns, sent))]


def _replay(state: State) -> list[tuple[int, Event]]:
    known = state.view
    incarnation = known.incarnation if known else THEIRS
    old = body(says(Role.ACTIVE, term=99), echo=MINE if known else 0)
    return [(0, PeerHeard(0, state.now_ns, Frame(1 - state.settings.me, 0, incarnation, 0, old)))]


def wait(name: str, duration_ns: int) -> Happening:
    """The time passes, and the loop is as slow as it may be without being late."""
    strides, rest = divmod(duration_ns, STRIDE_NS)
    ticks: list[tuple[int, Event]] = [(STRIDE_NS, DeadlinePassed())] * strides
    return Happening(f"wait {name}", lambda _: [*ticks, (rest, DeadlinePassed())])


def leap(name: str, duration_ns: int) -> Happening:
    """A long time passes in one stride that the core does not take for a stall of its own.

    This is one step where a real loop takes hundreds, and it is harder: every timer that can run
    out in that time does so at once.
    """
    return Happening(
        f"wait {name}", lambda _: [(STRIDE_NS, DeadlinePassed())], duration_ns - STRIDE_NS
    )


def _freeze(_: State) -> list[tuple[int, Event]]:
    return [(5 * S, DeadlinePassed())]


def pair_attempt(state: State) -> int:
    """The attempt that the pair's phase waits for."""
    if isinstance(state.pair, Fencing | PoweringOn) and state.pair.attempt is not None:
        return state.pair.attempt
    return NEVER


def group_attempt(state: State, index: int, *kinds: type) -> int:
    """The attempt that the group's phase waits for, if it is of one of these kinds."""
    phase = state.groups[index].phase
    attempt = getattr(phase, "attempt", None)
    return attempt if isinstance(phase, kinds) and attempt is not None else NEVER


def answer(name: str, make: Callable[[State], Event]) -> Happening:
    """One answer of the edges or one wish of the operator."""
    return Happening(name, lambda state: [(1 * MS, make(state))], answers=True)


def _evidence(state: State, consent: Consent = Consent.WON, **changes: bool) -> Event:
    asked = state.confirming or state.evidence
    facts = {"connected": True, "serving": False, "vip_answered": False, **changes}
    return EvidenceGathered(asked.attempt if asked else NEVER, **facts, consent=consent)


def _fence_ends(outcome: FenceOutcome) -> Callable[[State], Event]:
    return lambda state: FenceFinished(pair_attempt(state), outcome, "")


PAIR_LETTERS = [
    heard("standby", Role.STANDBY),
    heard("wanting", Role.WANTING),
    heard("wanting switchover", Role.WANTING),
    Happening("hear yielded", _yields),
    heard("active", Role.ACTIVE),
    heard("releasing", Role.RELEASING),
    heard("stuck", Role.STUCK, fence_me=True),
    heard("leaving", Role.STANDBY, leaving=True),
    heard("pausing", Role.ACTIVE, pausing_ms=2000),
    heard("other config", Role.STANDBY, configuration_hash=b"x" * 16),
    heard("reborn standby", Role.STANDBY, reborn=True),
    heard("reborn active", Role.ACTIVE, reborn=True),
    Happening("hear stranger", _stranger),
    Happening("hear replay", _replay),
    *(answer(f"fence {outcome.value}", _fence_ends(outcome)) for outcome in FenceOutcome),
    answer("power on done", lambda s: PowerOnFinished(pair_attempt(s), ok=True, detail="")),
    answer("power on failed", lambda s: PowerOnFinished(pair_attempt(s), ok=False, detail="")),
    answer("evidence good", _evidence),
    answer("evidence isolated", lambda s: _evidence(s, connected=False)),
    answer("evidence serving", lambda s: _evidence(s, serving=True)),
    answer("evidence vip answers", lambda s: _evidence(s, vip_answered=True)),
    answer("witnesses refuse", lambda s: _evidence(s, Consent.REFUSED)),
    answer("ask maintenance", lambda s: MaintenanceAsked(1, not s.orders.maintenance)),
    answer("ask confirm-off", lambda _: ConfirmOffAsked(1, force=False)),
    answer("ask confirm-off forced", lambda _: ConfirmOffAsked(1, force=True)),
    answer("console proof", lambda s: OffProved(1, s.now_ns)),
    answer("ask switchover", lambda _: SwitchoverAsked(1, None)),
    answer("ask me away", lambda s: AwayAsked(1, s.settings.me, not s.orders.away[s.settings.me])),
    answer("ask leave", lambda _: StopAsked(StopKind.LEAVE)),
    answer("ask pause", lambda _: StopAsked(StopKind.PAUSE)),
    wait("100 ms", 100 * MS),
    wait("1.1 s", 1100 * MS),
    leap("6 s", 6 * S),
    leap("31 s", 31 * S),
    Happening("freeze 5 s", _freeze),
]


def group_letters(index: int) -> list[Happening]:
    """What happens to one group."""

    def at(*kinds: type) -> Callable[[State], int]:
        return lambda state: group_attempt(state, index, *kinds)

    taking, begun = at(TakingOver), at(Starting)
    ending = at(Assessing, Releasing, Stuck)
    suffix = f" {index}" if index else ""
    letters: list[tuple[str, Callable[[State], Event]]] = [
        ("persisted", lambda s: Persisted(taking(s))),
        ("persist failed", lambda s: PersistFailed(taking(s), "full")),
        ("vip silent", lambda s: VipProbed(index, taking(s), None)),
        ("vip answers", lambda s: VipProbed(index, taking(s), "02:00:00:00:00:01")),
        ("vip probe failed", lambda s: VipProbeFailed(index, taking(s), "down")),
        ("started", lambda s: GroupStarted(index, begun(s))),
        ("start failed", lambda s: GroupStartFailed(index, begun(s), "")),
        ("stopped", lambda s: GroupStopped(index, ending(s))),
        ("stop failed", lambda s: GroupStopFailed(index, ending(s), "")),
        ("lost", lambda _: GroupLost(index, "")),
        ("order stop", lambda _: GroupOrdered(1, index, "stop")),
        ("order freeze", lambda _: GroupOrdered(1, index, "freeze")),
        ("replica escaped", lambda _: StandbyRead(index, ready=False, escaped=True)),
        ("commits wait", lambda s: SyncRead(index, s.last_attempt, complete=False)),
        ("peer complete", lambda s: SyncRead(index, s.last_attempt, complete=True)),
        ("clients lost", lambda _: ReachChanged(index, reachable=False, doubtful=True)),
    ]
    return [answer(name + suffix, make) for name, make in letters]


def stale(state: State, attempt: int) -> list[Event]:
    """Every answer there is, with a number that nobody waits for any more."""
    events: list[Event] = [
        *(FenceFinished(attempt, outcome, "") for outcome in FenceOutcome),
        PowerOnFinished(attempt, ok=True, detail=""),
        PowerOnFinished(attempt, ok=False, detail=""),
        Persisted(attempt),
        PersistFailed(attempt, ""),
        EvidenceGathered(attempt, connected=True, serving=False, vip_answered=False),
    ]
    for index in range(len(state.groups)):
        events += [
            VipProbed(index, attempt, None),
            VipProbed(index, attempt, "02:00:00:00:00:01"),
            VipProbeFailed(index, attempt, ""),
            GroupStarted(index, attempt),
            GroupStartFailed(index, attempt, ""),
            GroupStopped(index, attempt),
            GroupStopFailed(index, attempt, ""),
        ]
    return events


def stale_answers_change_nothing(state: State, attempt: int) -> None:
    """S4: an answer nobody waits for does what an event without any news does, and nothing else.

    That is what the clock alone does as well, but for the dangerous effects, which it has to
    itself (S6).
    """
    carrier = LinkChanged(0, carrier=state.links[0].carrier)
    no_news = step(state, carrier, state.now_ns)
    clock = step(state, DeadlinePassed(), state.now_ns)
    strikes = any(isinstance(effect, DANGEROUS) for effect in clock.effects)
    assert strikes or no_news == clock
    assert not strikes or no_news.state.wake_ns == state.now_ns, "what is due comes at once"
    for event in stale(state, attempt):
        done = step(state, event, state.now_ns)
        check(state, event, done, state.now_ns)
        assert done == no_news, event


def facts() -> list[Event]:
    """Events that only tell the core something."""
    return [LinkChanged(0, carrier=False), FenceReadied(ready=False, detail="")]
