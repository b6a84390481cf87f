# SPDX-License-Identifier: GPL-2.0-or-later
"""A unit as a resource, against a systemd that lies, dawdles and loses signals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from systemd_bench import DB, SHORT, FakeBench, Run, condition, player, until

from haagent.resources import Condition, ResourceError, Times
from haagent.resources import systemd as systemd_module
from haagent.resources.systemd import is_unit_name
from hil.systemd import FakeUnit, Faults


@pytest.fixture
def play(tmp_path: Path) -> Run:
    """Run one scene on a bench of its own."""
    return player(tmp_path)


def test_starts_and_stops(play: Run) -> None:
    """A start ends active, a stop ends inactive, and both may be repeated."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource()
        assert await condition(resource) is Condition.STOPPED
        for _ in range(2):
            await resource.start()
            assert bench.unit == "active"
            assert await condition(resource) is Condition.ACTIVE
        for _ in range(2):
            await resource.stop()
            assert bench.unit == "inactive"
            assert await condition(resource) is Condition.STOPPED
        orders = [order for order in bench.systemd.orders if not order.startswith("Reset")]
        assert orders == [f"StartUnit {DB}", f"StopUnit {DB}"]

    play(scene)


def test_job_ends_before_its_reply(play: Run) -> None:
    """The end of a job is not missed when it is told before the reply that names the job."""

    async def scene(bench: FakeBench) -> None:
        bench.systemd.faults.early = True
        resource = bench.resource()
        await resource.start()
        await resource.stop()
        assert bench.unit == "inactive"
        assert bench.systemd.orders.count(f"StopUnit {DB}") == 1

    play(scene)


