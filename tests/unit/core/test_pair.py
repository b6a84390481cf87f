# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of the pair: hearing, suspecting, proving off, giving the power back."""

from __future__ import annotations

import pytest

from core.harness import Bench, active, fencing, says, silent, standby, taking_over
from fencing import FenceOutcome
from haagent.core.effects import (
    AbandonFence,
    Announce,
    Fence,
    Persist,
    PowerOn,
    StartGroup,
)
from haagent.core.events import FenceFinished, PowerOnFinished
from haagent.core.pair import FENCED_HOLD_NS, IN_FLIGHT_NS, POWER_ON_TRIES_MAX, REBOOT_NS
from haagent.core.phases import (
    Active,
    Alive,
    Blocked,
    FenceCause,
    Fenced,
    Fencing,
    Left,
    PoweringOn,
    Proof,
    Silent,
    Standby,
    Starting,
    Stuck,
    Suspect,
    TakingOver,
    Unheard,
)
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S, Timing
from haagent.core.step import deadline_ns
from haagent.core.wire import Role

ACTIVE = says(Role.ACTIVE, term=1, held_term=1)
STUCK = says(Role.STUCK, term=1, held_term=1)
LONE = Timing(lone_start_after_ns=60 * S)


def failed_over(**kwargs: object) -> Bench:
    """Node 1 took the group over by hardware proof; the peer's power is being given back."""
    bench = taking_over(**kwargs)
    bench.persisted()
    bench.probed()
    bench.started()
    bench.in_group(Active)
    return bench


# S5: wait for the peer.


def test_lone_start_waits_for_ever() -> None:
    """S5: a freshly booted node that hears nobody starts nothing, however long it waits."""
    bench = Bench()
    bench.stopped()
    bench.pass_time(120 * S)
    bench.in_pair(Unheard)
    bench.in_group(Standby)
    assert bench.count(Fence) == 0


def alone(me: int = 0) -> Bench:
    """A node with lone_start = "fence", just past its patience."""
    bench = Bench(me=me, timing=LONE)
    bench.stopped()
    bench.pass_time(59_900 * MS)
    bench.in_pair(Unheard)
    bench.pass_time(200 * MS)
    assert bench.in_pair(Silent).cause is FenceCause.ALONE
    return bench


@pytest.mark.parametrize("me", [0, 1])
def test_lone_start_fences(me: int) -> None:
    """S5, S9: where configured, a lone node fences after its patience, the second node later."""
    bench = alone(me)
    assert bench.reasons() == (Reason.EVIDENCE_PENDING,)
    bench.answer_evidence()
    if me == 1:
        assert bench.reasons() == (Reason.FENCE_DELAY,)
        bench.watch(3 * S)
    assert bench.in_pair(Fencing).cause is FenceCause.ALONE
    bench.finish_fence()
    bench.in_group(TakingOver)


def test_lone_start_never_while_the_address_answers() -> None:
    """S5: a lone node does not shoot at whoever answers for the virtual address."""
    bench = alone()
    bench.answer_evidence(vip_answered=True)
    assert bench.reasons() == (Reason.VIP_ANSWERS,)
    assert bench.count(Fence) == 0


def test_lone_start_when_isolated() -> None:
    """S6: a lone node that is cut off does not shoot."""
    bench = alone()
    bench.answer_evidence(connected=False)
    assert bench.reasons() == (Reason.ISOLATED,)


def test_lone_start_after_a_stall() -> None:
    """S6: a lone node that was frozen waits anew before it shoots."""
    bench = alone()
    bench.freeze(500 * MS)
    bench.answer_evidence()
    assert bench.reasons() == (Reason.STALLED,)
    bench.pass_time(1100 * MS)
    bench.in_pair(Fencing)


def test_lone_start_serving() -> None:
    """A lone node leaves a service that answers its probe alone."""
    bench = alone()
    bench.answer_evidence(serving=True)
    assert bench.reasons() == (Reason.STILL_SERVING,)


