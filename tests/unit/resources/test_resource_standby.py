# SPDX-License-Identifier: GPL-2.0-or-later
"""What a standby keeps running: brought up after each stop, never while the group is at work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from haagent.resources import Condition, Reading, ResourceError, Times, standby
from haagent.resources.standby import StandbyKeeper

LIMIT_S = 20.0
"""For what must come; only a fault reaches it."""
TIMES = Times(start_s=5, stop_s=5, monitor_s=5, interval_s=0.01)


class Replica:
    """A resource of both nodes that does what it is told, one thing at a time."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self.name = name
        self.times = TIMES
        self.condition = Condition.STOPPED
        self.fails = 0
        """How many tries to stand by, or to retire, fail."""
        self.clings = False
        """It cannot be stopped."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.busy = False
        self.looks = 0
        self._journal = journal

    async def stand_by(self) -> None:
        """STANDBY, unless it fails."""
        await self._do("stand by", Condition.STANDBY)

    async def stop(self) -> None:
        """Harmless, unless it clings."""
        if self.clings:
            raise ResourceError("demote ended with 1")
        if self.condition is not Condition.STANDBY:
            self.condition = Condition.STOPPED

    async def retire(self) -> None:
        """STOPPED, unless it fails."""
        await self._do("retire", Condition.STOPPED)

    async def monitor(self) -> Reading:
        """What it is."""
        self.looks += 1
        return Reading(self.condition)

    async def _do(self, what: str, condition: Condition) -> None:
        assert not self.busy, f"{what} of {self.name} beside something else"
        self.busy = True
        self._journal.append(f"{what} {self.name}")
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)  # Whoever is cancelled needs a moment.
            raise
        finally:
            self.busy = False
        if self.fails:
            self.fails -= 1
            raise ResourceError("refused")
        self.condition = condition


class Bench:
    """Two of them, a before b."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.a, self.b = self.both = [Replica(name, self.journal) for name in "ab"]
        self.told: list[tuple[bool, str, bool]] = []
        """Whether all is as it should be, why not, and whether one has escaped."""
        self.keeper = StandbyKeeper(self.both, self._tell)

    def _tell(self, ok: bool, detail: str) -> None:  # noqa: FBT001  # as it is called
        self.told.append((ok, detail, self.keeper.escaped))

    async def reached(self, condition: Condition) -> None:
        """Wait until both are that."""
        await until(lambda: {each.condition for each in self.both} == {condition})


async def until(done: Callable[[], bool]) -> None:
    """Wait for it; the scene's limit ends a wait in vain."""
    while not done():  # noqa: ASYNC110  # fakes have no events
        await asyncio.sleep(0)


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scene; a bug in the keeper's task fails it, and no task is left behind."""

    async def main() -> None:
        bugs: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, bug: bugs.append(bug))
        async with asyncio.timeout(LIMIT_S):
            await scene()
        assert not bugs
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_brought_up_in_order_and_brought_back() -> None:
    """Started in order, looked at again and again, and mended; promoted by itself it is demoted."""

    async def scene() -> None:
        bench = Bench()
        bench.keeper.begin(on=True)
        await bench.reached(Condition.STANDBY)
        assert bench.journal == ["stand by a", "stand by b"]
        for broken in (Condition.FAILED, Condition.STOPPED, Condition.ACTIVE):
            bench.b.condition = broken
            await bench.reached(Condition.STANDBY)
        assert bench.journal[2:] == ["stand by b"] * 3
        await until(lambda: set(bench.keeper.readings) == {"a", "b"})
        await bench.keeper.end()
        assert bench.keeper.readings == {}
        assert {each.condition for each in bench.both} == {Condition.STANDBY}

    play(scene)


def test_failures_are_shown_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not come up keeps those after it from being tried, until it does."""
    monkeypatch.setattr(standby, "RETRY_S", 0.001)

    async def scene() -> None:
        bench = Bench()
        bench.a.fails = 3
        bench.keeper.begin(on=True)
        await until(lambda: bool(bench.keeper.readings))
        await bench.reached(Condition.STANDBY)
        assert bench.journal == ["stand by a"] * 4 + ["stand by b"]
        await bench.keeper.end()

    play(scene)


def test_a_failure_is_read_from_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two tries the last failure stands among the readings."""
    monkeypatch.setattr(standby, "RETRY_S", LIMIT_S)

    async def scene() -> None:
        bench = Bench()
        bench.a.fails = 1
        bench.keeper.begin(on=True)
        await until(lambda: bench.keeper.readings.get("a") == Reading(Condition.FAILED, "refused"))
        await bench.keeper.end()

    play(scene)


