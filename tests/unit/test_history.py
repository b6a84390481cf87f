# SPDX-License-Identifier: GPL-2.0-or-later
"""Every takeover leaves a record with the time of its phases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core.harness import Bench, asking, promise, says

from haagent.core.events import Event, SyncRead
from haagent.core.settings import MS, S
from haagent.core.step import step
from haagent.core.wire import Role
from haagent.history import History


class Recorded(Bench):
    """A bench whose steps are watched by a history."""

    def __init__(self, path: Path, **kwargs: Any) -> None:
        self.history = History("beta", path)
        super().__init__(**kwargs)

    def _step(self, event: Event) -> None:
        before = self.state
        after = step(before, event, self.now_ns)
        if self.history.observe(before, event, after, self.now_ns):
            self.history.stamp("2026-01-01T00:00:00+00:00")
        super()._step(event)

    @property
    def record(self) -> dict[str, Any]:
        """The newest record."""
        return self.history.records[-1]


def failed_over(path: Path) -> Recorded:
    """A standby that fenced its silent peer and took over."""
    bench = Recorded(path)
    bench.stopped()
    bench.hear(says(Role.ACTIVE, term=1, held_term=1))
    bench.pass_time(450 * MS)
    bench.answer_evidence()
    bench.pass_time(600 * MS)
    bench.pass_time(80 * MS)
    bench.finish_fence()
    bench.persisted()
    bench.probed()
    bench.started()
    return bench


def test_a_failover_and_its_phases(tmp_path: Path) -> None:
    """Silence, suspicion, order, proof and start stand in order, with the times between them."""
    record = failed_over(tmp_path / "history.jsonl").record
    assert (record["kind"], record["group"], record["node"]) == ("failover", "web", "beta")
    assert (record["outcome"], record["term"]) == ("completed", 2)
    phases = {phase["name"]: phase["ms"] for phase in record["phases"]}
    assert list(phases)[:3] == ["suspect", "fence_ordered", "confirmed_off"]
    assert phases["suspect"] == 400
    assert phases["fence_ordered"] == 600
    assert list(phases)[-2:] == ["active", "power_on_ordered"]
    assert record["total_ms"] == sum(phases.values()) - phases["power_on_ordered"]


def test_the_peers_return_completes_it(tmp_path: Path) -> None:
    """Power on and the peer's first frame are added to the record of the failover."""
    bench = failed_over(tmp_path / "history.jsonl")
    bench.finish_power_on()
    bench.pass_time(60 * MS)
    bench.reborn(says(Role.STANDBY, term=1))
    names = list(bench.record["marks_ns"])
    assert names[-3:] == ["power_on_ordered", "power_on", "peer_back"]


def test_a_start_a_handover_and_their_kinds(tmp_path: Path) -> None:
    """The first start of a pair is a start; fetching the group from the peer is a switchover."""
    bench = Recorded(tmp_path / "history.jsonl", me=0)
    bench.stopped()
    bench.hear(says(Role.STANDBY))
    bench.hear(promise(bench))
    bench.persisted()
    bench.probed()
    bench.started()
    assert bench.record["kind"] == "start"
    bench.hear(asking(bench, switchover=True))
    bench.stopped()
    bench.hear(says(Role.ACTIVE, term=2, held_term=2))
    bench.ask_switchover()
    bench.hear(promise(bench))
    bench.persisted()
    bench.probed()
    bench.started()
    assert bench.record["kind"] == "switchover"


def test_a_failover_tells_what_data_it_left_behind(tmp_path: Path) -> None:
    """As far as the lost holder had told of its own; where nobody tells, nothing is said."""
    assert "data_behind" not in failed_over(tmp_path / "history.jsonl").record
    bench = Recorded(tmp_path / "other.jsonl", max_lag=100)
    bench.stopped()
    bench.read_position(940)
    bench.hear(says(Role.ACTIVE, term=1, held_term=1, position=1000))
    bench.pass_time(450 * MS)
    bench.answer_evidence()
    bench.pass_time(600 * MS)
    bench.finish_fence()
    bench.persisted()
    bench.probed()
    bench.started()
    assert bench.record["data_behind"] == 60


