# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator may ask for, what is refused and why, and how an agent ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.harness import (
    DEAF,
    MINE,
    Bench,
    active,
    asking,
    fencing,
    promise,
    says,
    silent,
    standby,
    taking_over,
)
from fencing import FenceOutcome
from haagent.core.effects import (
    AbandonFence,
    Beat,
    Exit,
    Fence,
    GatherEvidence,
    Persist,
    PowerOn,
    ProbeVip,
    Reply,
    StartGroup,
    StopGroup,
)
from haagent.core.events import EvidenceGathered, FenceFinished, StopKind
from haagent.core.operator import (
    FRAME_EVIDENCE_NS,
    LEAVING_BEATS_NS,
    PAUSE_BEATS,
    PAUSE_MS,
    STOP_BUDGET_NS,
    SWITCHOVER_NS,
    SWITCHOVERS_MAX,
    peer_hears_us,
)
from haagent.core.phases import (
    Active,
    Fenced,
    Fencing,
    PoweringOn,
    Proof,
    Releasing,
    Standby,
    Starting,
    TakingOver,
    Unheard,
    Wanting,
)
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S, Timing
from haagent.core.step import deadline_ns
from haagent.core.wire import GroupReport, Role
from haagent.core.wishes import Switchover

ACTIVE = says(Role.ACTIVE, term=1, held_term=1)
IDLE = says(Role.STANDBY, term=1)


# Graceful switchover.


def test_switchover_away() -> None:
    """The active releases, the peer takes over, and only then the operator has the answer."""
    bench = active()
    bench.ask_switchover(request=7)
    bench.in_group(Releasing)
    wish = asking(bench)
    bench.hear(wish)
    bench.stopped()
    bench.hear(wish)
    bench.hear(says(Role.TAKING_OVER, term=2))
    assert not [e for e in bench.all if getattr(e, "request", None) == 7]
    bench.hear(says(Role.ACTIVE, term=2, held_term=2))
    assert bench.reply(7).ok
    bench.in_group(Standby)
    assert bench.count(Fence) == 0


def test_switchover_that_comes_back() -> None:
    """A peer that cannot start it gives it back: the operator is told at once, not after 30 s."""
    bench = active()
    bench.ask_switchover(request=7)
    bench.hear(asking(bench))
    bench.stopped()
    bench.hear(says(Role.TAKING_OVER, term=2))
    bench.hear(says(Role.BLOCKED, term=2, promotable=False))
    bench.hear(promise(bench))
    bench.persisted()
    bench.probed()
    bench.started()
    bench.in_group(Active)
    assert not bench.reply(7).ok
    assert bench.reply(7).message == "web: back here, not taken by the peer; see haagent status"


def test_switchover_here() -> None:
    """A standby asks the active peer to let go, and takes over when it promised."""
    bench = standby()
    bench.ask_switchover(request=7)
    assert bench.in_group(Wanting).switchover
    assert bench.beat.groups[0].switchover
    bench.hear(says(Role.RELEASING, term=1, held_term=1))
    bench.in_group(Wanting)
    bench.hear(promise(bench))
    bench.persisted()
    bench.probed()
    bench.started()
    assert bench.reply(7).ok
    bench.in_group(Active)


def test_switchover_in_maintenance() -> None:
    """Maintenance forbids what happens by itself, not what an operator asks for."""
    bench = active()
    bench.ask_maintenance(on=True)
    bench.ask_switchover(request=7)
    bench.in_group(Releasing)


def refused(bench: Bench, group: int | None = None) -> str:
    """Ask for a hand-over that must be refused before anything stopped; the words."""
    stops, phases = bench.count(StopGroup), [g.phase for g in bench.state.groups]
    bench.ask_switchover(request=7, group=group)
    assert bench.count(StopGroup) == stops
    assert [g.phase for g in bench.state.groups] == phases
    answer = bench.reply(7)
    assert not answer.ok
    return answer.message


def test_switchover_refused_nobody_holds() -> None:
    """Nothing to hand over: refused."""
    assert refused(standby(says(Role.STANDBY), me=1)) == "no node holds the group"
    assert refused(Bench()) == "no node holds the group"


def test_switchover_refused_peer_gone() -> None:
    """S2: a group is not released to a peer that is not there."""
    bench = active()
    bench.pass_time(450 * MS)
    assert refused(bench) == "the peer is not there"