def test_its_owner_is_told_of_changes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not come up is told once, however often it is tried; so is the cure."""
    monkeypatch.setattr(standby, "RETRY_S", 0.001)

    async def scene() -> None:
        bench = Bench()
        bench.b.fails = 3
        bench.keeper.begin(on=True)
        await bench.reached(Condition.STANDBY)
        await until(lambda: bench.b.looks > 8)
        assert bench.told == [(False, "b: refused", False), (True, "", False)]
        bench.b.condition = Condition.FAILED
        await bench.reached(Condition.STANDBY)
        await until(lambda: bench.b.looks > 16)
        assert len(bench.told) == 2, "what is mended at the first try is no news"
        await bench.keeper.end()
        bench.keeper.begin(on=True)
        await until(lambda: len(bench.told) == 3)
        assert bench.told[2] == (True, "", False), "another task, another first word"
        await bench.keeper.end()

    play(scene)


def test_one_that_stays_active_has_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """S1: whoever is promoted and cannot be demoted is told apart from one that cannot be started.

    Also where one before it fails, so that its own turn never comes.
    """
    monkeypatch.setattr(standby, "RETRY_S", 0.001)

    async def scene() -> None:
        bench = Bench()
        bench.keeper.begin(on=True)
        await until(lambda: bench.told == [(True, "", False)])
        bench.a.condition, bench.a.fails = Condition.FAILED, 10**9
        await until(lambda: bench.told[1:] == [(False, "a: refused", False)])
        bench.b.condition, bench.b.clings = Condition.ACTIVE, True
        await until(lambda: bench.told[2:] == [(False, "b: demote ended with 1", True)])
        assert bench.keeper.escaped
        bench.b.clings = False
        await until(lambda: bench.told[3:] == [(False, "a: refused", False)])
        bench.a.fails = 0
        await until(lambda: bench.told[4:] == [(True, "", False)])
        await bench.keeper.end()

    play(scene)


def test_frozen_ones_are_told_as_they_are() -> None:
    """Nobody mends them: one that is down does not stand by, one that is promoted has escaped."""

    async def scene() -> None:
        bench = Bench()
        bench.keeper.mends = False
        bench.b.condition = Condition.STANDBY
        bench.keeper.begin(on=True)
        await until(lambda: bench.told == [(False, "a is stopped", False)])
        bench.a.condition = Condition.ACTIVE
        await until(lambda: bench.told[1:] == [(False, "a is active", True)])
        bench.keeper.mends = True
        await until(lambda: bench.told[2:] == [(True, "", False)])
        await bench.keeper.end()
        assert not bench.keeper.escaped

    play(scene)


def test_a_retirement_is_told_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then stopped is as it should be; what cannot even be made harmless has escaped."""
    monkeypatch.setattr(standby, "RETRY_S", 0.001)

    async def scene() -> None:
        bench = Bench()
        bench.a.condition, bench.a.fails, bench.a.clings = Condition.ACTIVE, 1, True
        bench.keeper.begin(on=False)
        await bench.reached(Condition.STOPPED)
        await until(lambda: bench.told[-1:] == [(True, "", False)])
        assert bench.told[:-1] == [
            (False, "a: refused", False),
            (False, "a: demote ended with 1", True),
        ]
        await bench.keeper.end()

    play(scene)


def test_frozen_it_is_only_looked_at() -> None:
    """A frozen group stays as it is; looked after again, it is mended."""

    async def scene() -> None:
        bench = Bench()
        bench.keeper.mends = False
        bench.keeper.begin(on=True)
        await until(lambda: bench.b.looks >= 3)
        assert bench.journal == []
        bench.keeper.mends = True
        await bench.reached(Condition.STANDBY)
        await bench.keeper.end()

    play(scene)


def test_ended_in_the_middle_nothing_goes_on() -> None:
    """Once end() has returned, a start or stop of the group has the resources for itself."""

    async def scene() -> None:
        bench = Bench()
        bench.a.gate.clear()
        bench.keeper.begin(on=True)
        await until(lambda: bench.a.busy)
        await bench.keeper.end()
        assert not bench.a.busy
        assert bench.a.condition is Condition.STOPPED

    play(scene)


def test_an_operators_stop_retires_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped altogether in reverse, tried again until they are; the order's end brings them up."""
    monkeypatch.setattr(standby, "RETRY_S", 0.001)

    async def scene() -> None:
        bench = Bench()
        bench.keeper.begin(on=True)
        await bench.reached(Condition.STANDBY)
        bench.journal.clear()
        bench.b.fails = 1
        bench.keeper.begin(on=False)
        await bench.reached(Condition.STOPPED)
        assert bench.journal == ["retire b", "retire b", "retire a"]
        bench.keeper.begin(on=True)
        await bench.reached(Condition.STANDBY)
        await bench.keeper.end()

    play(scene)


def test_a_change_of_mind_waits_for_what_is_under_way() -> None:
    """Nothing of one resource ever overlaps (the fake asserts that)."""

    async def scene() -> None:
        bench = Bench()
        for each in bench.both:
            each.condition = Condition.FAILED
            each.gate.clear()
        for on in (True, False, True, False):
            bench.keeper.begin(on=on)
            await asyncio.sleep(0.003)
        for each in bench.both:
            each.gate.set()
        await bench.reached(Condition.STOPPED)
        await bench.keeper.end()

    play(scene)


def test_a_sign_ends_the_pause_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is mended elsewhere, such as a copy of everything, does not wait for the next try."""
    monkeypatch.setattr(standby, "RETRY_S", 2 * LIMIT_S)

    async def scene() -> None:
        bench = Bench()
        bench.a.fails = 1
        bench.keeper.begin(on=True)
        await until(lambda: bool(bench.told) and bench.a.condition is not Condition.STANDBY)
        bench.keeper.look()
        await bench.reached(Condition.STANDBY)
        await bench.keeper.end()

    play(scene)


def test_without_any_there_is_nothing_to_do() -> None:
    """A group whose resources run only where it is held costs no task."""

    async def scene() -> None:
        keeper = StandbyKeeper([])
        keeper.begin(on=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await keeper.end()

    play(scene)
