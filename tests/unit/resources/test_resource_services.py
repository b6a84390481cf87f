# SPDX-License-Identifier: GPL-2.0-or-later
"""The groups of a node: what runs while one is held, while it is not, and when the node leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from ocf_bench import FakeAgent

from fencing import DeviceSettings
from haagent import admission, services
from haagent.admission import Admission
from haagent.config.settings import CommandSettings, GroupPlan
from haagent.core.events import Event, GroupLost, PositionRead, StandbyRead
from haagent.netlink import Netlink
from haagent.resources import Condition, ResourceError, Times
from haagent.resources.command import Commands
from haagent.resources.health import Policy
from haagent.resources.ocf import OcfResource
from haagent.resources.ocf_settings import OcfSettings
from haagent.services import Services
from haagent.vip.frames import FrameShelf
from haagent.vip.holder import VipHolder

LIMIT_S = 30.0
"""For what must come; only a fault reaches it."""
TIMES = Times(start_s=10, stop_s=10, monitor_s=10, interval_s=0.05)


class Bench:
    """One group: a replica that runs on both nodes, and an application on top of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.agent = FakeAgent(folder)
        defaults = OcfResource.__init__.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "root", self.agent.root)
        monkeypatch.setitem(defaults, "directory", self.agent.directory)
        replica = OcfSettings(
            "db",
            "g",
            "alpha",
            "ocf:test:Fake",
            {"dir": str(self.agent.state)},
            promotable=True,
            interval_s=0.05,
        )
        self.app = folder / "app"
        self.commands = Commands(
            self._program("start", f"touch {self.app}"),
            self._program("stop", f"rm -f {self.app}"),
            monitor=self._program("monitor", f"[ -e {self.app} ] || exit 7"),
            position=self._program("position", "echo 42"),
        )
        app = CommandSettings("app", self.commands, TIMES)
        self._plan = GroupPlan("g", (replica, app), Policy(failures=1, restarts=0))
        self.restart()

    def restart(self, *disks: DeviceSettings) -> None:
        """A new agent, which knows nothing of the one before; the group stands on these disks."""
        self.events: list[Event] = []
        netlink = Netlink()
        holder = VipHolder(netlink, FrameShelf(netlink, ()), lambda _vip, _reason: None)
        plan = replace(self._plan, shared_storage=bool(disks))
        admission = Admission(disks, frozenset({0}), lambda _reason: None, lambda: None)
        take = self.events.append
        self.services = Services([plan], holder, admission, take, lambda *_moment: None)

    def _program(self, name: str, script: str) -> tuple[str, ...]:
        path = self.agent.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return (str(path),)

    async def replica(self, role: str) -> None:
        """Wait until the replica is that."""
        await until(lambda: self.agent.role == role)


async def until(done: Callable[[], bool]) -> None:
    """Wait for it; the play's limit ends a wait in vain."""
    while not done():  # noqa: ASYNC110  # a state of programs has no event
        await asyncio.sleep(0.01)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Everything stopped."""
    return Bench(tmp_path, monkeypatch)


def play(bench: Bench, scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene between open() and close()."""

    async def main() -> None:
        bugs: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, bug: bugs.append(bug))
        async with asyncio.timeout(LIMIT_S):
            bench.services.open()
            try:
                await scene()
            finally:
                await bench.services.close()
        assert not bugs

    asyncio.run(main())


def test_a_standby_runs_the_replica_and_nothing_else(bench: Bench) -> None:
    """After the stop at its start, and after each hand-over; the application runs only if held."""

    async def scene() -> None:
        await bench.services.stop(0)
        await bench.replica("unpromoted")
        assert not bench.app.exists()
        await until(lambda: set(bench.services.readings[0]) == {"db"})
        await bench.services.start(0)
        assert (bench.agent.role, bench.app.exists()) == ("promoted", True)
        readings = bench.services.readings[0]
        assert {name: each.condition for name, each in readings.items()} == {
            "db": Condition.ACTIVE,
            "app": Condition.ACTIVE,
        }
        await bench.services.stop(0)
        assert (bench.agent.role, bench.app.exists()) == ("unpromoted", False)

    play(bench, scene)