def test_switchover_refused_configuration() -> None:
    """A group is not handed over between different configurations."""
    bench = active()
    bench.hear(IDLE, configuration_hash=b"x" * 16)
    assert refused(bench) == Reason.CONFIGURATION_DIFFERS.text


def test_switchover_refused_deaf_peer() -> None:
    """A group is not released to a peer that does not hear us: it would not notice."""
    bench = active()
    bench.hear(IDLE, links=DEAF)
    assert refused(bench) == Reason.PEER_DOES_NOT_HEAR_US.text


@pytest.mark.parametrize(
    "theirs",
    [
        says(Role.STANDBY, term=1, promotable=False),
        says(Role.BLOCKED, term=1),
        says(Role.STANDBY, term=1, name="mail"),
    ],
    ids=["unable", "blocked", "unknown"],
)
def test_switchover_refused_peer_cannot(theirs: GroupReport) -> None:
    """A group is not released to a peer that cannot take it."""
    bench = active()
    bench.hear(theirs)
    assert refused(bench) == Reason.PEER_NOT_PROMOTABLE.text


def test_switchover_refused_while_stopping() -> None:
    """An agent that is about to end takes no orders."""
    bench = active()
    bench.started()
    bench.state = replace(bench.state, stopping=StopKind.PAUSE, stop_by_ns=bench.now_ns + 1)
    assert refused(bench) == Reason.STOPPING.text


def test_switchover_refused_here() -> None:
    """A group that cannot be taken here is not asked for; the operator reads why."""
    bench = Bench()
    bench.hear(ACTIVE)
    assert refused(bench) == "web is assessing here"


def test_switchovers_are_bounded() -> None:
    """Hand-overs that wait are bounded: one more than the limit is refused by name."""
    bench = active()
    one = Switchover(70, 0, to_me=True, until_ns=bench.now_ns + 30 * S)
    bench.state = replace(
        bench.state,
        groups=(replace(bench.state.groups[0], phase=Standby()),),
        switchovers=(one,) * SWITCHOVERS_MAX,
    )
    bench.hear(says(Role.ACTIVE, term=1))
    assert refused(bench) == "too many hand-overs are under way"


def test_switchover_takes_too_long() -> None:
    """An operator is not left without an answer: after 30 s the hand-over is still on its way."""
    bench = standby()
    bench.ask_switchover(request=7)
    bench.pass_time(SWITCHOVER_NS - 100 * MS, ACTIVE)
    assert bench.state.switchovers
    bench.pass_time(200 * MS, ACTIVE)
    assert "still on the way" in bench.reply(7).message
    assert not bench.reply(7).ok


def test_switchover_of_two_is_answered_once() -> None:
    """An operator who moves two groups hears of it when the second one has arrived, not before."""
    mail = says(Role.ACTIVE, name="mail", term=1)
    bench = standby(ACTIVE, mail, groups=("web", "mail"), me=1)
    bench.ask_switchover(request=7)
    bench.hear(promise(bench, 0), mail)
    bench.persisted()
    bench.probed()
    bench.started()
    bench.in_group(Active, 0)
    assert bench.count(Reply) == 0
    bench.hear(says(Role.STANDBY, term=2), promise(bench, 1))
    bench.persisted()
    bench.probed(index=1)
    bench.started(1)
    assert bench.reply(7).ok
    assert bench.reply(7).message == "web, mail: active here"


def test_switchover_of_one_of_two() -> None:
    """A named group moves, the other one stays."""
    bench = standby(ACTIVE, says(Role.ACTIVE, name="mail", term=1), groups=("web", "mail"), me=1)
    bench.ask_switchover(request=7, group=1)
    bench.in_group(Standby, 0)
    bench.in_group(Wanting, 1)


def test_peer_hears_us() -> None:
    """The peer hears us when its newest frame says so for at least one link."""
    assert not peer_hears_us(Bench().state)
    bench = standby()
    assert peer_hears_us(bench.state)
    bench.hear(ACTIVE, links=())
    assert not peer_hears_us(bench.state)


# Maintenance.


def test_maintenance_stops_automatic_takeover() -> None:
    """In maintenance nobody is shot, and turning it off makes up for it."""
    bench = silent()
    bench.ask_maintenance(on=True, request=7)
    assert bench.reply(7).ok
    bench.watch(60 * S)
    assert bench.reasons() == (Reason.MAINTENANCE,)
    assert bench.count(Fence) == 0
    bench.ask_maintenance(on=False, request=8)
    assert bench.count(Fence) == 1


