# SPDX-License-Identifier: GPL-2.0-or-later
"""A group is started in order, watched, restarted in place, and stopped for certain."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from haagent.resources import Condition, Reading, ResourceError, Times, steps
from haagent.resources.group import GroupRunner
from haagent.resources.health import Policy

LIMIT_S = 20.0
"""For what must come; only a fault reaches it."""
QUICK = Times(start_s=5, stop_s=5, monitor_s=5, interval_s=0.01)
ON_SIGN = Times(interval_s=0)
ONE_RESTART = Policy(failures=1, restarts=1)
QUIET_S = 0.1
"""Ten intervals: what has not happened then does not happen."""


HARMLESS = {Condition.STOPPED, Condition.STANDBY}


class Fake:
    """A resource that does what it is told, and notices what must not be done to it."""

    def __init__(self, name: str, journal: list[str], times: Times = QUICK) -> None:
        self.name = name
        self.times = times
        self.condition = Condition.STOPPED
        self.fails: set[str] = set()
        """Actions that end with an error."""
        self.gates: dict[str, asyncio.Event] = {}
        """Actions that wait."""
        self.tidied: asyncio.Event | None = None
        """How long it takes to end anything."""
        self.busy = ""
        self.looks = 0
        self._journal = journal

    async def start(self) -> None:
        """ACTIVE, unless it fails."""
        await self._do("start", Condition.ACTIVE)

    async def stop(self) -> None:
        """STOPPED, unless it fails."""
        await self._do("stop", Condition.STOPPED)

    async def retire(self) -> None:
        """As stop()."""
        await self._do("retire", Condition.STOPPED)

    async def monitor(self) -> Reading:
        """What it is."""
        self.looks += 1
        await self._alone("monitor")
        return Reading(self.condition)

    async def close(self) -> None:
        """Only noted."""
        self._journal.append(f"close {self.name}")

    async def _do(self, action: str, condition: Condition) -> None:
        self._journal.append(f"{action} {self.name}")
        await self._alone(action)
        if action in self.fails:
            self.condition = Condition.FAILED
            raise ResourceError(f"{action} was refused")
        self.condition = condition

    async def _alone(self, action: str) -> None:
        assert not self.busy, f"{action} of {self.name} during its {self.busy}"
        self.busy = action
        try:
            await asyncio.sleep(0)
            if action in self.gates:
                await self.gates[action].wait()
        finally:
            try:
                # Whoever is cancelled needs a moment, too.
                await (self.tidied.wait() if self.tidied else asyncio.sleep(0))
            finally:
                self.busy = ""


class Bench:
    """A group of three: a, b, c."""

    def __init__(self, policy: Policy = ONE_RESTART, times: Times = QUICK) -> None:
        self.journal: list[str] = []
        self.a, self.b, self.c = self.fakes = [Fake(name, self.journal, times) for name in "abc"]
        self.lost: list[str] = []
        self.read: list[tuple[str, Reading]] = []
        self.runner = GroupRunner(
            self.fakes,
            policy,
            self.lost.append,
            lambda name, reading: self.read.append((name, reading)),
        )

    def done(self) -> str:
        """What was done since the last asking, in short."""
        words, self.journal[:] = "; ".join(self.journal), []
        return words

    def set_all(self, condition: Condition) -> None:
        """As an earlier agent or somebody else left them."""
        for fake in self.fakes:
            fake.condition = condition


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scene; a bug in a task of the runner fails it, and no task is left behind."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        bugs: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _loop, context: bugs.append(context))
        async with asyncio.timeout(LIMIT_S):
            await scene()
        assert not bugs
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


async def until(condition: Callable[[], object]) -> None:
    """Wait for what must come."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - a fake's attribute has no event
            await asyncio.sleep(0.001)


def test_in_order_and_back() -> None:
    """Started in order, watched, stopped in reverse; a stopped group is not watched."""

    async def scene() -> None:
        bench = Bench()
        await bench.runner.start()
        assert bench.done() == "start a; start b; start c"
        await until(lambda: set(bench.runner.readings) == {"a", "b", "c"})
        assert set(bench.runner.readings.values()) == {Reading(Condition.ACTIVE)}
        await bench.runner.stop()
        assert bench.done() == "stop c; stop b; stop a"
        assert bench.runner.readings == {}
        looks = bench.a.looks
        await asyncio.sleep(QUIET_S)
        assert bench.a.looks == looks
        assert not bench.lost

    play(scene)


