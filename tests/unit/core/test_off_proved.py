# SPDX-License-Identifier: GPL-2.0-or-later
"""A fence from the console counts as proof, as long as nothing speaks against it: S2 b, S8."""

from __future__ import annotations

import pytest

from core.harness import Bench, active, fencing, says, silent, standby, taking_over
from haagent.core.effects import AbandonFence, Fence, PowerOn
from haagent.core.operator import PROOF_FRESH_NS
from haagent.core.pair import IN_FLIGHT_NS
from haagent.core.phases import (
    Active,
    Alive,
    Fenced,
    PoweringOn,
    Proof,
    Silent,
    Standby,
    TakingOver,
    Unheard,
)
from haagent.core.settings import MS, S
from haagent.core.wire import Role

ACTIVE = says(Role.ACTIVE, term=1, held_term=1)


def proved() -> Bench:
    """A standby whose peer an operator has just fenced from the console."""
    bench = standby()
    bench.pass_time(100 * MS)
    bench.prove_off(request=7)
    return bench


def test_a_console_fence_is_a_grant() -> None:
    """S2 b: the takeover begins at once, without waiting for the silence and without a shot."""
    bench = proved()
    assert bench.reply(7).ok
    assert bench.in_pair(Fenced).proof is Proof.CONSOLE
    bench.pass_time(1 * MS)
    bench.in_group(TakingOver)
    assert bench.count(Fence) == 0


def test_a_console_fence_ends_our_own() -> None:
    """Two shots at one peer are one too many."""
    bench = fencing()
    bench.prove_off()
    assert bench.count(AbandonFence) == 1
    bench.in_pair(Fenced)


def test_power_stays_with_the_operator() -> None:
    """Who cut the power from the console gives it back."""
    bench = proved()
    bench.pass_time(1 * MS)
    bench.persisted()
    bench.probed()
    bench.started()
    bench.in_pair(Unheard)
    bench.pass_time(30 * S)
    bench.in_group(Active)
    assert bench.count(PowerOn) == 0


def test_active_fences_its_standby() -> None:
    """An active whose standby is fenced from the console goes on serving."""
    bench = active()
    bench.prove_off(request=7)
    assert bench.reply(7).ok
    bench.pass_time(1 * S)
    bench.in_group(Active)


def test_refused_when_frames_came_later() -> None:
    """S2 b: the reading must be later than the last frame."""
    bench = standby()
    bench.pass_time(1 * S - 1)
    bench.hear(ACTIVE)
    bench.prove_off(request=7, ago_ns=IN_FLIGHT_NS + 1)
    assert "frames of the peer arrived" in bench.reply(7).message
    bench.in_pair(Alive)
    bench.in_group(Standby)


def test_frames_in_flight_do_not_refuse() -> None:
    """A frame that was on its way when the power went does not speak against the proof."""
    bench = standby()
    bench.pass_time(100 * MS)
    bench.hear(ACTIVE)
    bench.prove_off(request=7, ago_ns=IN_FLIGHT_NS)
    assert bench.reply(7).ok


def test_refused_by_a_stranger() -> None:
    """S8: an incarnation that does not hear us is alive all the same."""
    bench = Bench()
    bench.stopped()
    bench.pass_time(1 * S)
    bench.hear(echo=0)
    bench.prove_off(request=7, ago_ns=IN_FLIGHT_NS + 1)
    assert not bench.reply(7).ok


@pytest.mark.parametrize("ago_ns", [PROOF_FRESH_NS + 1, -1])
def test_refused_when_not_fresh(ago_ns: int) -> None:
    """An old reading proves nothing any more, and one of the future never did."""
    bench = silent()
    bench.pass_time(2 * PROOF_FRESH_NS)
    bench.prove_off(request=7, ago_ns=ago_ns)
    assert "not of the last seconds" in bench.reply(7).message


def test_refused_by_a_liar() -> None:
    """S8: devices that are distrusted prove nothing, whoever asks them."""
    bench = proved()
    bench.pass_time(100 * MS)
    bench.hear(ACTIVE)
    assert bench.state.distrusted
    bench.in_pair(Alive)
    bench.pass_time(3 * S)
    bench.in_pair(Silent)
    bench.prove_off(request=8)
    assert "said off while the peer lived" in bench.reply(8).message


def test_an_answered_address_makes_a_liar() -> None:
    """S8: somebody answers for the address after the console's proof."""
    bench = proved()
    bench.pass_time(1 * MS)
    bench.probed("02:00:00:00:00:03")
    assert bench.state.distrusted


def test_refused_while_the_power_comes_back() -> None:
    """An order on that is under way would make the reading old."""
    bench = taking_over()
    bench.persisted()
    bench.probed()
    bench.started()
    bench.pass_time(1 * MS)
    bench.in_pair(PoweringOn)
    bench.prove_off(request=7)
    assert "giving the peer its power back" in bench.reply(7).message


def test_proved_twice() -> None:
    """A second proof changes nothing."""
    bench = taking_over()
    bench.prove_off(request=7)
    assert "proved off already" in bench.reply(7).message
    assert bench.in_pair(Fenced).proof is Proof.HARDWARE
