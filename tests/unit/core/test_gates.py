# SPDX-License-Identifier: GPL-2.0-or-later
"""Every gate before a fence, by its name: closed it says why, open it lets the fence go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.harness import HASH, Bench, active, fencing, says, silent, standby
from fencing import FenceOutcome
from haagent.core.effects import Fence, GatherEvidence, PowerOn
from haagent.core.events import EvidenceGathered, LinkChanged, StopKind
from haagent.core.gates import EVIDENCE_BUDGET_NS, EVIDENCE_OLD_NS, connected
from haagent.core.phases import FenceCause, Fencing, Silent, Suspect
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S, Timing
from haagent.core.state import State
from haagent.core.wire import Role

ACTIVE = says(Role.ACTIVE, term=1, held_term=1)
DEAD_NS = 600 * MS
"""From a silent() bench to just past dead_after."""


def isolate(bench: Bench) -> None:
    """No reference answers."""
    bench.pass_time(500 * MS)
    bench.answer_evidence(connected=False)


def unplug(bench: Bench) -> None:
    """The only switched link loses its carrier; the direct cable keeps its own."""
    bench.feed(LinkChanged(0, carrier=False))


def serve(bench: Bench) -> None:
    """The peer's service still answers its probe."""
    bench.pass_time(500 * MS)
    bench.answer_evidence(serving=True)


def maintain(bench: Bench) -> None:
    """An operator turned maintenance on."""
    bench.ask_maintenance(on=True)


def distrust(bench: Bench) -> None:
    """A fence device was caught lying earlier."""
    bench.state = replace(bench.state, distrusted=True)


def exhaust(bench: Bench) -> None:
    """Three power-offs were ordered within the window."""
    bench.state = replace(bench.state, fences_ns=(bench.now_ns,) * 3)


def differ(bench: Bench) -> None:
    """The peer's last frame told of another configuration."""
    bench.hear(ACTIVE, configuration_hash=b"x" * 16, heard_ns=bench.now_ns - 450 * MS)
    bench.pass_time(100 * MS)
    bench.answer_evidence()


def leave(bench: Bench) -> None:
    """This agent was told to end, and still waits for a group to stop."""
    bench.state = replace(bench.state, stopping=StopKind.LEAVE, stop_by_ns=bench.now_ns + 30 * S)


GATES: list[tuple[Callable[[Bench], None], Reason]] = [
    (isolate, Reason.ISOLATED),
    (unplug, Reason.ISOLATED),
    (serve, Reason.STILL_SERVING),
    (maintain, Reason.MAINTENANCE),
    (distrust, Reason.FENCE_DISTRUSTED),
    (exhaust, Reason.TOO_MANY_FENCES),
    (differ, Reason.CONFIGURATION_DIFFERS),
]


@pytest.mark.parametrize(("close", "reason"), GATES, ids=[close.__name__ for close, _ in GATES])
def test_gate_says_no_by_name(close: Callable[[Bench], None], reason: Reason) -> None:
    """Each closed gate alone forbids the fence, is named, and is the only name."""
    bench = silent()
    close(bench)
    bench.pass_time(DEAD_NS)
    assert bench.in_pair(Silent).reasons == (reason,)
    assert bench.count(Fence) == 0


def test_all_gates_open() -> None:
    """S2 b: with nothing to say against it the peer is fenced, for its silence."""
    bench = fencing()
    assert bench.in_pair(Fencing).cause is FenceCause.SILENCE


def test_gates_are_named_together() -> None:
    """Status shows every reason at once, not the first."""
    bench = silent()
    maintain(bench)
    unplug(bench)
    bench.pass_time(DEAD_NS)
    assert set(bench.reasons()) == {Reason.MAINTENANCE, Reason.ISOLATED}


def test_evidence_pending() -> None:
    """Without an answer of references and probes nobody shoots."""
    bench = standby()
    bench.pass_time(1100 * MS)
    assert bench.in_pair(Silent).reasons == (Reason.EVIDENCE_PENDING,)
    bench.answer_evidence()
    bench.in_pair(Fencing)