def test_lone_start_ends_with_the_first_frame() -> None:
    """S5: once the peer is heard there is nothing lone about the start."""
    bench = alone()
    bench.hear(says(Role.STANDBY))
    bench.in_pair(Alive)


# Silence and return.


def test_suspect_forgives() -> None:
    """A frame ends suspicion and silence; nothing was done."""
    bench = silent()
    bench.hear(ACTIVE)
    bench.in_pair(Alive)
    bench.pass_time(450 * MS)
    bench.pass_time(700 * MS)
    bench.in_pair(Silent)
    bench.hear(ACTIVE)
    bench.in_pair(Alive)
    assert bench.count(Fence) == 0


def test_frames_return_announces() -> None:
    """When frames return the active announces its addresses anew."""
    bench = active()
    bench.pass_time(450 * MS)
    bench.in_pair(Suspect)
    bench.hear(says(Role.STANDBY, term=1))
    assert bench.count(Announce) == 1


def test_frame_while_fencing_abandons() -> None:
    """S2 b: a frame during the fence takes the order back; its late answer proves nothing."""
    bench = fencing()
    attempt = bench.asked(Fence).attempt
    bench.hear(ACTIVE)
    assert bench.asked(AbandonFence).attempt == attempt
    bench.finish_fence()
    bench.in_pair(Alive)
    bench.in_group(Standby)


def test_refused_frame_while_fencing() -> None:
    """A replay or a stranger does not stop a fence."""
    bench = fencing()
    bench.hear(counter=bench.counter)
    bench.hear(incarnation=5, echo=0)
    bench.in_pair(Fencing)
    assert bench.count(AbandonFence) == 0


# S3, S4: what a fence proves.


@pytest.mark.parametrize("outcome", [FenceOutcome.UNKNOWN, FenceOutcome.FAILED])
def test_only_confirmed_off_is_proof(outcome: FenceOutcome) -> None:
    """S3: a fence that did not read back off gives no grant, and is tried again after a pause."""
    bench = fencing()
    bench.finish_fence(outcome)
    phase = bench.in_pair(Silent)
    assert phase.reasons == (Reason.FENCE_UNCONFIRMED,)
    bench.in_group(Standby)
    bench.watch(4900 * MS)
    assert bench.reasons() == (Reason.FENCE_UNCONFIRMED,)
    assert bench.count(Fence) == 1
    bench.watch(200 * MS)
    assert bench.count(Fence) == 2


def test_confirmed_off_is_a_grant() -> None:
    """S2 b: read back off is the proof; the takeover begins in the same breath."""
    bench = fencing()
    bench.finish_fence()
    assert bench.in_pair(Fenced).proof is Proof.HARDWARE
    bench.in_group(TakingOver)


def test_stale_fence_answer() -> None:
    """S4: the answer to an earlier attempt changes nothing, not even while a fence is under way."""
    bench = fencing()
    old = bench.asked(Fence).attempt
    bench.finish_fence(FenceOutcome.UNKNOWN)
    bench.watch(5200 * MS)
    before = bench.pair
    bench.feed(FenceFinished(old, FenceOutcome.CONFIRMED_OFF, ""))
    assert bench.pair == before
    bench.in_pair(Fencing)


def test_fence_is_remembered() -> None:
    """S10: the order is written down when it is given."""
    bench = fencing()
    assert bench.asked(Persist).record.fences_ns == bench.state.fences_ns != ()


# S8: distrust a liar.


def test_frame_in_flight_after_the_proof() -> None:
    """S8: a frame that was still in flight when the power went is no sign of life."""
    bench = taking_over()
    bench.hear(ACTIVE, heard_ns=bench.now_ns + IN_FLIGHT_NS)
    bench.in_pair(Fenced)
    bench.in_group(TakingOver)
    assert not bench.state.distrusted


