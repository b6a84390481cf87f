# SPDX-License-Identifier: GPL-2.0-or-later
"""The heart as a whole: dangerous effects, deadlines, and the whole way of a failover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.harness import THEIRS, Bench, active, body, says, standby, taking_over
from fencing import FenceOutcome
from haagent.core.effects import (
    DANGEROUS,
    Beat,
    Fence,
    GatherEvidence,
    PowerOn,
    ProbeVip,
    StartGroup,
    StopGroup,
)
from haagent.core.events import (
    DeadlinePassed,
    Event,
    EvidenceGathered,
    FenceFinished,
    FenceReadied,
    LinkChanged,
    PeerHeard,
    Persisted,
    Reconfigured,
    VipProbed,
    VipProbeFailed,
)
from haagent.core.phases import (
    Active,
    Alive,
    Blocked,
    Releasing,
    Silent,
    Standby,
    Suspect,
    TakingOver,
    Unheard,
)
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S
from haagent.core.state import Step
from haagent.core.step import deadline_ns, step
from haagent.core.wire import Frame, GroupReport, Role


def test_way_of_a_failover() -> None:
    """S2: the order of one failover, from silence to the peer's power, is as the design says."""
    bench = taking_over()
    bench.persisted()
    bench.probed()
    bench.started()
    bench.pass_time(100 * MS)
    bench.finish_power_on()
    order = [
        type(effect)
        for effect in bench.all
        if isinstance(effect, (Fence, ProbeVip, StartGroup, PowerOn))
    ]
    assert order == [Fence, ProbeVip, StartGroup, PowerOn]
    bench.in_group(Active)
    bench.in_pair(Unheard)


def test_dangerous_effects_leave_alone() -> None:
    """Two groups whose next try is due in one step start in two, the second at once after."""
    names = ("web", "mail")
    bench = taking_over(groups=names)
    for index in (0, 1):
        bench.feed(Persisted(bench.in_group(TakingOver, index).attempt))
        bench.probed(index=index)
    for index in (0, 1):
        bench.does_not_start(index)
    assert bench.count(StartGroup) == 4
    bench.pass_time(5 * S - 1)
    assert bench.count(StartGroup) == 4
    bench.now_ns += 1
    first = step(bench.state, DeadlinePassed(), bench.now_ns)
    second = step(first.state, DeadlinePassed(), bench.now_ns)
    assert deadline_ns(first.state) == bench.now_ns
    for done, group in ((first, 0), (second, 1)):
        starts = [effect for effect in done.effects if isinstance(effect, DANGEROUS)]
        assert [getattr(effect, "group", None) for effect in starts] == [group]


def evidence_opens_the_last_gate() -> tuple[Bench, Event]:
    """A silent peer, and the answer that lets the fence go."""
    bench = standby()
    bench.pass_time(1100 * MS)
    asked = bench.asked(GatherEvidence).attempt
    return bench, EvidenceGathered(asked, connected=True, serving=False, vip_answered=False)


def probe_completes_a_takeover() -> tuple[Bench, Event]:
    """A peer proved off, a durable term, and the last answer that the start waits for."""
    bench = taking_over()
    bench.persisted()
    bench.pass_time(100 * MS)
    return bench, VipProbed(0, bench.in_group(TakingOver).attempt, None)


def fence_leaves_nothing_to_take_over() -> tuple[Bench, Event]:
    """A peer that asked to be fenced and holds nothing of ours: it may have its power back."""
    bench = active()
    bench.hear(says(Role.STUCK, term=1), fence_me=True)
    bench.pass_time(100 * MS)
    return bench, FenceFinished(bench.asked(Fence).attempt, FenceOutcome.CONFIRMED_OFF, "")


def strikes(done: Step) -> list[type]:
    """The dangerous effects of a step."""
    return [type(effect) for effect in done.effects if isinstance(effect, DANGEROUS)]


@pytest.mark.parametrize(
    ("ready", "kind"),
    [
        (evidence_opens_the_last_gate, Fence),
        (probe_completes_a_takeover, StartGroup),
        (fence_leaves_nothing_to_take_over, PowerOn),
    ],
    ids=["fence", "start", "power on"],
)
def test_dangerous_effects_leave_only_by_the_clock(
    ready: Callable[[], tuple[Bench, Event]], kind: type
) -> None:
    """S6: no answer strikes by itself; it wakes the core at once, and the clock's step strikes."""
    bench, answer = ready()
    before = bench.count(kind)
    answered = step(bench.state, answer, bench.now_ns)
    assert strikes(answered) == []
    assert deadline_ns(answered.state) == bench.now_ns
    assert strikes(step(answered.state, DeadlinePassed(), bench.now_ns)) == [kind]
    # On the bench, which hands over the clock as the loop does, it is the same to the nanosecond.
    bench.feed(answer)
    assert bench.count(kind) == before + 1


def test_unread_heartbeat_stays_the_fence() -> None:
    """S6: a heartbeat queued behind the answer that opens the last gate is read before the shot."""
    bench, answer = evidence_opens_the_last_gate()
    answered = step(bench.state, answer, bench.now_ns)
    frame = Frame(0, 0, THEIRS, bench.counter + 1, body(says(Role.ACTIVE, term=1)))
    heard = step(answered.state, PeerHeard(0, bench.now_ns - 1, frame), bench.now_ns)
    done = step(heard.state, DeadlinePassed(), bench.now_ns)
    assert isinstance(done.state.pair, Alive)
    assert strikes(answered) == strikes(heard) == strikes(done) == []