def test_evidence_is_asked_again() -> None:
    """An answer that does not come within its budget is asked for anew, not waited for for ever."""
    bench = standby()
    bench.pass_time(450 * MS)
    bench.pass_time(EVIDENCE_BUDGET_NS)
    assert bench.count(GatherEvidence) == 2


def test_old_evidence_is_ignored() -> None:
    """S4: the answer to an earlier question opens no gate."""
    bench = standby()
    bench.pass_time(450 * MS)
    old = bench.asked(GatherEvidence).attempt
    bench.pass_time(EVIDENCE_BUDGET_NS)
    assert bench.asked(GatherEvidence).attempt != old
    bench.feed(EvidenceGathered(old, connected=True, serving=False, vip_answered=False))
    assert bench.in_pair(Silent).reasons == (Reason.EVIDENCE_PENDING,)


def test_evidence_of_an_earlier_silence_is_forgotten() -> None:
    """Each silence gathers its own evidence."""
    bench = silent()
    bench.hear(ACTIVE)
    bench.pass_time(450 * MS)
    bench.in_pair(Suspect)
    assert bench.state.evidence is not None
    assert not bench.state.evidence.answered_ns


def test_evidence_unasked_is_ignored() -> None:
    """S4: an answer that nobody asked for changes nothing."""
    bench = standby()
    bench.feed(EvidenceGathered(99, connected=True, serving=True, vip_answered=True))
    assert bench.state.evidence is None


def test_evidence_is_renewed() -> None:
    """While a gate says no, evidence is asked for every second; the last answer stands."""
    bench = silent()
    isolate(bench)
    asked = bench.count(GatherEvidence)
    bench.pass_time(3 * S)
    assert bench.count(GatherEvidence) == asked + 3
    assert bench.reasons() == (Reason.ISOLATED,)


def test_evidence_gets_old() -> None:
    """S6: what was asked 5 s ago opens no gate any more, to the nanosecond; a new answer does."""
    bench = silent()
    maintain(bench)
    bench.pass_time(DEAD_NS)
    assert bench.state.evidence is not None
    asked_ns = bench.state.evidence.asked_ns
    bench.answer_evidence()
    bench.pass_time(asked_ns + EVIDENCE_OLD_NS - 1 - bench.now_ns)
    assert bench.reasons() == (Reason.MAINTENANCE,)
    bench.pass_time(1)
    assert bench.reasons() == (Reason.MAINTENANCE, Reason.EVIDENCE_PENDING)
    bench.ask_maintenance(on=False, request=2)
    assert bench.reasons() == (Reason.EVIDENCE_PENDING,)
    bench.pass_time(60 * S)
    assert bench.count(Fence) == 0
    bench.answer_evidence()
    bench.in_pair(Fencing)


def test_isolation_ends() -> None:
    """S6: an isolated node does not shoot, and shoots as soon as it is connected again."""
    bench = silent()
    isolate(bench)
    bench.watch(20 * S, connected=False)
    assert bench.reasons() == (Reason.ISOLATED,)
    assert bench.count(Fence) == 0
    bench.answer_evidence(connected=True)
    bench.in_pair(Fencing)


def test_direct_cable_does_not_isolate() -> None:
    """A direct cable without carrier hints at the peer's power, never at our own isolation."""
    bench = silent()
    bench.feed(LinkChanged(1, carrier=False))
    bench.pass_time(DEAD_NS)
    bench.in_pair(Fencing)


def test_carrier_back() -> None:
    """A switched link that is plugged in again opens the gate, and is heard as before."""
    bench = silent()
    unplug(bench)
    bench.pass_time(DEAD_NS)
    counter = bench.state.links[0].counter
    bench.feed(LinkChanged(0, carrier=True))
    bench.in_pair(Fencing)
    assert bench.state.links[0].counter == counter