def test_dead_peer_speaks() -> None:
    """S8: the same incarnation after the proof: takeover given up, device distrusted."""
    bench = taking_over()
    bench.pass_time(IN_FLIGHT_NS + 1)
    bench.hear(ACTIVE)
    bench.in_pair(Alive)
    bench.in_group(Standby)
    assert bench.state.distrusted
    assert bench.count(StartGroup) == 0
    assert Reason.FENCE_DISTRUSTED in bench.reasons()
    assert not bench.asked(Persist).record.groups[0][1].held


def test_frames_slept_through_after_the_proof() -> None:
    """S8, S6: the margin counts from the reading, not from when a frozen agent read of it."""
    bench = fencing()
    order, read_ns = bench.asked(Fence).attempt, bench.now_ns + 80 * MS
    bench.freeze(10 * S)
    bench.feed(FenceFinished(order, FenceOutcome.CONFIRMED_OFF, "", read_ns))
    bench.in_group(TakingOver)
    bench.hear(ACTIVE, heard_ns=read_ns + 5 * S)
    assert bench.state.distrusted
    bench.in_group(Standby)


def test_reborn_peer_voids_the_proof() -> None:
    """A peer that somebody powered on during the takeover ends it, and nobody lied."""
    bench = taking_over()
    bench.pass_time(60 * MS)
    bench.reborn(says(Role.STANDBY))
    bench.in_pair(Alive)
    bench.in_group(Standby)
    assert not bench.state.distrusted


def test_reborn_holder_is_a_lie() -> None:
    """S8: a new incarnation that holds groups survived the power-off: the device lied."""
    bench = taking_over()
    bench.pass_time(60 * MS)
    bench.reborn(ACTIVE)
    bench.in_group(Standby)
    assert bench.state.distrusted


def test_last_frames_of_a_restarted_agent_are_no_lie() -> None:
    """S8: frames sent before the power went count as in flight, of a new incarnation too."""
    bench = taking_over()
    bench.reborn(ACTIVE)
    bench.in_pair(Fenced)
    assert not bench.state.distrusted


def test_dead_peer_speaks_while_powered_on() -> None:
    """S8: also when its power is being given back, the dead incarnation must not speak."""
    bench = failed_over()
    bench.in_pair(PoweringOn)
    bench.pass_time(100 * MS)
    bench.hear(ACTIVE)
    assert bench.state.distrusted


def test_dead_peer_speaks_later() -> None:
    """S8: and also after that."""
    bench = failed_over()
    bench.finish_power_on()
    bench.pass_time(5 * S)
    bench.hear(ACTIVE)
    assert bench.state.distrusted
    bench.in_pair(Alive)


def test_frame_in_flight_when_nothing_is_taken_over() -> None:
    """S8: the in-flight margin holds also when the power goes back on at once."""
    bench = active()
    bench.hear(STUCK, fence_me=True)
    before_ns = bench.now_ns
    bench.pass_time(20 * MS)
    bench.finish_fence()
    assert bench.count(PowerOn) == 1
    bench.hear(STUCK, fence_me=True, heard_ns=before_ns)
    assert not bench.state.distrusted


def test_peer_comes_back() -> None:
    """The peer returns in a new incarnation as standby: nothing moves, nobody lied."""
    bench = failed_over()
    bench.finish_power_on()
    assert bench.in_pair(Unheard)
    bench.pass_time(60 * S)
    bench.reborn(says(Role.STANDBY, term=1))
    bench.in_pair(Alive)
    bench.in_group(Active)
    assert not bench.state.distrusted


def test_somebody_answers_for_the_address() -> None:
    """S8: the address answers although the hardware said off: refused, distrusted, no power-on."""
    bench = taking_over()
    bench.persisted()
    bench.probed("02:00:00:00:00:07")
    assert bench.in_group(Blocked).reason is Reason.VIP_ANSWERS
    assert bench.state.distrusted
    assert Reason.FENCE_DISTRUSTED in bench.in_pair(Silent).reasons
    bench.watch(60 * S)
    assert bench.reasons() == (Reason.FENCE_DISTRUSTED,)
    assert bench.count(StartGroup) == 0
    assert bench.count(PowerOn) == 0
    assert bench.count(Fence) == 1