def test_lost_end_of_a_job(play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose end is never told costs a look, not the operation."""
    monkeypatch.setattr(systemd_module, "JOB_LOOK_S", 0.1)

    async def scene(bench: FakeBench) -> None:
        bench.systemd.faults.mute = True
        resource = bench.resource()
        await resource.start()
        await resource.stop()
        assert bench.unit == "inactive"

    play(scene)


def test_slow_job_is_joined(play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that takes longer than one look is waited for to its end."""
    monkeypatch.setattr(systemd_module, "JOB_LOOK_S", 0.05)

    async def scene(bench: FakeBench) -> None:
        bench.systemd.faults.holds = True
        resource = bench.resource()
        starting = asyncio.create_task(resource.start())
        await until(lambda: f"StartUnit {DB}" in bench.systemd.orders)
        await asyncio.sleep(0.2)
        assert not starting.done()
        bench.systemd.finish(DB)
        await starting
        assert bench.unit == "active"

    play(scene)


def test_stop_within_limit_only(play: Run) -> None:
    """S7: a stop whose job does not end in time raises, and says what the unit is."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource(SHORT)
        await resource.start()
        bench.systemd.faults.holds = True
        with pytest.raises(ResourceError, match=r"not stopped after 1 s: it is deactivating"):
            await resource.stop()
        assert f"KillUnit {DB}" in bench.systemd.orders

    play(scene)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("failed", "the job failed"),
        ("timeout", "JobTimeoutSec"),
        ("canceled", "somebody cancelled"),
        ("dependency", "a unit that it needs"),
        ("skipped", "skipped"),
        ("frobnicated", "the job failed"),
    ],
)
def test_start_job_ends_badly(play: Run, result: str, words: str) -> None:
    """A start job that ends in any other way than done is an error, in words."""

    async def scene(bench: FakeBench) -> None:
        bench.systemd.faults.result = result
        with pytest.raises(ResourceError, match=words):
            await bench.resource().start()

    play(scene)


@pytest.mark.parametrize("result", ["failed", "timeout", "canceled", "dependency", "frobnicated"])
def test_stop_job_ends_badly(play: Run, result: str) -> None:
    """S7: a stop job that ends in any other way while the unit runs on is never a stop."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource(SHORT)
        await resource.start()
        bench.systemd.faults.result = result
        with pytest.raises(ResourceError, match="it is active"):
            await resource.stop()

    play(scene)


def test_stop_that_was_cancelled_is_ordered_again(play: Run) -> None:
    """A stop that somebody's start replaced is ordered once more."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource()
        await resource.start()
        bench.systemd.faults = Faults(result="canceled")
        stopping = asyncio.create_task(resource.stop())
        await until(lambda: f"StopUnit {DB}" in bench.systemd.orders)
        bench.systemd.faults = Faults()
        await stopping
        assert bench.unit == "inactive"

    play(scene)


def test_done_is_not_believed(play: Run) -> None:
    """S7: a job result "done" alone proves nothing: the unit itself is looked at."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource(SHORT)
        bench.systemd.faults.lies = True
        with pytest.raises(ResourceError, match="it ended at once"):
            await resource.start()
        bench.systemd.faults.lies = False
        await resource.start()
        bench.systemd.faults.lies = True
        with pytest.raises(ResourceError, match="it is active"):
            await resource.stop()

    play(scene)


def test_left_process_is_killed(play: Run) -> None:
    """What a stop leaves in the control group is killed, and only then it is stopped."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource()
        await resource.start()
        bench.systemd.faults.leaves = ((77, "writer"),)
        await resource.stop()
        assert bench.systemd.orders[-1] == f"KillUnit {DB}"
        assert bench.systemd.units[DB].processes == []

    play(scene)


@pytest.mark.parametrize("active", ["inactive", "failed"])
def test_immortal_process_is_not_stopped(play: Run, active: str) -> None:
    """S7: a unit is not stopped while a process is left that not even SIGKILL ends."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource(SHORT)
        bench.systemd.faults.immortal = True
        bench.systemd.units[DB] = FakeUnit(active=active, processes=[(77, "writer"), (78, "x")])
        with pytest.raises(ResourceError, match="left in its control group: 77 writer, 78 x"):
            await resource.stop()
        assert await condition(resource) is Condition.FAILED
        with pytest.raises(ResourceError, match="not active after 1 s"):
            await resource.start()  # Two servers on one set of data destroy it.
        assert f"StartUnit {DB}" not in bench.systemd.orders

    play(scene)


def test_queued_start_is_not_stopped(play: Run) -> None:
    """S7: a unit that is inactive, but about to be started, is not stopped."""

    async def scene(bench: FakeBench) -> None:
        bench.systemd.faults.holds = True
        starting = asyncio.create_task(bench.resource().start())
        await until(lambda: bench.systemd.units[DB].job != 0)
        bench.systemd.become(DB, "inactive")
        bench.systemd.faults.holds = False
        await bench.resource().stop()
        assert f"StopUnit {DB}" in bench.systemd.orders
        with pytest.raises(ResourceError, match="ordered the contrary"):
            await starting

    play(scene)


def test_failed_unit_is_reset(play: Run) -> None:
    """A failed unit is reset, so that its start limit is ours, and started."""

    async def scene(bench: FakeBench) -> None:
        bench.systemd.units[DB] = FakeUnit(active="failed", sub="failed", result="exit-code")
        resource = bench.resource()
        reading = await resource.monitor()
        assert (reading.condition, reading.detail) == (Condition.FAILED, "failed: exit-code")
        await resource.start()
        assert bench.systemd.orders == [f"ResetFailedUnit {DB}", f"StartUnit {DB}"]

    play(scene)


@pytest.mark.parametrize(
    ("load", "words"), [("not-found", "no such unit"), ("masked", "unmask"), ("bad-setting", "fil")]
)
def test_unusable_unit(play: Run, load: str, words: str) -> None:
    """A unit that cannot be started is stopped, and says why it cannot be started."""

    async def scene(bench: FakeBench) -> None:
        bench.systemd.units[DB] = FakeUnit(load=load)
        resource = bench.resource()
        with pytest.raises(ResourceError, match=words):
            await resource.start()
        await resource.stop()
        reading = await resource.monitor()
        assert reading.condition is Condition.STOPPED
        assert words in reading.detail

    play(scene)


def test_refusal_is_an_error(play: Run) -> None:
    """An order that systemd refuses is an error at once, with its own words."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource()
        await resource.start()
        bench.systemd.faults.refuses = "org.freedesktop.systemd1.OnlyByDependency"
        with pytest.raises(ResourceError, match="refused by the bench"):
            await resource.stop()

    play(scene)


def test_change_is_noticed_by_signal(play: Run) -> None:
    """A unit that dies by itself is noticed without a look, and once."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource()
        changes: list[str] = []
        resource.on_change = changes.append
        await resource.start()
        changes.clear()
        bench.systemd.tell(DB)  # No news.
        bench.systemd.become(DB, "failed", "failed")
        await until(lambda: bool(changes))
        assert changes == ["db"]
        assert await condition(resource) is Condition.FAILED
        await resource.close()
        bench.systemd.become(DB, "inactive")
        await bench.ours.state(DB)  # Answered after the signal.
        assert changes == ["db"]

    play(scene)


def test_monitor_waits_for_what_comes(play: Run) -> None:
    """A unit that is changing is waited for, within the limit of a monitor."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource(SHORT)
        bench.systemd.become(DB, "activating", "start")
        late = await resource.monitor()
        assert (late.condition, late.detail) == (Condition.FAILED, "still activating (start)")
        looking = asyncio.create_task(resource.monitor())
        bench.systemd.become(DB, "active", "running")
        assert (await looking).condition is Condition.ACTIVE

    play(scene)


@pytest.mark.parametrize(
    ("active", "sub", "expected"),
    [
        ("active", "exited", Condition.ACTIVE),
        ("reloading", "reload", Condition.ACTIVE),
        ("refreshing", "refresh", Condition.ACTIVE),
        ("activating", "auto-restart", Condition.FAILED),
        ("activating", "auto-restart-queued", Condition.FAILED),
        ("maintenance", "x", Condition.FAILED),
        ("frobnicating", "x", Condition.FAILED),
        ("inactive", "dead", Condition.STOPPED),
    ],
)
def test_states(play: Run, active: str, sub: str, expected: Condition) -> None:
    """Each state of systemd has its condition; one that we do not know is a failure."""

    async def scene(bench: FakeBench) -> None:
        bench.systemd.become(DB, active, sub)
        assert await condition(bench.resource()) is expected

    play(scene)


def test_restart_by_systemd_is_a_failure_once(play: Run) -> None:
    """A death that systemd has repaired already counts as one failure."""

    async def scene(bench: FakeBench) -> None:
        bench.systemd.units[DB].restarts = 5  # Before we came: not our business.
        bench.systemd.become(DB, "active", "running")
        resource = bench.resource()
        assert await condition(resource) is Condition.ACTIVE
        bench.systemd.units[DB].restarts = 6
        reading = await resource.monitor()
        assert reading.condition is Condition.FAILED
        assert "started it anew" in reading.detail
        assert await condition(resource) is Condition.ACTIVE

    play(scene)


def test_trigger_is_stopped_first(play: Run) -> None:
    """S7: what would start the unit again is stopped with it, even if the unit is down."""

    async def scene(bench: FakeBench) -> None:
        bench.systemd.units["db.socket"] = FakeUnit(active="active", sub="listening")
        bench.systemd.units[DB].triggered_by = ["db.socket"]
        await bench.resource().stop()
        assert bench.systemd.units["db.socket"].active == "inactive"
        assert bench.systemd.orders == ["StopUnit db.socket"]

    play(scene)


def test_cancelled_operations(play: Run) -> None:
    """A start or stop that was cancelled leaves nothing behind that hinders the next one."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource()
        bench.systemd.faults.holds = True
        starting = asyncio.create_task(resource.start())
        await until(lambda: bench.systemd.units[DB].job != 0)
        starting.cancel()
        await asyncio.wait((starting,))
        bench.systemd.faults.holds = False
        await resource.stop()
        assert bench.unit == "inactive"
        await resource.start()
        assert bench.unit == "active"

    play(scene)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("db.service", True),
        ("postgresql@15-main.service", True),
        ("dev-disk\\x2dby.mount", True),
        ("db", False),
        ("db@.service", False),
        ("../db.service", False),
        ("-.service --now", False),
        ("a" * 260 + ".service", False),
    ],
)
def test_unit_names(name: str, valid: bool) -> None:  # noqa: FBT001 - a column of the table
    """A resource is a unit or an instance; a template or a path is none."""
    assert is_unit_name(name) is valid


def test_times_are_kept() -> None:
    """A resource tells the limits that it was given."""
    times = Times(1, 2, 3, 4)
    assert times.stop_s == 2
