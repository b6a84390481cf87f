# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording is told as what happened: the failover, or the one that did not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from core.harness import says
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blackbox.box_bench import Recorded, failed_over, flush, haagent, make_recorder
from haagent.blackbox.entries import Noted
from haagent.blackbox.episodes import Episode, episodes, newest
from haagent.blackbox.gate_table import YES, gate_lines
from haagent.blackbox.sentences import Cast, of_effect, of_event, of_group, of_note, of_pair
from haagent.blackbox.story import tell
from haagent.core.effects import (
    Beat,
    Effect,
    GatherEvidence,
    Persist,
    ProbeVip,
    StartGroup,
    StopGroup,
)
from haagent.core.events import DeadlinePassed, Event, PeerHeard, PositionRead, SyncRead
from haagent.core.phases import FenceCause, GroupPhase, PairPhase, Unheard
from haagent.core.reasons import Reason
from haagent.core.settings import MS, S
from haagent.core.wire import Role

CAST = Cast("beta", "alpha", ("web",), ("lan",), ("alpha", "beta"))
UNTOLD = {
    PeerHeard, DeadlinePassed, PositionRead, SyncRead,
    Beat, GatherEvidence, Persist, ProbeVip, StartGroup, StopGroup,
}  # fmt: skip
"""Heartbeats, and orders that the phases tell of."""
ACTIVE = says(Role.ACTIVE, term=1, held_term=1)


def note(bench: Recorded, number: int, outcome: str = "completed") -> None:
    """What the agent's history says of it."""
    facts = {
        "id": number, "kind": "failover", "group": "web", "term": 2, "outcome": outcome,
        "reason": "", "marks_ns": {"vip_added": bench.now_ns},
    }  # fmt: skip
    bench.recorder._put(Noted(bench.now_ns, "history", facts))  # by the bench's clock


def told(directory: Path, play: Callable[[Recorded], None], number: int | None = None) -> str:
    """What is told of the newest episode of what was played."""
    bench = Recorded(make_recorder(directory))
    play(bench)
    bench.recorder.close()
    episode = newest(directory, number)
    assert isinstance(episode, Episode)
    return "\n".join(tell(episode))


def in_order(text: str, *parts: str) -> None:
    """The parts stand in the text, one after the other."""
    at = 0
    for part in parts:
        found = text.find(part, at)
        assert found >= 0, f"{part!r} is missing after {text[:at]!r} in\n{text}"
        at = found


def test_a_failover_with_times_and_gates(tmp_path: Path) -> None:
    """Silence, evidence, gates, order, proof, disk, start and power stand in order."""

    def play(bench: Recorded) -> None:
        failed_over(bench)
        note(bench, 7)

    text = told(tmp_path / "box", play)
    in_order(
        text,
        "#7  failover of web to beta: completed",
        "+0.0 ms  the last frame of alpha",
        "+400.0 ms  alpha is silent",
        "evidence: this node's network is alive",
        "+1000.0 ms  may alpha be fenced? (it is silent)",
        "yes  no maintenance",
        "ORDER: power alpha off",
        "the fence ended: confirmed_off",
        "alpha is proved off: its power was read back as off",
        "web: may start here: alpha is proved off; term 2",
        "the record is on the disk",
        "web: nobody answers for its addresses",
        "web: ACTIVE on beta in term 2",
        "ORDER: give alpha its power back",
        "web: the virtual addresses are here",
    )
    assert "\n                no " not in text


def isolated(bench: Recorded) -> None:
    """The peer is silent because this node is cut off; then it is heard again."""
    bench.stopped()
    bench.hear(ACTIVE)
    bench.idle(2)
    bench.watch(3 * S, connected=False)
    bench.hear(ACTIVE)


def test_a_failover_that_did_not_happen(tmp_path: Path) -> None:
    """The gate that said no is named, with how long it did; nothing was ordered."""
    text = told(tmp_path / "box", isolated)
    in_order(
        text,
        "Nothing was taken over by beta",
        "may alpha be fenced?",
        "no   this node is cut off",
        "(isolated)",
        "alpha is heard again",
        "isolated said no from +1000.0 ms to +3000.0 ms",
    )
    assert "ORDER" not in text
    assert text.count("evidence:") == 1, "the same evidence is told once"


def test_a_silence_that_goes_on_is_told_as_far_as_it_is(tmp_path: Path) -> None:
    """Nobody has to wait for the end of it."""

    def play(bench: Recorded) -> None:
        bench.stopped()
        bench.hear(ACTIVE)
        bench.watch(3 * S, connected=False)

    assert "It is not over where this ends." in told(tmp_path / "box", play)