# Power on.


@pytest.mark.parametrize("ok", [True, False])
def test_power_on_after_the_start_only(*, ok: bool) -> None:
    """The peer gets its power back once the group runs here, or has failed to, not before."""
    bench = taking_over()
    bench.persisted()
    bench.probed()
    bench.in_group(Starting)
    bench.pass_time(5 * S)
    assert bench.count(PowerOn) == 0
    if ok:
        bench.started()
    else:
        bench.started(ok=False)
        bench.pass_time(100 * MS)
        assert bench.count(PowerOn) == 0, "tried once more first"
        bench.started(ok=False)
    bench.pass_time(100 * MS)
    assert bench.count(PowerOn) == 1


def test_a_start_that_hangs_does_not_keep_the_peer_off() -> None:
    """The peer may be the only one that can run the group."""
    bench = taking_over()
    bench.persisted()
    bench.probed()
    bench.pass_time(FENCED_HOLD_NS + 1 * S)
    bench.in_group(Starting)
    bench.in_pair(PoweringOn)


def test_power_on_is_retried_and_bounded() -> None:
    """A failed power-on is tried again, five times in all, then left to a person."""
    bench = failed_over()
    for tries in range(1, POWER_ON_TRIES_MAX):
        assert bench.count(PowerOn) == tries
        bench.finish_power_on(ok=False)
        bench.pass_time(9900 * MS)
        assert bench.count(PowerOn) == tries
        bench.pass_time(200 * MS)
    bench.finish_power_on(ok=False)
    bench.in_pair(Unheard)
    bench.pass_time(120 * S)
    assert bench.count(PowerOn) == POWER_ON_TRIES_MAX
    bench.in_group(Active)


def test_stale_power_on_answer() -> None:
    """S4: an answer to no open power-on changes nothing."""
    bench = failed_over()
    before = bench.pair
    bench.feed(PowerOnFinished(1, ok=True, detail=""))
    assert bench.pair == before
    standing = standby()
    standing.feed(PowerOnFinished(1, ok=True, detail=""))
    standing.in_pair(Alive)


def test_peer_is_not_kept_off_for_ever() -> None:
    """A group that cannot be taken over here does not keep the peer off for more than 30 s."""
    bench = taking_over()
    bench.persisted(ok=False)
    bench.in_group(Blocked)
    bench.pass_time(5 * S)
    while bench.now_ns - bench.in_pair(Fenced).since_ns < FENCED_HOLD_NS:
        bench.persisted(ok=False)
        bench.pass_time(1 * S)
        if isinstance(bench.pair, PoweringOn):
            break
    bench.persisted(ok=False)
    bench.pass_time(1 * S)
    bench.in_pair(PoweringOn)


def test_off_is_no_grant_once_powered_on() -> None:
    """S2: when the power was given back, having been off proves nothing any more."""
    bench = taking_over(groups=("web", "mail"))
    bench.probed(index=0)
    bench.persisted()
    bench.probed("02:00:00:00:00:07", index=1)
    bench.pass_time(120 * S)
    assert all(e.group != 1 for e in bench.all if isinstance(e, StartGroup))


# S7: a peer that asks.


def test_asked_fence_although_frames_arrive() -> None:
    """S7: a stuck peer is fenced on its own word; its further frames do not stop the fence."""
    bench = standby()
    bench.hear(STUCK, fence_me=True)
    bench.hear(STUCK, fence_me=True)
    assert bench.in_pair(Fencing).cause is FenceCause.ASKED
    bench.finish_fence()
    bench.in_group(TakingOver)


