# SPDX-License-Identifier: GPL-2.0-or-later
"""One core on a bench: events by hand, time by hand, phases and effects to look at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from fencing import FenceOutcome
from haagent.core.effects import (
    DANGEROUS,
    Beat,
    Effect,
    Fence,
    GatherEvidence,
    Persist,
    PowerOn,
    ProbeVip,
    Record,
    Reply,
    StartGroup,
    StopGroup,
)
from haagent.core.events import (
    ConfirmOffAsked,
    Consent,
    DeadlinePassed,
    Event,
    EvidenceGathered,
    FenceFinished,
    GroupOrdered,
    GroupStarted,
    GroupStartFailed,
    GroupStopFailed,
    GroupStopped,
    MaintenanceAsked,
    OffProved,
    PeerHeard,
    Persisted,
    PersistFailed,
    PositionRead,
    PowerOnFinished,
    StopAsked,
    StopKind,
    SwitchoverAsked,
    VipProbed,
)
from haagent.core.gates import fence_reasons
from haagent.core.phases import START_TRIES, FenceCause, GroupPhase, PairPhase, Silent
from haagent.core.reasons import Reason
from haagent.core.settings import (
    MS,
    GroupSettings,
    LinkSettings,
    PairSettings,
    S,
    Timing,
)
from haagent.core.step import deadline_ns, start, step
from haagent.core.wire import AGE_NEVER_MS, Body, Frame, GroupReport, LinkReport, Role

MINE = 1000
"""My incarnation."""
THEIRS = 2000
"""The peer's first incarnation."""
REBORN = 2001
"""The peer's incarnation after its agent or its machine started anew."""
HASH = b"h" * 16
E = TypeVar("E", bound=Effect)
P = TypeVar("P")


def says(role: Role, **changes: Any) -> GroupReport:
    """What the peer says of the group "web", unless another name is given."""
    plain = GroupReport("web", role, True, 0, 0, 0, 0, 0, 0, False)  # noqa: FBT003 - a row of fields
    return replace(plain, **changes)


def body(*reports: GroupReport, **changes: Any) -> Body:
    """A heartbeat of a healthy peer that hears us on both links."""
    plain = Body(
        echo=MINE,
        stall_ms=0,
        leaving=False,
        fence_me=False,
        pausing_ms=0,
        maintenance=False,
        away=(False, False),
        orders_version=0,
        host_identity=bytes(16),
        configuration_hash=HASH,
        links=(LinkReport(1, 10), LinkReport(1, 10)),
        groups=reports,
    )
    return replace(plain, **changes)


DEAF = (LinkReport(0, AGE_NEVER_MS), LinkReport(0, AGE_NEVER_MS))
"""What a peer reports that hears us nowhere."""


def pair_settings(
    me: int = 1,
    groups: tuple[str, ...] = ("web",),
    timing: Timing | None = None,
    *,
    witnessed: bool = False,
    **of_groups: Any,
) -> PairSettings:
    """Two links, one of them switched; node 0 is preferred for every group."""
    return PairSettings(
        me,
        tuple(GroupSettings(name, **({"preferred": 0} | of_groups)) for name in groups),
        (LinkSettings("lan", switched=True), LinkSettings("ring", switched=False)),
        timing or Timing(),
        HASH,
        witnessed,
    )