def test_connected_without_switched_links() -> None:
    """Where no switched link is configured the references alone decide."""
    bench = silent()
    direct = tuple(replace(link, switched=False) for link in bench.state.settings.links)
    state: State = replace(bench.state, settings=replace(bench.state.settings, links=direct))
    assert connected(state)


def test_serving_grace() -> None:
    """A silent peer whose service answers is left alone for serving_grace, and no longer."""
    bench = silent()
    serve(bench)
    heard = bench.state.view
    assert heard is not None
    while bench.now_ns - heard.heard_ns < 9900 * MS:
        bench.pass_time(100 * MS)
        bench.answer_evidence(serving=True)
    assert bench.reasons() == (Reason.STILL_SERVING,)
    bench.pass_time(200 * MS)
    bench.in_pair(Fencing)


def test_stopping() -> None:
    """An agent that is about to end does not begin a fence."""
    bench = silent()
    leave(bench)
    assert Reason.STOPPING in bench.reasons()


def test_configuration_agrees_again() -> None:
    """Once the two configurations agree the takeover is automatic again."""
    bench = standby()
    bench.hear(ACTIVE, configuration_hash=b"x" * 16)
    assert Reason.CONFIGURATION_DIFFERS in bench.reasons()
    bench.hear(ACTIVE, configuration_hash=HASH)
    assert Reason.CONFIGURATION_DIFFERS not in bench.reasons()


# S9: only who gains shoots.


def test_active_does_not_shoot() -> None:
    """S9: an active does not race: it already holds everything, however long the silence."""
    bench = active()
    bench.pass_time(500 * MS)
    bench.answer_evidence()
    bench.watch(60 * S)
    assert bench.in_pair(Silent).reasons == (Reason.NOTHING_TO_GAIN,)
    assert bench.count(Fence) == 0


def both_gain(me: int) -> Bench:
    """Two groups, one on each node; the peer falls silent."""
    mine = ("web", "mail")
    bench = Bench(me=me, groups=mine)
    for index in (0, 1):
        bench.stopped(index)
    bench.hear(says(Role.ACTIVE, term=1), says(Role.STANDBY, name="mail", term=1))
    bench.pass_time(450 * MS)
    bench.answer_evidence()
    return bench


def test_first_node_shoots_at_once() -> None:
    """S9: where both would gain, the first node in the configuration shoots at dead_after."""
    bench = both_gain(me=0)
    bench.pass_time(DEAD_NS)
    assert bench.count(Fence) == 1


def test_second_node_waits_fence_delay() -> None:
    """S9: where both would gain, the second node waits fence_delay, by name, and then shoots."""
    bench = both_gain(me=1)
    bench.pass_time(DEAD_NS)
    assert bench.reasons() == (Reason.FENCE_DELAY,)
    bench.pass_time(2900 * MS)
    assert bench.count(Fence) == 0
    bench.pass_time(100 * MS)
    assert bench.count(Fence) == 1


def test_second_node_alone_gains() -> None:
    """S9: a second node whose peer holds everything does not wait: only it would gain."""
    bench = fencing(me=1)
    assert bench.count(Fence) == 1


@pytest.mark.parametrize("role", [Role.RELEASING, Role.STUCK, Role.STANDBY], ids=str)
def test_second_node_waits_for_a_peer_that_may_have_let_go(role: Role) -> None:
    """S9: a peer that was last heard letting go may gain as well: the second node waits."""
    bench = standby(says(role, term=1), me=1)
    bench.pass_time(450 * MS)
    bench.answer_evidence()
    bench.pass_time(DEAD_NS)
    assert bench.reasons() == (Reason.FENCE_DELAY,)


def test_second_node_waits_while_asking() -> None:
    """S9: what the second node asked for the peer may have let go unheard: it waits."""
    bench = standby(me=1)
    bench.ask_switchover()
    bench.pass_time(450 * MS)
    bench.answer_evidence()
    bench.pass_time(DEAD_NS)
    assert bench.reasons() == (Reason.FENCE_DELAY,)