def test_a_start_that_fails_names_its_resource() -> None:
    """What comes after is not started, nothing is watched or restarted, and it can be stopped."""

    async def scene() -> None:
        bench = Bench()
        bench.b.fails = {"start"}
        with pytest.raises(ResourceError, match=r"^b: start was refused$"):
            await bench.runner.start()
        assert bench.done() == "start a; start b"
        await asyncio.sleep(QUIET_S)
        assert not bench.read
        await bench.runner.stop()
        assert bench.done() == "stop c; stop b; stop a"

    play(scene)


def test_a_stop_that_fails_ends_the_stopping() -> None:
    """S7: what is below a resource that may run is left alone; the next stop goes on there."""

    async def scene() -> None:
        bench = Bench()
        await bench.runner.start()
        bench.b.fails = {"stop"}
        for expected in ("start a; start b; start c; stop c; stop b", "stop b"):
            with pytest.raises(ResourceError, match=r"^b: stop was refused$"):
                await bench.runner.stop()
            assert bench.done() == expected
        bench.b.fails = set()
        await bench.runner.stop()
        assert bench.done() == "stop b; stop a"
        await bench.runner.stop()
        assert bench.done() == "stop c; stop b; stop a", "a new stop begins anew"

    play(scene)


@pytest.mark.parametrize("condition", [Condition.ACTIVE, Condition.FAILED])
def test_what_came_back_between_two_stops_is_stopped_again(condition: Condition) -> None:
    """S7: what was stopped by a stop that failed must still be so when the next one ends well."""

    async def scene() -> None:
        bench = Bench()
        bench.a.fails = {"stop"}
        with pytest.raises(ResourceError):
            await bench.runner.stop()
        bench.a.fails = set()
        bench.done()
        bench.b.condition = condition
        await bench.runner.stop()
        assert bench.done() == "stop b; stop a"

    play(scene)


def test_a_failed_stop_is_forgotten_once_it_runs_again() -> None:
    """S7: after a start everything may run, so everything is stopped."""

    async def scene() -> None:
        bench = Bench()
        await bench.runner.start()
        bench.a.fails = {"stop"}
        with pytest.raises(ResourceError):
            await bench.runner.stop()
        bench.a.fails = set()
        await bench.runner.start()
        bench.done()
        await bench.runner.stop()
        assert bench.done() == "stop c; stop b; stop a"

    play(scene)


@pytest.mark.parametrize("action", ["start", "stop"])
def test_cancelled_operations_leave_nothing_running(action: str) -> None:
    """Cancelled in the middle: no task of ours is left (see play), and the next operation works."""

    async def scene() -> None:
        bench = Bench()
        bench.b.gates[action] = asyncio.Event()
        if action == "stop":
            await bench.runner.start()
        task = asyncio.create_task(getattr(bench.runner, action)())
        await until(lambda: bench.b.busy == action)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        del bench.b.gates[action]
        await bench.runner.stop()
        assert {fake.condition for fake in bench.fakes} == {Condition.STOPPED}

    play(scene)


def test_a_broken_resource_is_restarted_with_what_stands_on_it() -> None:
    """It and everything after it, in reverse and in order; what is before is untouched."""

    async def scene() -> None:
        bench = Bench()
        await bench.runner.start()
        bench.done()
        bench.b.condition = Condition.FAILED
        await until(lambda: len(bench.journal) == 4 and bench.c.condition is Condition.ACTIVE)
        assert bench.done() == "stop c; stop b; start b; start c"
        looks = bench.b.looks
        await until(lambda: bench.b.looks > looks)
        assert not bench.lost
        await bench.runner.stop()

    play(scene)