def test_asked_fence_is_taken_back() -> None:
    """S7: a peer that got its group stopped after all is not shot."""
    bench = standby()
    bench.hear(STUCK, fence_me=True)
    bench.hear(says(Role.STANDBY, term=1))
    assert bench.count(AbandonFence) == 1
    bench.in_pair(Alive)


def test_asked_fence_unconfirmed() -> None:
    """S7, S3: an asked fence that is not confirmed is tried again after a pause."""
    bench = standby()
    bench.hear(STUCK, fence_me=True)
    bench.finish_fence(FenceOutcome.UNKNOWN)
    bench.in_pair(Alive)
    bench.pass_time(4900 * MS, STUCK, fence_me=True)
    assert bench.count(Fence) == 1
    bench.pass_time(200 * MS, STUCK, fence_me=True)
    assert bench.count(Fence) == 2


def test_asked_fence_then_silence() -> None:
    """A peer that asked to be fenced and then fell silent is suspected, and the core can sleep."""
    bench = standby()
    bench.ask_stop()
    bench = standby(timing=Timing(max_fences=1))
    bench.hear(STUCK, fence_me=True)
    bench.finish_fence(FenceOutcome.UNKNOWN)
    bench.hear(STUCK, fence_me=True)
    bench.pass_time(450 * MS)
    bench.in_pair(Suspect)
    wanted_ns = deadline_ns(bench.state)
    assert wanted_ns is not None
    assert wanted_ns > bench.now_ns


def test_two_stuck_nodes_do_not_shoot_each_other() -> None:
    """S9: of two nodes that both ask to be fenced not both shoot at once."""
    shots = []
    for me in (0, 1):
        bench = Bench(me=me)
        bench.pass_time(21 * S)
        bench.in_group(Stuck)
        bench.hear(STUCK, fence_me=True)
        shots.append(bench.count(Fence))
    assert sum(shots) <= 1


# S2 a: the peer left.


def test_leaving_peer_is_a_grant() -> None:
    """S2 a: a peer that stopped everything and says farewell leaves its groups to us."""
    bench = standby()
    bench.hear(says(Role.STANDBY, term=1, promotable=False), leaving=True)
    bench.in_pair(Left)
    bench.in_group(TakingOver)
    bench.persisted()
    bench.probed()
    bench.started()
    bench.pass_time(60 * S)
    assert bench.count(Fence) == 0
    bench.in_group(Active)


def test_leaving_while_holding_is_no_farewell() -> None:
    """S2 a: a peer that says leaving and still holds a group has not left."""
    bench = standby()
    bench.hear(says(Role.RELEASING, term=1), leaving=True)
    bench.in_pair(Alive)


def test_left_peer_stays_left() -> None:
    """Late frames of the farewell's incarnation do not bring it back; a new incarnation does."""
    bench = standby()
    bench.hear(says(Role.STANDBY, term=1), leaving=True)
    bench.hear(says(Role.STANDBY, term=1), leaving=True)
    bench.in_pair(Left)
    bench.reborn(says(Role.STANDBY, term=1))
    bench.in_pair(Alive)


def test_left_in_maintenance() -> None:
    """In maintenance too: whoever stopped the peer's agent wants the service to go on here."""
    bench = standby()
    bench.ask_maintenance(on=True)
    bench.hear(says(Role.STANDBY, term=1), leaving=True, maintenance=True, orders_version=1)
    bench.in_pair(Left)
    bench.in_group(TakingOver)


def test_peer_that_never_came_back_is_fenced_again() -> None:
    """A dead peer whose groups could not be started in time is fenced again, not waited for."""
    bench = taking_over()
    for _ in range(5):
        bench.persisted(ok=False)
        bench.pass_time(6 * S)
    bench.pass_time(10 * S)
    bench.finish_power_on()
    bench.in_pair(Unheard)
    bench.persisted(ok=False)
    bench.watch(REBOOT_NS + 10 * S)
    assert bench.in_pair(Fencing).cause is FenceCause.SILENCE