class Bench:
    """Drives one core and keeps what it asked for."""

    def __init__(
        self,
        *,
        me: int = 1,
        groups: tuple[str, ...] = ("web",),
        timing: Timing | None = None,
        record: Record | None = None,
        same_boot: bool = False,
        found: frozenset[int] = frozenset(),
        **of_groups: Any,
    ) -> None:
        self.now_ns = 100 * S
        self.counter = 0
        self.incarnation = THEIRS
        self.all: list[Effect] = []
        first = start(
            pair_settings(me, groups, timing, **of_groups),
            incarnation=MINE,
            now_ns=self.now_ns,
            record=record or Record(),
            same_boot=same_boot,
            found=found,
        )
        self.state = first.state
        self.last: tuple[Effect, ...] = first.effects
        self.all.extend(first.effects)

    # What is true now.

    @property
    def pair(self) -> PairPhase:
        """The pair's phase."""
        return self.state.pair

    def phase(self, index: int = 0) -> GroupPhase:
        """A group's phase."""
        return self.state.groups[index].phase

    def in_pair(self, kind: type[P]) -> P:
        """The pair's phase, which must be of that kind."""
        assert isinstance(self.pair, kind), self.pair
        return self.pair

    def in_group(self, kind: type[P], index: int = 0) -> P:
        """The group's phase, which must be of that kind."""
        phase = self.phase(index)
        assert isinstance(phase, kind), phase
        return phase

    def reasons(self, cause: FenceCause = FenceCause.SILENCE) -> tuple[Reason, ...]:
        """The gates as they say no now: of the phase when it is Silent."""
        if isinstance(self.pair, Silent):
            return self.pair.reasons
        return fence_reasons(self.state, cause, self.now_ns)

    def asked(self, kind: type[E]) -> E:
        """The newest effect of that kind, ever."""
        found = [effect for effect in self.all if isinstance(effect, kind)]
        assert found, f"no {kind.__name__} was ever asked for"
        return found[-1]

    def count(self, kind: type[E]) -> int:
        """How many effects of that kind were asked for."""
        return sum(isinstance(effect, kind) for effect in self.all)

    def in_last(self, kind: type[E]) -> bool:
        """The last step asked for such an effect."""
        return any(isinstance(effect, kind) for effect in self.last)

    @property
    def beat(self) -> Body:
        """The newest heartbeat."""
        return self.asked(Beat).body

    def reply(self, request: int) -> Reply:
        """The one answer to that request."""
        found = [e for e in self.all if isinstance(e, Reply) and e.request == request]
        assert len(found) == 1, found
        return found[0]

    # What happens.

    def feed(self, event: Event) -> None:
        """One step, and whatever it wants done at once after it."""
        self._step(event)
        asked = self.last
        for _ in range(8):
            if self.state.exited or self.state.wake_ns is None:
                break
            self._step(DeadlinePassed())
            asked += self.last
        else:
            raise AssertionError("the core wakes itself for ever")
        self.last = asked

    def _step(self, event: Event) -> None:
        done = step(self.state, event, self.now_ns)
        dangerous = [effect for effect in done.effects if isinstance(effect, DANGEROUS)]
        assert len(dangerous) <= 1, dangerous
        assert not dangerous or isinstance(event, DeadlinePassed), (dangerous, event)
        self.state, self.last = done.state, done.effects
        self.all.extend(done.effects)

    def hear(
        self,
        *reports: GroupReport,
        link: int = 0,
        sent_on: int | None = None,
        counter: int | None = None,
        incarnation: int | None = None,
        heard_ns: int | None = None,
        **changes: Any,
    ) -> None:
        """A frame of the peer arrives; it is a fresh one of its present incarnation by default."""
        if counter is None:
            self.counter += 1
            counter = self.counter
        frame = Frame(
            sender=1 - self.state.settings.me,
            link=link if sent_on is None else sent_on,
            incarnation=self.incarnation if incarnation is None else incarnation,
            counter=counter,
            body=body(*(reports or (says(Role.STANDBY),)), **changes),
        )
        self.feed(PeerHeard(link, self.now_ns if heard_ns is None else heard_ns, frame))

    def reborn(self, *reports: GroupReport, **changes: Any) -> None:
        """The peer's agent started anew, and its frame already echoes us."""
        self.incarnation, self.counter = REBORN, 0
        self.hear(*reports, **changes)

    def pass_time(self, duration_ns: int, *heard: GroupReport, **changes: Any) -> None:
        """The loop of an agent that is never late; with reports the peer beats all the while."""
        end_ns = self.now_ns + duration_ns
        beat_ns = self.now_ns
        seen = self.last = ()
        while self.now_ns < end_ns and not self.state.exited:
            wanted_ns = deadline_ns(self.state)
            assert wanted_ns is not None
            self.now_ns = max(self.now_ns, min(wanted_ns, end_ns, beat_ns + 100 * MS))
            if heard and self.now_ns - beat_ns >= 100 * MS:
                beat_ns = self.now_ns
                self.hear(*heard, **changes)
                seen += self.last
            self.feed(DeadlinePassed())
            seen += self.last
            beat_ns = beat_ns if heard else self.now_ns
        self.last = seen

    def watch(self, duration_ns: int, **facts: Any) -> None:
        """Time passes in silence; every question for evidence is answered, always the same."""
        end_ns = self.now_ns + duration_ns
        while self.now_ns < end_ns and not self.state.exited:
            self.pass_time(min(100 * MS, end_ns - self.now_ns))
            if self.in_last(GatherEvidence):
                self.answer_evidence(**facts)

    def freeze(self, duration_ns: int) -> None:
        """The whole agent stands still; the next event meets it late."""
        self.now_ns += duration_ns

    # What the edges answer.

    def answer_evidence(
        self,
        *,
        connected: bool = True,
        serving: bool = False,
        vip_answered: bool = False,
        consent: Consent = Consent.UNASKED,
    ) -> None:
        """The newest question for evidence is answered."""
        attempt = self.asked(GatherEvidence).attempt
        self.feed(EvidenceGathered(attempt, connected, serving, vip_answered, consent))

    def finish_fence(self, outcome: FenceOutcome = FenceOutcome.CONFIRMED_OFF) -> None:
        """The newest power-off ends."""
        self.feed(FenceFinished(self.asked(Fence).attempt, outcome, ""))

    def finish_power_on(self, *, ok: bool = True) -> None:
        """The newest power-on ends."""
        self.feed(PowerOnFinished(self.asked(PowerOn).attempt, ok, ""))

    def persisted(self, *, ok: bool = True) -> None:
        """The newest record is on the disk, or cannot be put there."""
        attempt = self.asked(Persist).attempt
        self.feed(Persisted(attempt) if ok else PersistFailed(attempt, "no space left"))

    def probed(self, answered: str | None = None, index: int = 0) -> None:
        """The probe window of the group's newest takeover closes."""
        self.feed(VipProbed(index, self._newest(ProbeVip, index), answered))

    def started(self, index: int = 0, *, ok: bool = True) -> None:
        """The group's newest start ends."""
        attempt = self._newest(StartGroup, index)
        self.feed(
            GroupStarted(index, attempt) if ok else GroupStartFailed(index, attempt, "exit 1")
        )

    def does_not_start(self, index: int = 0) -> None:
        """Every try fails that is made before the peer is asked to take the group."""
        for _ in range(START_TRIES):
            self.started(index, ok=False)

    def stopped(self, index: int = 0, *, ok: bool = True) -> None:
        """The group's newest stop ends."""
        attempt = self._newest(StopGroup, index)
        self.feed(GroupStopped(index, attempt) if ok else GroupStopFailed(index, attempt, "busy"))

    def _newest(self, kind: type[StartGroup | StopGroup | ProbeVip], index: int) -> int:
        return [e for e in self.all if isinstance(e, kind) and e.group == index][-1].attempt

    # What an operator asks.

    def ask_switchover(self, request: int = 1, group: int | None = None) -> None:
        """An operator wants a hand-over."""
        self.feed(SwitchoverAsked(request, group))

    def ask_maintenance(self, *, on: bool, request: int = 1) -> None:
        """An operator turns maintenance on or off."""
        self.feed(MaintenanceAsked(request, on))

    def ask_confirm_off(self, request: int = 1, *, force: bool = False) -> None:
        """An operator says that the peer is off."""
        self.feed(ConfirmOffAsked(request, force))

    def prove_off(self, request: int = 1, *, ago_ns: int = 0) -> None:
        """An operator fenced the peer from the console, and read it off so long ago."""
        self.feed(OffProved(request, self.now_ns - ago_ns))

    def read_position(self, position: int, group: int = 0) -> None:
        """Our data's freshness was read."""
        self.feed(PositionRead(group, position))

    def ask_stop(self, kind: StopKind = StopKind.LEAVE) -> None:
        """The agent is told to end."""
        self.feed(StopAsked(kind))