def test_maintenance_travels_and_lasts() -> None:
    """Maintenance is told at once, with a higher version, and survives the process."""
    bench = standby()
    bench.ask_maintenance(on=True)
    assert (bench.beat.maintenance, bench.beat.orders_version) == (True, 1)
    record = bench.asked(Persist).record
    again = Bench(record=record, same_boot=False)
    assert again.state.orders.maintenance
    assert again.state.orders.version == 1


def test_maintenance_twice() -> None:
    """Asking for what holds already is answered and changes nothing."""
    bench = standby()
    bench.ask_maintenance(on=False, request=7)
    assert bench.reply(7).ok
    assert bench.state.orders.version == 0


# The operator's word: S2 c.


def test_confirm_off() -> None:
    """S2 c: the operator's word is a grant when frames and addresses are silent."""
    bench = silent()
    bench.pass_time(FRAME_EVIDENCE_NS)
    bench.ask_confirm_off(request=7)
    assert not isinstance(bench.pair, Fenced)
    bench.answer_evidence()
    assert bench.reply(7).ok
    assert bench.in_pair(Fenced).proof is Proof.OPERATOR
    bench.in_group(TakingOver)


def test_confirm_off_abandons_a_fence() -> None:
    """The operator's word ends a fence that is under way."""
    bench = fencing()
    bench.pass_time(FRAME_EVIDENCE_NS)
    bench.ask_confirm_off(request=7)
    bench.answer_evidence()
    assert bench.count(AbandonFence) == 1
    bench.in_pair(Fenced)


def test_confirm_off_refused_by_frames() -> None:
    """S8: a peer whose frames arrive is not off, whatever the operator says."""
    bench = standby()
    bench.ask_confirm_off(request=7)
    assert "frames of the peer arrive" in bench.reply(7).message
    bench.in_group(Standby)


def test_confirm_off_refused_by_a_stranger() -> None:
    """S8: frames of an incarnation that does not hear us are live evidence as well."""
    bench = Bench()
    bench.stopped()
    bench.hear(echo=0)
    bench.ask_confirm_off(request=7)
    assert not bench.reply(7).ok


def test_confirm_off_refused_by_the_address() -> None:
    """S8: somebody who answers for an address is live evidence."""
    bench = silent()
    bench.pass_time(FRAME_EVIDENCE_NS)
    bench.ask_confirm_off(request=7)
    bench.answer_evidence(vip_answered=True)
    assert "answers for a virtual address" in bench.reply(7).message
    bench.in_group(Standby)


def test_confirm_off_refused_by_a_late_frame() -> None:
    """S8: a frame that arrives while the addresses are asked refuses the confirmation."""
    bench = silent()
    bench.pass_time(FRAME_EVIDENCE_NS)
    bench.ask_confirm_off(request=7)
    bench.hear(ACTIVE)
    bench.answer_evidence()
    assert "frames of the peer arrive" in bench.reply(7).message


def test_confirm_off_one_at_a_time() -> None:
    """A second confirmation waits for the first one's end."""
    bench = silent()
    bench.pass_time(FRAME_EVIDENCE_NS)
    bench.ask_confirm_off(request=7)
    bench.ask_confirm_off(request=8)
    assert "another confirmation" in bench.reply(8).message


def test_confirm_off_stale_evidence() -> None:
    """S4: evidence gathered for something else does not confirm anything."""
    bench = silent()
    bench.pass_time(FRAME_EVIDENCE_NS)
    other = bench.asked(GatherEvidence).attempt
    bench.ask_confirm_off(request=7)
    bench.feed(EvidenceGathered(other, connected=True, serving=False, vip_answered=False))
    assert bench.state.confirming is not None
    bench.in_group(Standby)


def test_confirm_off_forced() -> None:
    """S2 c: forced, the word counts against live evidence, and no probe can refuse it."""
    bench = standby()
    bench.ask_confirm_off(request=7, force=True)
    assert bench.reply(7).ok
    assert bench.in_pair(Fenced).proof is Proof.FORCED
    assert bench.count(ProbeVip) == 0
    bench.hear(ACTIVE)
    bench.pass_time(200 * MS)
    bench.hear(ACTIVE)
    bench.in_pair(Fenced)
    bench.persisted()
    bench.in_group(Starting)
    assert not bench.state.distrusted


