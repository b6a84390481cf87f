# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom do we hear: replays, incarnations, silence, pauses, and our own stalls."""

from __future__ import annotations

import pytest

from core.harness import MINE, REBORN, THEIRS, Bench, asking, fencing, says, silent, standby
from haagent.core.detector import PAUSE_NS_MAX, RETIRED_MAX, STALL_MEMORY_NS, silence_ns
from haagent.core.effects import Fence, GatherEvidence
from haagent.core.phases import Alive, Silent, Standby, Suspect, Unheard, Yielded
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S
from haagent.core.wire import Refusal, Role


def refused(bench: Bench) -> dict[str, int]:
    """Counters of the frames that the core refused."""
    return dict(bench.state.refusals)


def test_first_echoing_frame_is_believed() -> None:
    """An incarnation is alive once it echoes mine."""
    bench = Bench()
    bench.hear(says(Role.STANDBY))
    bench.in_pair(Alive)
    assert bench.beat.echo == THEIRS


def test_stranger_is_not_believed() -> None:
    """Authentic frames that do not echo my present incarnation may be a recording."""
    bench = Bench()
    bench.stopped()
    bench.hear(says(Role.WANTING, attempt=1, attempt_term=1), echo=MINE - 1)
    bench.in_pair(Unheard)
    bench.in_group(Standby)
    assert bench.state.view is None


def test_stranger_is_echoed() -> None:
    """A stranger is echoed while nobody is known, so that a living one can prove itself."""
    bench = Bench()
    bench.hear(echo=0)
    bench.pass_time(100 * MS)
    assert bench.beat.echo == THEIRS


def test_stranger_does_not_end_silence() -> None:
    """Recorded frames of an earlier run do not keep a silent peer alive."""
    bench = standby()
    bench.pass_time(300 * MS)
    bench.hear(incarnation=REBORN, echo=0)
    bench.pass_time(150 * MS)
    bench.in_pair(Suspect)


def test_replayed_counter() -> None:
    """A frame heard once is refused the second time, and is no sign of life."""
    bench = standby()
    bench.pass_time(300 * MS)
    bench.hear(counter=bench.counter)
    assert refused(bench) == {Refusal.REPLAYED: 1}
    bench.pass_time(150 * MS)
    bench.in_pair(Suspect)


def test_old_counter() -> None:
    """An older frame of the same link is refused, and counted each time."""
    bench = standby()
    bench.hear(counter=50)
    for counter in (49, 1):
        bench.hear(counter=counter)
    assert refused(bench) == {Refusal.REPLAYED: 2}


def test_counters_are_per_link() -> None:
    """A slow link's older frame is a sign of life on that link, but what it says is out of date."""
    bench = standby()
    bench.hear(says(Role.ACTIVE, term=1), counter=50, link=0)
    bench.hear(says(Role.STANDBY), counter=49, link=1)
    assert refused(bench) == {}
    assert bench.state.links[1].counter == 49
    assert bench.state.view is not None
    assert bench.state.view.role("web") is Role.ACTIVE


def test_wrong_link() -> None:
    """A frame that arrives on another link than it was sent on is refused."""
    bench = Bench()
    bench.hear(sent_on=1, link=0)
    assert refused(bench) == {Refusal.WRONG_LINK: 1}
    bench.in_pair(Unheard)


def test_retired_incarnation() -> None:
    """An incarnation that was followed by another is never believed again, whatever it echoes."""
    bench = standby()
    bench.reborn(says(Role.STANDBY))
    bench.hear(says(Role.ACTIVE, term=9), incarnation=THEIRS, counter=10**6)
    assert refused(bench) == {Refusal.REPLAYED: 1}
    assert bench.state.view is not None
    assert bench.state.view.incarnation == REBORN