def test_lost_once_and_for_all() -> None:
    """When no restart is left it is said once, and nothing is restarted until the next start."""

    async def scene() -> None:
        bench = Bench()
        await bench.runner.start()
        bench.b.condition = Condition.FAILED
        await until(lambda: bench.journal[-1] == "start c" and len(bench.journal) > 3)
        bench.done()
        bench.b.condition = Condition.STOPPED
        await until(lambda: bench.lost)
        looks = bench.b.looks
        await until(lambda: bench.b.looks > looks + 5)
        assert len(bench.lost) == 1
        assert bench.lost[0].startswith("b: stopped (1 restarts within 600 s")
        assert bench.done() == ""
        await bench.runner.start()
        bench.done()
        bench.b.condition = Condition.FAILED
        await until(lambda: "start b" in bench.journal)
        assert len(bench.lost) == 1
        await bench.runner.stop()

    play(scene)


def test_a_restart_that_fails_is_tried_again_within_the_bound() -> None:
    """Each try counts; then the group is lost, with the reason of the last try."""

    async def scene() -> None:
        bench = Bench(Policy(failures=1, restarts=3))
        await bench.runner.start()
        bench.done()
        bench.b.fails = {"start"}
        bench.b.condition = Condition.FAILED
        await until(lambda: bench.lost)
        assert bench.done() == "stop c; stop b; start b" + "; stop c; stop b; start b" * 2
        assert bench.lost[0].startswith("b: start was refused (3 restarts within")
        await asyncio.sleep(QUIET_S)
        assert len(bench.lost) == 1
        await bench.runner.stop()

    play(scene)


def test_what_was_lost_while_frozen_is_mended_afterwards() -> None:
    """A restart that outlasts the freezing may end in a loss, which nobody acts upon then."""

    async def scene() -> None:
        bench = Bench()
        await bench.runner.start()
        bench.b.gates["start"] = asyncio.Event()
        bench.b.fails = {"start"}
        bench.b.condition = Condition.FAILED
        await until(lambda: bench.b.busy == "start")
        bench.runner.manage(on=False)
        bench.b.gates["start"].set()
        await until(lambda: bench.lost)
        bench.b.fails = set()
        bench.runner.manage(on=True)
        await until(lambda: bench.b.condition is Condition.ACTIVE)
        await bench.runner.stop()

    play(scene)


def test_a_restart_that_cannot_stop_is_not_repeated() -> None:
    """S7: whoever stops the group has to escalate it; nothing is started over what may run."""

    async def scene() -> None:
        bench = Bench(Policy(failures=1, restarts=3))
        await bench.runner.start()
        bench.done()
        bench.b.fails = {"stop"}
        bench.b.condition = Condition.FAILED
        await until(lambda: bench.lost)
        await asyncio.sleep(QUIET_S)
        assert bench.done() == "stop c; stop b"
        assert bench.lost == ["b: stop was refused"]
        with pytest.raises(ResourceError, match=r"^b: stop was refused$"):
            await bench.runner.stop()

    play(scene)


@pytest.mark.parametrize("action", ["start", "stop"])
def test_stop_wins_over_a_restart(action: str) -> None:
    """A restart that hangs is ended by stop(), which then stops everything."""

    async def scene() -> None:
        bench = Bench()
        await bench.runner.start()
        bench.b.gates[action] = asyncio.Event()
        bench.b.condition = Condition.FAILED
        await until(lambda: bench.b.busy == action)
        bench.done()
        del bench.b.gates[action]
        await bench.runner.stop()
        assert bench.done() == "stop c; stop b; stop a"
        await asyncio.sleep(QUIET_S)
        assert bench.done() == ""
        assert not bench.lost

    play(scene)


def test_a_cancelled_monitor_tidies_up_undisturbed() -> None:
    """Operations come and go meanwhile; none begins before it has ended."""

    async def scene() -> None:
        bench = Bench()
        await bench.runner.start()
        bench.b.gates["monitor"] = asyncio.Event()
        await until(lambda: bench.b.busy)
        bench.done()
        bench.b.tidied = asyncio.Event()
        for _ in range(3):
            stopping = asyncio.create_task(bench.runner.stop())
            await asyncio.sleep(0.01)
            stopping.cancel()
            await asyncio.wait({stopping})
            assert stopping.cancelled()
        assert bench.b.busy == "monitor"
        assert bench.done() == ""
        bench.b.tidied.set()
        await bench.runner.stop()
        assert bench.done() == "stop c; stop b; stop a"

    play(scene)