def test_blocked_group_names_its_reason() -> None:
    """A node whose only gain is blocked says by what."""
    bench = standby(says(Role.STANDBY), me=0)
    wish = bench.beat.groups[0]
    bench.hear(
        says(
            Role.YIELDED,
            attempt=wish.attempt,
            attempt_term=wish.attempt_term,
            attempt_incarnation=1000,
        )
    )
    bench.probed("02:00:00:00:00:01")
    assert Reason.VIP_ANSWERS in bench.reasons()


# S10: bounded violence.


def test_fences_are_bounded() -> None:
    """S10: after max_fences in the window nobody is shot until the window moved on."""
    bench = fencing()
    for _ in range(2):
        bench.finish_fence(FenceOutcome.UNKNOWN)
        bench.watch(5300 * MS)
    bench.finish_fence(FenceOutcome.UNKNOWN)
    assert bench.count(Fence) == 3
    bench.watch(60 * S)
    assert bench.reasons() == (Reason.TOO_MANY_FENCES,)
    assert bench.count(Fence) == 3


def test_window_moves_on() -> None:
    """S10: the window is a window: the oldest order is forgotten after it."""
    bench = fencing(timing=Timing(fence_window_ns=20 * S, max_fences=1))
    bench.finish_fence(FenceOutcome.UNKNOWN)
    bench.watch(19 * S)
    assert bench.reasons() == (Reason.TOO_MANY_FENCES,)
    assert bench.count(Fence) == 1
    bench.watch(2 * S)
    assert bench.count(Fence) == 2
    assert len(bench.state.fences_ns) == 1


def test_failed_orders_do_not_count() -> None:
    """S10 counts violence: an order that certainly never left this machine is none."""
    bench = fencing()
    bench.finish_fence(FenceOutcome.FAILED)
    assert bench.state.fences_ns == ()


def test_fence_order_is_recorded() -> None:
    """S10: the order is in the record, so that a restarted agent does not begin counting anew."""
    bench = fencing()
    assert bench.state.record.fences_ns == bench.state.fences_ns
    again = Bench(record=bench.state.record, same_boot=True)
    assert again.state.fences_ns == bench.state.fences_ns
    rebooted = Bench(record=bench.state.record, same_boot=False)
    assert rebooted.state.fences_ns == ()


# S7: the peer asks for it.


def test_asked_fence_needs_no_evidence() -> None:
    """S7: a peer that asks for it is fenced although its frames arrive, but not in maintenance."""
    bench = standby()
    bench.ask_maintenance(on=True)
    bench.hear(says(Role.STUCK, term=1), fence_me=True)
    assert bench.count(Fence) == 0
    bench.ask_maintenance(on=False, request=2)
    bench.hear(says(Role.STUCK, term=1), fence_me=True, orders_version=2)
    assert bench.in_pair(Fencing).cause is FenceCause.ASKED
    assert bench.count(PowerOn) == 0


@pytest.mark.parametrize("close", [distrust, exhaust], ids=lambda close: str(close.__name__))
def test_asked_fence_is_bounded(close: Callable[[Bench], None]) -> None:
    """S10, S8: a peer that asks is not shot more often, nor with a device that lied."""
    bench = standby()
    close(bench)
    bench.hear(says(Role.STUCK, term=1), fence_me=True)
    bench.pass_time(10 * S, says(Role.STUCK, term=1), fence_me=True)
    assert bench.count(Fence) == 0


def test_asked_fence_by_another_configuration() -> None:
    """A peer of another configuration is not shot on its word."""
    bench = standby()
    bench.hear(says(Role.STUCK, term=1), fence_me=True, configuration_hash=b"x" * 16)
    assert bench.count(Fence) == 0


def test_reasons_have_words() -> None:
    """Every reason has a name for machines and a sentence for people."""
    for reason in Reason:
        assert reason.code == reason.name.lower()
        assert len(reason.text) > 10