def test_unread_heartbeat_stays_the_start() -> None:
    """S8: a heartbeat of the dead queued behind the last answer of a takeover is read first."""
    bench, answer = probe_completes_a_takeover()
    answered = step(bench.state, answer, bench.now_ns)
    frame = Frame(0, 0, THEIRS, bench.counter + 1, body(says(Role.ACTIVE, term=1)))
    heard = step(answered.state, PeerHeard(0, bench.now_ns - 1, frame), bench.now_ns)
    done = step(heard.state, DeadlinePassed(), bench.now_ns)
    assert isinstance(done.state.groups[0].phase, Standby)
    assert done.state.distrusted
    assert strikes(answered) == strikes(heard) == strikes(done) == []


def test_probe_failed_is_named() -> None:
    """S8: an address that could not be probed is not taken as silent."""
    bench = taking_over()
    attempt = bench.in_group(TakingOver).attempt
    bench.persisted()
    bench.feed(VipProbeFailed(0, attempt, "interface is down"))
    phase = bench.in_group(Blocked)
    assert (phase.reason, phase.detail) == (Reason.VIP_NOT_PROBED, "interface is down")
    assert bench.count(StartGroup) == 0
    assert not bench.state.distrusted


def test_deadline_is_the_next_heartbeat() -> None:
    """An idle core wants to be woken for its next heartbeat."""
    bench = Bench()
    bench.feed(DeadlinePassed())
    assert deadline_ns(bench.state) == bench.state.beat_ns


def test_deadline_of_silence() -> None:
    """The core wants to be woken at suspect_after and at dead_after, to the nanosecond."""
    bench = standby()
    bench.pass_time(350 * MS)
    assert deadline_ns(bench.state) == bench.now_ns + 50 * MS
    bench.pass_time(630 * MS)
    assert deadline_ns(bench.state) == bench.now_ns + 20 * MS


def test_time_does_not_go_back() -> None:
    """A clock that goes back is a bug of the loop: the core stops."""
    bench = standby()
    with pytest.raises(AssertionError):
        step(bench.state, DeadlinePassed(), bench.now_ns - 1)


def test_fence_readiness_is_kept() -> None:
    """Readiness of the peer's fence devices is kept for status."""
    bench = standby()
    bench.feed(FenceReadied(ready=False, detail="no answer"))
    assert (bench.state.fence_ready, bench.state.fence_detail) == (False, "no answer")


def without_carrier(bench: Bench, link: int, peer: GroupReport) -> None:
    """One link loses its carrier for two seconds; the peer is heard on the other."""
    bench.feed(LinkChanged(link, carrier=False))
    for _ in range(20):
        bench.hear(peer, link=1 - link)
        bench.pass_time(100 * MS)


def test_lost_carrier_changes_no_role() -> None:
    """A direct cable that breaks degrades: no change of roles while the switched link lives."""
    bench = active()
    without_carrier(bench, 1, says(Role.STANDBY, term=1))
    bench.in_group(Active)
    assert bench.count(StopGroup) == 1
    assert not any(isinstance(effect, (Fence, PowerOn)) for effect in bench.all)


def test_cut_off_active_hands_over() -> None:
    """An active without a carrier on any switched link gives its groups to a peer that is able."""
    bench = active()
    without_carrier(bench, 0, says(Role.STANDBY, term=1))
    bench.in_group(Releasing)
    assert not bench.beat.groups[0].promotable


def test_cut_off_active_keeps_what_nobody_can_take() -> None:
    """If the peer is cut off as well, moving the group would help nobody."""
    bench = active()
    without_carrier(bench, 0, says(Role.STANDBY, term=1, promotable=False, reason=4))
    bench.in_group(Active)


def test_short_loss_of_carrier_moves_nothing() -> None:
    """A cable that is back within dead_after changes no role."""
    bench = active()
    bench.feed(LinkChanged(0, carrier=False))
    bench.pass_time(500 * MS)
    bench.feed(LinkChanged(0, carrier=True))
    bench.pass_time(2 * S, says(Role.STANDBY, term=1))
    bench.in_group(Active)


def test_idle_pair_does_nothing() -> None:
    """A healthy pair exchanges heartbeats and nothing else, for as long as it lives."""
    bench = active()
    before = len(bench.all)
    bench.pass_time(60 * S, says(Role.STANDBY, term=1))
    assert {type(effect) for effect in bench.all[before:]} == {Beat}
    assert not any(isinstance(effect, DANGEROUS) for effect in bench.all[before:])


def test_reconfigured_times_hold_from_now_on() -> None:
    """Another dead_after moves the deadline, no phase; the peer hears at once."""
    bench = active()
    before = bench.state
    longer = replace(before.settings.timing, suspect_after_ns=3 * S, dead_after_ns=9 * S)
    (group,) = before.settings.groups
    changed = replace(
        before.settings,
        groups=(replace(group, max_moves=1),),
        timing=longer,
        configuration_hash=b"n" * 16,
    )
    bench.feed(Reconfigured(changed))
    assert bench.state.settings is changed
    assert bench.state.groups[0].settings.max_moves == 1
    assert bench.state.groups[0].phase is before.groups[0].phase
    beat = next(effect for effect in reversed(bench.all) if isinstance(effect, Beat))
    assert beat.body.configuration_hash == b"n" * 16
    bench.pass_time(2 * S)
    bench.in_pair(Alive)
    bench.pass_time(2 * S)
    bench.in_pair(Suspect)


def test_nobody_is_shot_between_two_reloads() -> None:
    """A peer that falls silent with another configuration is not shot until both agree."""
    bench = standby()
    old = bench.state.settings
    bench.feed(Reconfigured(replace(old, configuration_hash=b"n" * 16)))
    bench.pass_time(5 * S)
    assert Reason.CONFIGURATION_DIFFERS in bench.in_pair(Silent).reasons
    assert bench.count(Fence) == 0
    bench.feed(Reconfigured(old))
    bench.watch(3 * S)
    assert bench.count(Fence) == 1