def test_retired_incarnations_are_bounded() -> None:
    """The memory of earlier incarnations is bounded, and keeps the latest."""
    bench = standby()
    for incarnation in range(3000, 3000 + RETIRED_MAX + 5):
        bench.hear(incarnation=incarnation)
    assert len(bench.state.retired) == RETIRED_MAX
    assert bench.state.retired[-1] == 3000 + RETIRED_MAX + 3


def test_new_incarnation_starts_counting_anew() -> None:
    """A reborn peer begins at counter 1 on each link."""
    bench = standby()
    bench.hear(counter=10**6)
    bench.reborn(link=1)
    assert refused(bench) == {}
    assert bench.state.links[0].heard_ns is None
    assert bench.state.links[1].counter == 1


def test_silence_counts_from_the_newest_link() -> None:
    """One living link is enough: a lost one changes no role."""
    bench = standby()
    for _ in range(30):
        bench.hear(says(Role.ACTIVE, term=1), link=1)
        bench.pass_time(100 * MS)
    bench.in_pair(Alive)
    assert bench.beat.links[0].age_ms == 3000
    assert bench.beat.links[1].age_ms == 100


def test_old_receive_time_is_not_fresher() -> None:
    """Silence is counted from when the kernel received a frame, not from when we read it."""
    bench = standby()
    heard_ns = bench.now_ns
    bench.pass_time(200 * MS)
    bench.hear(says(Role.ACTIVE, term=1), heard_ns=heard_ns)
    assert silence_ns(bench.state, bench.now_ns) == 200 * MS


def test_suspect_after_exactly() -> None:
    """Suspicion comes at suspect_after to the nanosecond, and asks for evidence at once."""
    bench = standby()
    bench.pass_time(400 * MS - 1)
    bench.in_pair(Alive)
    assert bench.count(GatherEvidence) == 0
    bench.pass_time(1)
    bench.in_pair(Suspect)
    assert bench.count(GatherEvidence) == 1


def test_dead_after_exactly() -> None:
    """With every gate open the fence is ordered at dead_after to the nanosecond."""
    bench = silent()
    bench.pass_time(550 * MS - 1)
    assert bench.count(Fence) == 0
    bench.pass_time(1)
    assert bench.count(Fence) == 1


# S6: judge yourself first.


@pytest.mark.parametrize("stall_ns", [400 * MS, 5 * S, 3600 * S])
def test_frozen_agent_waits_anew(stall_ns: int) -> None:
    """S6: an agent that was frozen does not blame the peer: it waits a full dead_after anew."""
    bench = standby()
    bench.freeze(stall_ns)
    bench.pass_time(350 * MS)
    bench.in_pair(Alive)
    bench.pass_time(100 * MS)
    bench.answer_evidence()
    bench.pass_time(540 * MS)
    assert bench.count(Fence) == 0
    bench.pass_time(20 * MS)
    assert bench.count(Fence) == 1


def test_stall_while_silent_names_itself() -> None:
    """S6: a stall just before dead_after delays the fence, and the reason is named."""
    bench = silent()
    bench.pass_time(500 * MS)
    bench.freeze(600 * MS)
    bench.pass_time(100 * MS)
    assert bench.count(Fence) == 0
    bench.in_pair(Suspect)


def test_stall_in_silence_is_a_gate() -> None:
    """S6: a stall while a gate said no closes the gate `stalled`."""
    bench = silent()
    bench.pass_time(300 * MS)
    bench.answer_evidence(connected=False)
    bench.pass_time(500 * MS)
    bench.in_pair(Silent)
    bench.freeze(500 * MS)
    bench.answer_evidence(connected=True)
    assert bench.reasons() == (Reason.STALLED,)
    bench.pass_time(400 * MS)
    bench.answer_evidence(connected=True)
    bench.pass_time(550 * MS)
    assert bench.count(Fence) == 0
    bench.pass_time(100 * MS)
    assert bench.count(Fence) == 1