def test_a_sign_is_followed_at_once() -> None:
    """Without an interval only signs make it look; one that comes during a look is not lost."""

    async def scene() -> None:
        bench = Bench(times=ON_SIGN)
        await bench.runner.start()
        await asyncio.sleep(QUIET_S)
        assert not bench.read
        bench.b.gates["monitor"] = asyncio.Event()
        bench.runner.look("b")
        await until(lambda: bench.b.busy == "monitor")
        bench.runner.look("b")
        bench.b.gates["monitor"].set()
        await until(lambda: len(bench.read) == 2)
        assert {name for name, _ in bench.read} == {"b"}
        await asyncio.sleep(QUIET_S)
        assert bench.b.looks == 2
        await bench.runner.stop()

    play(scene)


def test_a_sign_during_the_start_of_others_is_kept() -> None:
    """What broke while the rest of its group was started is looked at right after."""

    async def scene() -> None:
        bench = Bench(times=ON_SIGN)
        bench.c.gates["start"] = asyncio.Event()
        starting = asyncio.create_task(bench.runner.start())
        await until(lambda: bench.c.busy == "start")
        bench.a.condition = Condition.STOPPED
        bench.runner.look("a")
        await asyncio.sleep(QUIET_S)
        assert bench.a.looks == 0
        bench.c.gates["start"].set()
        await starting
        await until(lambda: bench.a.looks)
        await until(lambda: bench.a.condition is Condition.ACTIVE)
        await bench.runner.stop()

    play(scene)


@pytest.mark.parametrize("other", list(Condition))
def test_found_is_what_runs_for_certain(other: Condition) -> None:
    """All of it must be ACTIVE; a look touches nothing."""

    async def scene() -> None:
        bench = Bench()
        bench.set_all(Condition.ACTIVE)
        bench.b.condition = other
        assert await bench.runner.found() is (other is Condition.ACTIVE)
        assert bench.done() == ""

    play(scene)


def test_resume_leaves_everything_as_it_is() -> None:
    """A frozen group is looked at and not mended, until it is looked after again."""

    async def scene() -> None:
        bench = Bench()
        bench.set_all(Condition.ACTIVE)
        bench.c.condition = Condition.STOPPED
        bench.runner.manage(on=False)
        await bench.runner.resume()
        await until(lambda: set(bench.runner.readings) == {"a", "b", "c"})
        assert bench.runner.readings["c"].condition is Condition.STOPPED
        assert bench.done() == ""
        bench.runner.manage(on=True)
        await until(lambda: bench.c.condition is Condition.ACTIVE)
        await bench.runner.stop()

    play(scene)


def test_start_takes_up_what_runs() -> None:
    """After an agent's restart: all of it is shown at once, and what broke meanwhile is healed."""

    async def scene() -> None:
        bench = Bench(times=ON_SIGN)
        bench.set_all(Condition.ACTIVE)
        assert await bench.runner.found()
        await bench.runner.start()
        assert set(bench.runner.readings) == {"a", "b", "c"}
        bench.done()
        bench.c.condition = Condition.STOPPED
        bench.runner.look("c")
        await until(lambda: bench.c.condition is Condition.ACTIVE)
        await bench.runner.stop()
        assert bench.done().startswith("stop c; start c; stop c")

    play(scene)


@pytest.mark.parametrize("action", ["start", "stop"])
def test_a_resource_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    """One that does not keep its own limit does not hold up the group for ever."""
    monkeypatch.setattr(steps, "OVERRUN_S", 0.05)

    async def scene() -> None:
        bench = Bench(times=Times(start_s=0.05, stop_s=0.05, monitor_s=0.05, interval_s=0.01))
        bench.b.gates[action] = asyncio.Event()
        with pytest.raises(ResourceError, match=f"^b: {action} hangs$"):
            await getattr(bench.runner, action)()

    play(scene)


