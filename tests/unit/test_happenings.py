# SPDX-License-Identifier: GPL-2.0-or-later
"""What the hooks are told of: each thing once, when it has happened."""

from __future__ import annotations

from core.harness import Bench, active, asking, fencing, promise, says, taking_over

from fencing import FenceOutcome
from haagent.core.effects import Fence
from haagent.core.events import Event, FenceFinished, GroupLost
from haagent.core.settings import S
from haagent.core.wire import Role
from haagent.happenings import happenings
from haagent.hooks import Happening, Occasion


class Told(Bench):
    """A bench that keeps what the hooks would be told."""

    heard: list[Happening]

    def _step(self, event: Event) -> None:
        before = self.state
        super()._step(event)
        self.heard.extend(happenings(before, event, self.state))


def told(bench: Bench) -> Told:
    """From now on."""
    bench.__class__ = Told
    assert isinstance(bench, Told)
    bench.heard = []
    return bench


def words(bench: Told) -> list[tuple[str, str]]:
    """Occasion and reason of everything so far."""
    return [(each.occasion.value, each.reason) for each in bench.heard]


def test_a_failover() -> None:
    """The shot, then the group; the moments between are nobody's business."""
    bench = told(fencing())
    bench.finish_fence()
    bench.persisted()
    bench.probed()
    bench.started()
    assert words(bench) == [("on_fence", "confirmed_off"), ("on_active", "")]
    assert (bench.heard[1].group, bench.heard[1].term) == ("web", bench.state.groups[0].term)


def test_a_fence_that_proves_nothing_is_an_alarm() -> None:
    """What is not proved is told twice: as a shot, and as something to look at."""
    bench = told(fencing())
    bench.finish_fence(FenceOutcome.UNKNOWN)
    assert words(bench) == [("on_fence", "unknown"), ("on_alarm", "fence_unconfirmed")]


def test_an_answer_nobody_waits_for_is_not_told() -> None:
    """S4: the answer to an abandoned attempt."""
    bench = told(taking_over())
    attempt = bench.asked(Fence).attempt
    bench.feed(FenceFinished(attempt - 1, FenceOutcome.CONFIRMED_OFF, ""))
    bench.feed(FenceFinished(attempt, FenceOutcome.CONFIRMED_OFF, ""))
    assert words(bench) == []


def test_a_hand_over() -> None:
    """Given away in peace: standby, no alarm."""
    bench = active()
    bench.hear(says(Role.STANDBY, term=1))
    bench = told(bench)
    bench.ask_switchover()
    bench.stopped()
    assert words(bench) == [("on_standby", "")]


def test_a_group_given_up_is_an_alarm() -> None:
    """Although the peer has asked for it already, and has its promise in the same step."""
    bench = active()
    bench.hear(says(Role.STANDBY, term=1))
    bench = told(bench)
    bench.feed(GroupLost(0, "nginx died"))
    bench.hear(asking(bench))
    bench.stopped()
    assert words(bench) == [("on_standby", "start_failed"), ("on_alarm", "start_failed")]
    bench.pass_time(2 * S, says(Role.ACTIVE, term=9, held_term=9))
    assert len(bench.heard) == 2, "told once"


def test_stuck_is_an_alarm() -> None:
    """S7: it asks to be fenced, and says so to the operator as well."""
    bench = active()
    bench.hear(says(Role.STANDBY, term=1))
    bench = told(bench)
    bench.ask_switchover()
    bench.pass_time(30 * S, says(Role.STANDBY, term=1))
    assert ("on_alarm", "stuck") in words(bench)


def test_a_liar_is_an_alarm() -> None:
    """S8: somebody still answers for the address of a peer that was read off."""
    bench = told(taking_over())
    bench.persisted()
    bench.probed("02:00:00:00:00:01")
    assert ("on_alarm", "fence_distrusted") in words(bench)
    assert ("on_alarm", "vip_answers") in words(bench)


def test_a_heartbeat_is_no_news() -> None:
    """Most steps tell nothing."""
    bench = told(active())
    bench.pass_time(2 * S, says(Role.STANDBY, term=1))
    assert words(bench) == []


def test_too_many_moves_is_an_alarm() -> None:
    """The move that makes a group restless is told once; so is the first one in a later window."""
    bench = told(active(max_moves=2, move_window_ns=600 * S))
    for window in (1, 2):
        _leaves_and_comes(bench)
        alarms = [each for each in bench.heard if each.reason == "too_many_moves"]
        assert len(alarms) == window
        assert alarms[-1].occasion is Occasion.ALARM
        assert alarms[-1].group == "web"
        bench.pass_time(601 * S, says(Role.STANDBY, term=bench.state.groups[0].term))
    assert len([each for each in bench.heard if each.occasion is Occasion.ALARM]) == 2


def _leaves_and_comes(bench: Told) -> None:
    """Handed over to the peer and fetched back."""
    bench.hear(says(Role.STANDBY, term=bench.state.groups[0].term))
    bench.ask_switchover()
    bench.stopped()
    term = bench.state.groups[0].term + 1
    bench.hear(says(Role.ACTIVE, term=term, held_term=term))
    bench.ask_switchover()
    bench.hear(says(Role.RELEASING, term=term))
    bench.hear(promise(bench))
    bench.persisted()
    bench.probed()
    bench.started()