def test_confirm_off_forced_ends_a_fence() -> None:
    """Forced in the middle of a fence, the fence is called back."""
    bench = fencing()
    bench.ask_confirm_off(request=7, force=True)
    assert bench.count(AbandonFence) == 1


def test_confirm_off_twice() -> None:
    """A peer that is proved off needs no word."""
    bench = taking_over()
    bench.ask_confirm_off(request=7)
    assert "proved off already" in bench.reply(7).message
    assert bench.in_pair(Fenced).proof is Proof.HARDWARE


def test_confirmed_peer_is_not_powered_on() -> None:
    """A peer that is off on an operator's word is left to the operator."""
    bench = silent()
    bench.pass_time(FRAME_EVIDENCE_NS)
    bench.ask_confirm_off()
    bench.answer_evidence()
    bench.persisted()
    bench.probed()
    bench.started()
    bench.in_pair(Unheard)
    bench.pass_time(30 * S)
    assert bench.count(PowerOn) == 0
    bench.in_group(Active)


def test_confirmed_peer_speaks() -> None:
    """S8: a confirmed peer that speaks voids the word; no device is to blame."""
    bench = silent()
    bench.pass_time(FRAME_EVIDENCE_NS)
    bench.ask_confirm_off()
    bench.answer_evidence()
    bench.pass_time(100 * MS)
    bench.hear(ACTIVE)
    bench.in_group(Standby)
    assert not bench.state.distrusted


def test_confirmed_but_the_address_answers() -> None:
    """S8: an address that answers after the word blocks the takeover; no device is to blame."""
    bench = silent()
    bench.pass_time(FRAME_EVIDENCE_NS)
    bench.ask_confirm_off()
    bench.answer_evidence()
    bench.probed("02:00:00:00:00:03")
    assert not bench.state.distrusted
    assert bench.count(StartGroup) == 0


# The end of the agent.


def exited(bench: Bench, kind: StopKind) -> bool:
    """The agent was told to exit in that way, and the core is at rest."""
    if not bench.state.exited:
        return False
    assert bench.asked(Exit).kind is kind
    assert bench.count(Exit) == 1
    assert deadline_ns(bench.state) is None
    before = bench.state
    bench.feed(FenceFinished(1, FenceOutcome.CONFIRMED_OFF, ""))
    assert bench.state == before
    assert bench.last == ()
    return True


def test_leave_as_active() -> None:
    """S2 a: leaving stops everything, says farewell when all was seen stopped, then exits."""
    bench = active()
    bench.ask_stop()
    bench.in_group(Releasing)
    assert not bench.beat.leaving
    bench.stopped()
    assert bench.beat.leaving
    assert not bench.beat.groups[0].promotable
    assert not bench.state.exited
    bench.hear(says(Role.TAKING_OVER, term=2))
    assert exited(bench, StopKind.LEAVE)


def test_leave_repeats_the_farewell() -> None:
    """The farewell is repeated for a second when nobody takes over."""
    bench = active()
    bench.ask_stop()
    bench.stopped()
    bench.pass_time(LEAVING_BEATS_NS - 100 * MS, IDLE)
    assert not bench.state.exited
    bench.pass_time(200 * MS, IDLE)
    assert exited(bench, StopKind.LEAVE)


def test_leave_alone() -> None:
    """An agent whose peer is not there leaves as soon as everything is stopped."""
    bench = Bench()
    bench.ask_stop()
    assert not bench.state.exited
    bench.stopped()
    assert exited(bench, StopKind.LEAVE)


def test_leave_is_bounded() -> None:
    """An agent that cannot stop its groups ends all the same within its budget, and says so."""
    bench = active()
    bench.ask_stop()
    bench.pass_time(STOP_BUDGET_NS + 100 * MS, IDLE)
    assert exited(bench, StopKind.LEAVE)
    assert not bench.beat.leaving
    assert bench.beat.fence_me


def test_leave_while_fencing() -> None:
    """An agent that leaves during a fence starts nothing, and does not leave the peer off."""
    bench = fencing()
    bench.ask_stop()
    assert not bench.state.exited
    bench.finish_fence()
    bench.pass_time(1 * S)
    assert bench.count(StartGroup) == 0
    bench.finish_power_on()
    assert exited(bench, StopKind.LEAVE)


def test_leave_while_the_fence_hangs() -> None:
    """An agent that leaves calls a hanging fence back: nothing acts after it has gone."""
    bench = fencing()
    bench.ask_stop()
    bench.pass_time(STOP_BUDGET_NS + 100 * MS)
    assert exited(bench, StopKind.LEAVE)
    assert bench.count(AbandonFence) == 1