@pytest.mark.parametrize("proved", [True, False])
def test_commits_at_a_risk_are_recorded(tmp_path: Path, *, proved: bool) -> None:
    """By `sync_policy`: how long they had waited, and when it was over, however that came."""
    path = tmp_path / "history.jsonl"
    bench = Recorded(path, me=0, sync=True, sync_wait_ns=3 * S, sync_continue=True)
    bench.stopped()
    bench.hear(says(Role.STANDBY))
    bench.hear(promise(bench))
    bench.persisted()
    bench.probed()
    bench.started()
    bench.feed(SyncRead(0, 1, complete=False))
    bench.watch(2 * S)
    assert bench.record["kind"] == "start"
    bench.watch(2 * S)
    assert (bench.record["kind"], bench.record["outcome"]) == ("commits", "at_risk")
    assert (bench.record["term"], bench.record["total_ms"]) == (1, 3000)
    word = bench.beat.groups[0].word
    if proved:
        bench.hear(says(Role.STANDBY, term=1, seen=word, complete=False))
    else:
        bench.feed(SyncRead(0, 2, complete=True))
    assert list(bench.record["marks_ns"]) == ["commits_wait", "commits_alone", "over"]
    assert [record["kind"] for record in bench.history.records] == ["start", "commits"]


def test_a_refused_takeover_is_recorded(tmp_path: Path) -> None:
    """A takeover that was given up leaves a record that says so."""
    bench = Recorded(tmp_path / "history.jsonl")
    bench.stopped()
    bench.hear(says(Role.ACTIVE, term=1, held_term=1))
    bench.pass_time(450 * MS)
    bench.answer_evidence()
    bench.pass_time(600 * MS)
    bench.finish_fence()
    bench.probed("02:00:00:00:00:99")
    assert bench.record["outcome"] == "abandoned"


def test_it_survives_and_shrugs_off_damage(tmp_path: Path) -> None:
    """Records are read back by the next agent; unreadable lines are left out; ids go on."""
    path = tmp_path / "history.jsonl"
    failed_over(path).history.save()
    path.write_text("garbage\n[1]\n" + path.read_text() + '{"id": 7, "torn')
    again = failed_over(path)
    assert [record["id"] for record in again.history.records] == [1, 2]
    again.history.save()
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2


def silent_and_back(path: Path, **facts: bool) -> Recorded:
    """A standby whose peer was silent for long; a gate said no, then the peer spoke again."""
    bench = Recorded(path)
    bench.stopped()
    bench.hear(says(Role.ACTIVE, term=1, held_term=1))
    bench.watch(3 * S, **facts)
    bench.hear(says(Role.ACTIVE, term=1, held_term=1))
    return bench


def test_a_failover_that_did_not_happen(tmp_path: Path) -> None:
    """It has a record with the gates that said no, up to the peer's return."""
    record = silent_and_back(tmp_path / "history.jsonl", connected=False).record
    assert (record["kind"], record["outcome"]) == ("failover", "withheld")
    assert (record["group"], record["reason"]) == ("web", "isolated")
    assert list(record["marks_ns"]) == ["last_frame", "suspect", "gates", "peer_back"]


def test_a_peer_heard_while_it_is_fenced(tmp_path: Path) -> None:
    """A failover given up because the peer spoke is one that did not happen."""
    record = silent_and_back(tmp_path / "history.jsonl").record
    assert (record["outcome"], record["reason"]) == ("withheld", "peer_heard")


def test_no_record_of_a_silence_that_asks_for_nothing(tmp_path: Path) -> None:
    """A short silence, or one of a peer that holds nothing, is no failover."""
    bench = Recorded(tmp_path / "history.jsonl", me=0)
    bench.stopped()
    bench.hear(says(Role.STANDBY))
    bench.hear(promise(bench))
    bench.persisted()
    bench.probed()
    bench.started()
    before = len(bench.history.records)
    bench.watch(3 * S)
    bench.hear(says(Role.STANDBY, term=1))
    assert len(bench.history.records) == before
    assert bench.history.since(bench.history.last_id) == []
    assert bench.history.since(bench.history.last_id - 1) == [bench.record]