def test_delay_counts_from_open_gates() -> None:
    """S9: gates that open for both nodes long after the silence began still find an order."""
    for me in (0, 1):
        bench = standby(says(Role.STANDBY), me=me)
        bench.pass_time(450 * MS)
        bench.answer_evidence(serving=True)
        bench.watch(9 * S, serving=True)
        assert bench.reasons() == (Reason.STILL_SERVING,)
        bench.watch(1500 * MS, serving=True)
        assert bench.count(Fence) == (1 if me == 0 else 0)
        bench.watch(3 * S, serving=True)
        assert bench.count(Fence) == 1


def test_left_with_another_configuration() -> None:
    """Different configurations: no automatic takeover until they agree."""
    bench = standby()
    bench.hear(says(Role.STANDBY, term=1), leaving=True, configuration_hash=b"x" * 16)
    assert bench.count(StartGroup) == 0
    bench.in_group(Standby)


# A clean pair.


def test_failover_of_two_groups() -> None:
    """Both groups of a dead peer are taken over; one start leaves each step."""
    bench = taking_over(groups=("web", "mail"))
    takeovers = [bench.in_group(TakingOver, index).attempt for index in (0, 1)]
    assert len(set(takeovers)) == 2
    for effect in [e for e in bench.all if isinstance(e, Persist)][-2:]:
        assert effect.attempt in takeovers
    for index in (0, 1):
        bench.probed(index=index)
    writes = [e.attempt for e in bench.all if isinstance(e, Persist)][-2:]
    assert writes == takeovers
    bench.persisted()
    bench.in_group(Starting, 1)
    bench.in_group(TakingOver, 0)


# An agent that ended while the peer was off.


def test_power_that_is_owed_is_given_back_by_the_next_agent() -> None:
    """An agent died after it had the peer switched off: nobody else would switch it on again."""
    record = fencing().asked(Persist).record
    assert record.owes_power
    bench = Bench(record=record, same_boot=True)
    bench.pass_time(2 * S)
    assert bench.count(PowerOn) == 1
    bench.finish_power_on()
    bench.in_pair(Unheard)
    assert not bench.asked(Persist).record.owes_power
    bench.reborn(says(Role.STANDBY))
    bench.in_pair(Alive)
    assert not bench.state.distrusted


def test_power_is_owed_also_after_a_boot() -> None:
    """A node reset while it fenced must not leave both standing still; reset again, neither."""
    record = fencing().asked(Persist).record
    for _ in range(2):
        bench = Bench(record=record, same_boot=False)
        bench.pass_time(1 * S)
        assert bench.count(PowerOn) == 1
        assert bench.count(StartGroup) == 0
        record = bench.state.record
        assert record.owes_power
    bench.finish_power_on()
    bench.in_pair(Unheard)
    assert not bench.asked(Persist).record.owes_power
    bench.reborn(says(Role.STANDBY))
    bench.in_pair(Alive)
    assert not bench.state.distrusted


def test_peer_that_speaks_right_after_our_boot_is_no_liar() -> None:
    """The order of an earlier boot proves nothing against a peer that runs, and is not repeated."""
    record = fencing().asked(Persist).record
    bench = Bench(record=record, same_boot=False)
    bench.pass_time(MS)
    bench.reborn(says(Role.ACTIVE))
    bench.in_pair(Alive)
    bench.finish_power_on(ok=False)
    bench.reborn(says(Role.ACTIVE))
    bench.pass_time(MS)
    assert not bench.state.distrusted
    assert bench.count(PowerOn) == 1


def test_nothing_is_owed_where_nothing_was_ordered() -> None:
    """An ordinary record, and one of a peer that was given its power back."""
    assert not standby().state.record.owes_power
    bench = failed_over()
    bench.finish_power_on()
    assert not bench.state.record.owes_power