def test_one_that_spans_segments_and_quiet_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that is silent through the night is one story, although most segments are quiet."""
    monkeypatch.setattr("haagent.blackbox.recorder.SEGMENT_BYTES", 2000)

    def play(bench: Recorded) -> None:
        bench.stopped()
        bench.hear(ACTIVE)
        for _ in range(8):
            bench.watch(20 * S, connected=False)
            flush(bench.recorder)
        bench.hear(ACTIVE)

    text = told(tmp_path / "box", play)
    assert any(path.name.endswith(".quiet.box") for path in (tmp_path / "box").iterdir())
    in_order(text, "the last frame of alpha", "(isolated)", "+160.0 s  alpha is heard again")


def test_numbers_of_the_history_find_their_story(tmp_path: Path) -> None:
    """Each of two failovers is found by its number; without one the newer is told."""

    def play(bench: Recorded) -> None:
        failed_over(bench)
        note(bench, 7)
        bench.pass_time(60 * MS)
        bench.reborn(says(Role.STANDBY, term=2))
        bench.pass_time(3 * S, says(Role.STANDBY, term=2))
        bench.ask_maintenance(on=True)
        bench.pass_time(3 * S, says(Role.STANDBY, term=2), maintenance=True, orders_version=1)

    first = told(tmp_path / "box", play, 7)
    assert first.startswith("#7")
    assert newest(tmp_path / "box", 9) is None
    ids = [[record["id"] for record in one.records] for one in episodes(tmp_path / "box")]
    assert [7] in ids


def test_a_short_silence_is_not_what_is_told(tmp_path: Path) -> None:
    """After a failover a frame comes late: the failover is still what `explain` tells."""

    def play(bench: Recorded) -> None:
        failed_over(bench)
        note(bench, 7)
        bench.pass_time(60 * MS)
        bench.reborn(says(Role.STANDBY, term=2))
        bench.pass_time(2 * S, says(Role.STANDBY, term=2))
        bench.pass_time(600 * MS)
        bench.hear(says(Role.STANDBY, term=2))
        bench.pass_time(2 * S, says(Role.STANDBY, term=2))

    assert told(tmp_path / "box", play).startswith("#7")


@pytest.mark.parametrize("of", [*get_args(Event), *get_args(Effect)], ids=lambda of: of.__name__)
def test_everything_can_be_told(of: Any) -> None:
    """Whatever an event or an effect holds, there is a sentence, or it is known to need none."""

    @settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
    @given(st.from_type(of))
    def is_told(value: Any) -> None:
        said = of_event(CAST, value) if of in get_args(Event) else of_effect(CAST, value)
        assert isinstance(said, str)
        assert bool(said) is not (of in UNTOLD)

    is_told()


@pytest.mark.parametrize("of", [*get_args(PairPhase), *get_args(GroupPhase)])
def test_every_phase_can_be_told(of: Any) -> None:
    """The same of the phases."""

    @settings(max_examples=10)
    @given(st.from_type(of))
    def is_told(value: Any) -> None:
        if of in get_args(PairPhase):
            assert isinstance(of_pair(CAST, Unheard(0), value), str)
        else:
            assert of_group(CAST, "web", value).startswith("web: ")

    is_told()


def test_a_note_that_nobody_knows_is_told_as_it_is() -> None:
    """New lines of the log need no sentence of their own."""
    assert of_note("moon.rose", {"phase": "full", "why": ""}) == "moon.rose: phase full"
    assert of_note("fence.device_answered", {"device": "x"}) == "fence.device_answered: device x"


def gates(cause: FenceCause, *reasons: Reason, witnessed: bool = False) -> str:
    """The table as one line."""
    return " ".join(" ".join(gate_lines(cause, reasons, witnessed=witnessed)).split())


def test_only_gates_that_were_asked_say_yes() -> None:
    """Without evidence nothing is known of what it would say; a last gate needs all before it."""
    text = gates(FenceCause.SILENCE, Reason.EVIDENCE_PENDING, witnessed=True)
    for reason in (Reason.ISOLATED, Reason.STILL_SERVING, Reason.FENCE_DELAY):
        assert YES[reason] not in text
    assert YES[Reason.WITNESS_REFUSES] not in text
    assert "no references and service probe" in text
    assert YES[Reason.MAINTENANCE] in text
    asked = gates(FenceCause.ASKED)
    assert YES[Reason.STALLED] not in asked
    assert YES[Reason.FENCE_DELAY] in asked
    barred = gates(FenceCause.SILENCE, Reason.GROUP_STOPPED)
    assert YES[Reason.NOTHING_TO_GAIN] not in barred


def test_witnesses_are_a_gate_where_there_are_any() -> None:
    """They agree, or one of two reasons stands in their place; without them nothing is said."""
    refused = gates(FenceCause.SILENCE, Reason.WITNESS_UNREACHABLE, witnessed=True)
    assert YES[Reason.WITNESS_REFUSES] not in refused
    assert YES[Reason.NOTHING_TO_GAIN] in refused
    assert YES[Reason.WITNESS_REFUSES] in gates(FenceCause.SILENCE, witnessed=True)
    assert YES[Reason.WITNESS_REFUSES] not in gates(FenceCause.SILENCE)


def test_explain_on_the_command_line(tmp_path: Path) -> None:
    """0 and the story; 1 for an unknown number; 65 for what is no recording; 3 without an agent."""
    bench = Recorded(make_recorder(tmp_path / "box"))
    isolated(bench)
    bench.recorder.close()
    (tmp_path / "text").write_text("hello")
    box = str(tmp_path / "box")
    ended = haagent("explain", "--file", box)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "isolated said no" in ended.stdout
    assert haagent("explain", "5", "--file", box).returncode == 1
    assert haagent("explain", "--file", str(tmp_path / "text")).returncode == 65
    ended = haagent("explain", "--socket", str(tmp_path / "none"))
    assert ended.returncode == 3
    assert "--file" in ended.stderr