def test_nothing_starts_where_the_disk_is_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that is not let in starts nothing of the group, says why, and is no good standby."""
    monkeypatch.setattr(admission, "LET_IN_S", 0.1)
    bench.restart(DeviceSettings(name="disk", driver="permission"))

    async def scene() -> None:
        assert StandbyRead(0, ready=False) in bench.events
        with pytest.raises(ResourceError, match="permission: not let in: disk: not checked yet"):
            await bench.services.start(0)
        assert not bench.app.exists()
        assert bench.services.readings[0]["permission"].condition is Condition.FAILED
        bench.services.manage(0, on=False)
        await bench.services.start(0)  # A frozen group is only taken up.
        assert not bench.app.exists()

    play(bench, scene)


def test_a_replica_that_dies_is_brought_back(bench: Bench) -> None:
    """On the standby too; and one that was promoted by hand there is demoted."""

    async def scene() -> None:
        await bench.services.stop(0)
        await bench.replica("unpromoted")
        (bench.agent.state / "role").unlink()
        await bench.replica("unpromoted")
        bench.agent.become("promoted")
        await bench.replica("unpromoted")

    play(bench, scene)


def test_a_replica_that_serves_against_all_orders_is_told(bench: Bench) -> None:
    """The core stops it, or asks to be shot (S7); one that stands by is told as ready."""

    async def scene() -> None:
        await bench.services.stop(0)
        await until(lambda: StandbyRead(0, ready=True) in bench.events)
        for action in ("demote", "stop"):
            bench.agent.do(action, "exit 1")
        bench.agent.become("promoted")
        await until(lambda: StandbyRead(0, ready=False, escaped=True) in bench.events)
        for action in ("demote", "stop"):
            bench.agent.behave(action)

    play(bench, scene)


def test_stopped_by_an_operator_nothing_is_left(bench: Bench) -> None:
    """Whether the order comes while the group is held or not; started again, all comes back."""

    async def scene() -> None:
        await bench.services.start(0)
        bench.services.stand_by(0, on=False)
        assert bench.agent.role == "promoted", "it is for the core to stop a held group"
        await bench.services.stop(0)
        await bench.replica("")
        bench.services.stand_by(0, on=True)
        await bench.replica("unpromoted")
        bench.services.stand_by(0, on=False)
        await bench.replica("")

    play(bench, scene)


def test_who_leaves_for_good_leaves_nothing(bench: Bench) -> None:
    """The replica ends with the agent; an agent that only restarts leaves it running."""

    async def scene() -> None:
        await bench.services.stop(0)
        await bench.replica("unpromoted")

    play(bench, scene)
    assert bench.agent.role == "unpromoted"
    bench.restart()

    async def leaves() -> None:
        await bench.services.stop(0)
        await bench.services.retire()
        assert bench.agent.role == ""

    play(bench, leaves)


def test_a_replica_that_does_not_stop_keeps_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent's end is bounded: what is left is harmless, and is said."""
    monkeypatch.setattr(services, "RETIRE_S", 0.3)
    bench.agent.do("stop", "exec sleep 60")

    async def scene() -> None:
        await bench.services.stop(0)
        await bench.replica("unpromoted")
        with structlog.testing.capture_logs() as logs:
            await bench.services.retire()
        (told,) = [each for each in logs if each["event"] == "standby.not_retired"]
        assert "0.3 s" in told["reason"]

    play(bench, scene)
    assert bench.agent.role == "unpromoted"


def test_a_frozen_group_is_not_mended(bench: Bench) -> None:
    """Neither on the standby nor where it is active."""

    async def scene() -> None:
        await bench.services.stop(0)
        await bench.replica("unpromoted")
        bench.services.manage(0, on=False)
        (bench.agent.state / "role").unlink()
        await until(lambda: _condition(bench, "db") is Condition.STOPPED)
        assert bench.agent.role == ""
        bench.services.manage(0, on=True)
        await bench.replica("unpromoted")

    play(bench, scene)


def _condition(bench: Bench, name: str) -> Condition | None:
    reading = bench.services.readings[0].get(name)
    return None if reading is None else reading.condition


def test_what_becomes_known_is_told(bench: Bench) -> None:
    """How fresh the data is, again and again; and a group that no restart can save, once."""

    async def scene() -> None:
        await bench.services.start(0)
        await until(lambda: PositionRead(0, 42) in bench.events)
        bench.app.unlink()
        await until(lambda: any(isinstance(event, GroupLost) for event in bench.events))
        (lost,) = [event for event in bench.events if isinstance(event, GroupLost)]
        assert lost.group == 0
        assert lost.detail.startswith("app: ")

    play(bench, scene)


def test_what_certainly_runs_is_found(bench: Bench) -> None:
    """A group without addresses: all of it must be seen to run, a replica that stands by is not."""

    async def scene() -> None:
        assert await bench.services.found() == frozenset()
        bench.app.touch()
        assert await bench.services.found() == frozenset()
        bench.agent.become("unpromoted")
        assert await bench.services.found() == frozenset()
        bench.agent.become("promoted")
        assert await bench.services.found() == {0}
        bench.agent.do("monitor", "exit 1")
        assert await bench.services.found() == frozenset()
        bench.agent.behave("monitor")

    play(bench, scene)


def test_what_cannot_be_told_in_time_is_not_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1: it is stopped rather than taken up without a grant; and no heartbeat waits for it."""
    monkeypatch.setattr(services, "FOUND_S", 0.2)
    bench.app.touch()
    bench.agent.become("promoted")
    bench.agent.do("monitor", "exec sleep 60")

    async def scene() -> None:
        begun_s = time.monotonic()
        assert await bench.services.found() == frozenset()
        assert time.monotonic() - begun_s < LIMIT_S / 2
        bench.agent.behave("monitor")

    play(bench, scene)


def test_a_frozen_group_is_taken_up_as_it_is(bench: Bench) -> None:
    """An agent that restarts starts nothing that the operator has stopped by hand."""
    bench.agent.become("promoted")

    async def scene() -> None:
        bench.services.manage(0, on=False)
        await bench.services.start(0)
        await until(lambda: _condition(bench, "app") is Condition.STOPPED)
        assert not bench.app.exists()
        assert bench.agent.role == "promoted"
        bench.services.manage(0, on=True)
        await until(lambda: any(isinstance(event, GroupLost) for event in bench.events))

    play(bench, scene)