def test_stall_is_told() -> None:
    """The worst stall of late, beyond the interval, is told, and forgotten after a while."""
    bench = standby()
    bench.freeze(700 * MS)
    bench.pass_time(100 * MS)
    assert bench.beat.stall_ms == 600
    bench.pass_time(STALL_MEMORY_NS - 500 * MS, says(Role.ACTIVE, term=1))
    assert bench.beat.stall_ms == 600
    bench.pass_time(1 * S, says(Role.ACTIVE, term=1))
    assert bench.beat.stall_ms < 400


def test_punctual_agent_tells_no_stall() -> None:
    """What is told is the lateness beyond one interval: an agent that is never late tells 0."""
    bench = standby()
    bench.pass_time(1 * S, says(Role.ACTIVE, term=1))
    assert bench.beat.stall_ms == 0


def test_queued_frames_are_taken_first() -> None:
    """S6: the frames that a frozen agent slept through are read before anybody is suspected."""
    bench = standby()
    bench.freeze(900 * MS)
    bench.hear(says(Role.ACTIVE, term=1), heard_ns=bench.now_ns - 20 * MS)
    bench.pass_time(390 * MS)
    bench.in_pair(Alive)


# Announced pauses.


def test_pausing_peer_is_waited_for() -> None:
    """A peer that announced a pause is left alone until it is over; then its silence counts."""
    bench = standby()
    bench.hear(says(Role.ACTIVE, term=1), pausing_ms=5000)
    bench.pass_time(5 * S - 1)
    bench.in_pair(Alive)
    bench.pass_time(100 * MS)
    assert bench.in_pair(Silent).reasons == (Reason.EVIDENCE_PENDING,)


def test_pause_is_bounded() -> None:
    """A peer that asks for more than 30 s of patience gets 30 s."""
    bench = standby()
    bench.hear(says(Role.ACTIVE, term=1), pausing_ms=2**32 - 1)
    bench.pass_time(PAUSE_NS_MAX - 1)
    bench.in_pair(Alive)
    bench.pass_time(100 * MS)
    bench.in_pair(Silent)


def test_pause_ends_with_the_next_word() -> None:
    """A later frame that does not pause ends the pause."""
    bench = standby()
    bench.hear(says(Role.ACTIVE, term=1), pausing_ms=20_000)
    bench.reborn(says(Role.ACTIVE, term=1))
    bench.pass_time(400 * MS)
    bench.in_pair(Suspect)


def test_pause_while_suspect() -> None:
    """A late announcement of a pause counts from its arrival."""
    bench = fencing()
    bench.hear(says(Role.ACTIVE, term=1), pausing_ms=3000)
    bench.in_pair(Alive)
    bench.pass_time(2900 * MS)
    assert bench.count(Fence) == 1


# Maintenance travels by version.


@pytest.mark.parametrize(
    ("version", "on", "expected"),
    [(1, True, True), (0, True, True), (0, False, False)],
    ids=["newer", "tie-careful", "same"],
)
def test_maintenance_is_taken_over(version: int, on: bool, expected: bool) -> None:  # noqa: FBT001
    """A higher version of the peer is believed; at a tie the careful word is."""
    bench = standby()
    bench.hear(says(Role.ACTIVE, term=1), maintenance=on, orders_version=version)
    assert bench.state.orders.maintenance is expected
    bench.pass_time(100 * MS)
    assert bench.beat.maintenance is expected


def test_older_maintenance_is_ignored() -> None:
    """A peer that missed the operator's word does not undo it."""
    bench = standby()
    bench.ask_maintenance(on=True)
    bench.hear(says(Role.ACTIVE, term=1), maintenance=False, orders_version=0)
    assert bench.state.orders.maintenance
    bench.hear(says(Role.ACTIVE, term=1), maintenance=False, orders_version=2)
    assert not bench.state.orders.maintenance


def test_replays_change_nothing() -> None:
    """A replayed asking is not promised to."""
    bench = standby(says(Role.STANDBY), me=1)
    wish = asking(bench)
    bench.hear(wish, counter=0)
    bench.in_group(Standby)
    bench.hear(wish)
    bench.in_group(Yielded)