def standby(*reports: GroupReport, **kwargs: Any) -> Bench:
    """A clean standby that hears an active peer (term 1 of every group) unless told otherwise."""
    bench = Bench(**kwargs)
    names = [group.settings.name for group in bench.state.groups]
    for index in range(len(names)):
        bench.stopped(index)
    bench.hear(*(reports or [says(Role.ACTIVE, name=n, term=1, held_term=1) for n in names]))
    return bench


def silent(*reports: GroupReport, **kwargs: Any) -> Bench:
    """A standby whose active peer just passed suspect_after; the evidence is good."""
    bench = standby(*reports, **kwargs)
    bench.pass_time(450 * MS)
    bench.answer_evidence()
    return bench


def fencing(*reports: GroupReport, **kwargs: Any) -> Bench:
    """A standby that ordered the silent peer's power off."""
    bench = silent(*reports, **kwargs)
    bench.pass_time(600 * MS)
    assert bench.count(Fence) == 1
    return bench


def taking_over(**kwargs: Any) -> Bench:
    """A standby that proved its peer off by hardware and waits for disk and probe."""
    bench = fencing(**kwargs)
    bench.finish_fence()
    return bench


def active(**kwargs: Any) -> Bench:
    """Node 0, active in term 1 by a promise of its peer at a joint start."""
    kwargs.setdefault("me", 0)
    bench = standby(says(Role.STANDBY), **kwargs)
    bench.hear(promise(bench))
    bench.persisted()
    bench.probed()
    bench.started()
    bench.hear(says(Role.STANDBY, term=1))
    return bench


def promise(bench: Bench, index: int = 0) -> GroupReport:
    """The peer's yes to our open asking for the group."""
    asking = next(r for i, r in enumerate(bench.beat.groups) if i == index)
    assert asking.role is Role.WANTING
    return says(
        Role.YIELDED,
        name=asking.name,
        term=asking.attempt_term,
        attempt=asking.attempt,
        attempt_term=asking.attempt_term,
        attempt_incarnation=MINE,
    )


def asking(bench: Bench, *, attempt: int = 1, **changes: Any) -> GroupReport:
    """The peer asks for the group, in a term above any of ours."""
    term = bench.state.groups[0].term + 1
    wish = says(
        Role.WANTING,
        term=term - 1,
        attempt=attempt,
        attempt_term=term,
        attempt_incarnation=bench.incarnation,
    )
    return replace(wish, **changes)


def order(bench: Bench, what: str, request: int = 7) -> None:
    """An operator stops, starts, freezes or unfreezes the group."""
    bench.feed(GroupOrdered(request, 0, what))  # type: ignore[arg-type]  # a word of the four