def test_a_monitor_that_hangs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its resource is restarted; the others are looked at all the while."""
    monkeypatch.setattr(steps, "OVERRUN_S", 0.2)

    async def scene() -> None:
        bench = Bench(times=Times(monitor_s=0.1, interval_s=0.01))
        await bench.runner.start()
        bench.done()
        bench.b.gates["monitor"] = asyncio.Event()
        looks = bench.a.looks
        await until(lambda: bench.a.looks > looks + 3)
        assert bench.done() == ""
        await until(lambda: "start c" in bench.journal)
        assert ("b", Reading(Condition.FAILED, "monitor hangs")) in bench.read
        await bench.runner.stop()

    play(scene)


def test_groups_do_not_wait_for_each_other() -> None:
    """One whose start hangs does not keep another from starting, healing and stopping."""

    async def scene() -> None:
        stuck, free = Bench(), Bench()
        stuck.a.gates["start"] = asyncio.Event()
        starting = asyncio.create_task(stuck.runner.start())
        await until(lambda: stuck.a.busy == "start")
        await free.runner.start()
        free.a.condition = Condition.FAILED
        await until(lambda: free.a.condition is Condition.ACTIVE)
        await free.runner.stop()
        assert not starting.done()
        starting.cancel()
        await asyncio.wait({starting})

    play(scene)


def test_retire_stops_what_stop_leaves() -> None:
    """First the group, then, in reverse too, what each leaves running as standby."""

    async def scene() -> None:
        bench = Bench()
        await bench.runner.retire()
        assert bench.done() == "stop c; stop b; stop a; retire c; retire b; retire a"
        bench.b.fails = {"retire"}
        with pytest.raises(ResourceError, match=r"^b: retire was refused$"):
            await bench.runner.retire()

    play(scene)


def test_a_bug_in_a_resource_reaches_the_loop() -> None:
    """What is no ResourceError is a bug of ours: the agent is told, and dies of it."""

    async def scene() -> None:
        bench = Bench()
        bugs: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: bugs.append(context["exception"])
        )
        await bench.runner.start()
        bench.b.busy = "nothing, says the bug"
        await until(lambda: bugs)
        assert isinstance(bugs[0], AssertionError)
        bench.b.busy = ""
        await bench.runner.stop()

    play(scene)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_nothing_overlaps(seed: int) -> None:
    """Random operations, cancellations, signs and failures: one thing at a time to one resource.

    The fake asserts that; and after a stop that ended well, everything is harmless.
    """
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret

    async def scene() -> None:
        bench = Bench(Policy(failures=chance.choice([1, 2]), restarts=2))
        for _ in range(60):
            operation = chance.choice(["start", "stop", "found", "resume"])
            task = asyncio.create_task(getattr(bench.runner, operation)())
            for fake in bench.fakes:
                fake.fails = {a for a in ("start", "stop") if chance.random() < 0.1}
                if chance.random() < 0.3:
                    fake.condition = chance.choice(list(Condition))
            bench.runner.look(chance.choice("abc"))
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            cancelled = chance.random() < 0.3 and task.cancel()
            try:
                await task
            except ResourceError:
                pass
            except asyncio.CancelledError:
                assert cancelled
            else:
                if operation == "stop":
                    assert {fake.condition for fake in bench.fakes} <= HARMLESS
            await asyncio.sleep(chance.choice([0, 0.005, 0.03]))
        for fake in bench.fakes:
            fake.fails = set()
        await bench.runner.stop()
        assert {fake.condition for fake in bench.fakes} <= HARMLESS

    play(scene)


def test_other_times_and_another_policy_hold_at_once() -> None:
    """A group that was looked at on signs alone is looked at now, and often, and borne for less."""

    async def scene() -> None:
        bench = Bench(policy=Policy(failures=100))
        for fake in (bench.a, bench.b, bench.c):
            fake.times = ON_SIGN
        await bench.runner.start()
        await asyncio.sleep(QUIET_S)
        assert bench.a.looks == 0
        for fake in (bench.a, bench.b, bench.c):
            fake.times = QUICK
        bench.runner.reconfigure(Policy(failures=3, restarts=0))
        await until(lambda: bench.a.looks > 2)
        bench.b.condition = Condition.FAILED
        await until(lambda: bench.lost)
        await bench.runner.close()

    play(scene)