def test_pause() -> None:
    """A pause is announced four times, leaves the group running, and asks the peer for patience."""
    bench = active()
    stops = bench.count(StopGroup)
    bench.ask_stop(StopKind.PAUSE)
    assert not bench.state.exited
    before = len(bench.all)
    bench.pass_time(PAUSE_BEATS * 100 * MS, says(Role.STANDBY, term=1))
    beats = [e.body for e in bench.all[before:] if isinstance(e, Beat)]
    assert len(beats) >= PAUSE_BEATS
    assert all(beat.pausing_ms == PAUSE_MS for beat in beats)
    assert exited(bench, StopKind.PAUSE)
    assert bench.count(StopGroup) == stops
    assert bench.beat.pausing_ms == PAUSE_MS
    assert not bench.beat.leaving
    assert bench.state.record.groups[0][1].held


def test_pause_waits_for_a_start() -> None:
    """A pause does not leave a start half done."""
    bench = standby(says(Role.STANDBY), me=0)
    bench.hear(promise(bench))
    bench.ask_stop(StopKind.PAUSE)
    bench.persisted()
    bench.probed()
    bench.pass_time(1 * S, says(Role.STANDBY, term=1))
    assert not bench.state.exited
    bench.started()
    assert exited(bench, StopKind.PAUSE)


def test_pause_waits_for_a_failover() -> None:
    """A pause in the middle of a failover waits for the takeover and for the power-on."""
    bench = fencing()
    bench.ask_stop(StopKind.PAUSE)
    assert not bench.state.exited
    bench.finish_fence()
    bench.persisted()
    bench.probed()
    bench.started()
    bench.in_group(Active)
    bench.pass_time(500 * MS)
    bench.in_pair(PoweringOn)
    assert not bench.state.exited
    bench.finish_power_on()
    assert exited(bench, StopKind.PAUSE)


def test_pause_is_bounded() -> None:
    """A pause that waits for something hanging ends within its budget, and calls the fence back."""
    bench = fencing()
    bench.ask_stop(StopKind.PAUSE)
    bench.pass_time(STOP_BUDGET_NS - 200 * MS)
    bench.ask_stop(StopKind.PAUSE)
    bench.in_pair(Fencing)
    bench.pass_time(300 * MS)
    assert exited(bench, StopKind.PAUSE)
    assert bench.count(AbandonFence) == 1


def test_leaving_outranks_pausing() -> None:
    """Who was told to pause and then to leave, leaves; not the other way round."""
    bench = standby(says(Role.STANDBY), me=0)
    bench.hear(promise(bench))
    bench.ask_stop(StopKind.PAUSE)
    bench.ask_stop(StopKind.LEAVE)
    bench.ask_stop(StopKind.PAUSE)
    assert bench.state.stopping is StopKind.LEAVE
    bench.persisted()
    bench.probed()
    bench.started()
    bench.in_group(Releasing)


def test_unanswered_wants_do_not_hold_up_the_end() -> None:
    """An open asking is closed by a stop; a pause leaves no asking of ours behind."""
    bench = standby(says(Role.STANDBY), me=0)
    asked = bench.in_group(Wanting)
    bench.ask_stop(StopKind.LEAVE)
    bench.hear(promise_of(asked.attempt, asked.term))
    assert bench.count(StartGroup) == 0


def promise_of(attempt: int, term: int) -> GroupReport:
    """A promise to that attempt."""
    return says(
        Role.YIELDED, attempt=attempt, attempt_term=term, attempt_incarnation=MINE, term=term
    )


def test_leaving_takes_as_long_as_a_stop_may() -> None:
    """A database that shuts down for a minute, as configured, is not left half stopped."""
    bench = active(timing=Timing(stop_budget_ns=120 * S))
    there = says(Role.STANDBY, term=1)
    bench.hear(there)
    bench.ask_stop()
    bench.pass_time(90 * S, there)
    bench.in_group(Releasing)
    assert not bench.state.exited
    bench.stopped()
    bench.pass_time(2 * S, there)
    assert bench.state.exited


def test_leaving_ends_a_start_that_is_under_way() -> None:
    """What is being started is stopped at once, rather than left in the middle."""
    bench = taking_over()
    bench.persisted()
    bench.probed()
    bench.in_group(Starting)
    bench.ask_stop()
    bench.in_group(Releasing)
