# SPDX-License-Identifier: GPL-2.0-or-later
"""OCF resources: started, stopped and promoted only where a monitor says so."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from dead_disk import dead_disk
from ocf_bench import FakeAgent, refused

from haagent.resources import Condition, Reading, Resource
from haagent.resources.group import GroupRunner
from haagent.resources.health import Policy
from haagent.resources.ocf import OcfResource
from haagent.resources.ocf_codes import UnfitError
from haagent.resources.ocf_settings import OcfSettings
from haagent.resources.process import TimedOutError
from hil.processes import runs

STOPPED = Reading(Condition.STOPPED)
STANDBY = Reading(Condition.STANDBY)
ACTIVE = Reading(Condition.ACTIVE)


@pytest.fixture
def fake(tmp_path: Path) -> FakeAgent:
    """An agent whose service is stopped."""
    return FakeAgent(tmp_path)


def test_it_is_a_resource(fake: FakeAgent) -> None:
    """It has everything that the protocol asks for."""
    resource: Resource = fake.resource()
    assert resource.name == "db"


def test_start_and_stop(fake: FakeAgent) -> None:
    """Both may be repeated; what runs is not started again, what is stopped not stopped again."""
    resource = fake.resource()

    async def main() -> None:
        assert await resource.monitor() == STOPPED
        await resource.start()
        assert fake.role
        fake.calls()
        await resource.start()
        assert "start" not in " ".join(fake.calls())
        assert await resource.monitor() == ACTIVE
        await resource.stop()
        assert not fake.role
        fake.calls()
        await resource.stop()
        await resource.retire()
        assert fake.calls() == ["monitor 0 0"] * 2
        await resource.close()

    asyncio.run(main())


def test_probe_only_while_it_was_never_up(fake: FakeAgent) -> None:
    """Interval 0 before the start; afterwards, and to see it stopped, the repeated monitor."""
    resource = fake.resource(interval_s=7, check_level=10)

    async def main() -> None:
        await resource.start()
        assert fake.calls() == ["monitor 0 0", "start 0 0", "monitor 7000 10"]
        await resource.monitor()
        assert fake.calls() == ["monitor 7000 10"]
        await resource.stop()
        assert fake.calls() == ["stop 0 0", "monitor 7000 0"]
        await resource.monitor()
        assert fake.calls() == ["monitor 0 0"]

    asyncio.run(main())


LENIENT = '[ "$OCF_RESKEY_CRM_meta_interval" = 0 ] && exit 7; exit 5'
"""As ocf_rarun does it: a probe takes for stopped what cannot be examined."""


def test_lenient_probe_does_not_end_a_stop(fake: FakeAgent) -> None:
    """S7: an agent that can no longer examine what was up cannot say that it is stopped."""
    resource = fake.resource()

    async def main() -> None:
        await resource.start()
        fake.do("monitor", LENIENT)
        fake.do("stop", "exit 0")
        error = await refused(resource.stop())
        assert "not installed" in str(error)
        assert fake.role
        assert (await resource.monitor()).condition is Condition.FAILED

    asyncio.run(main())


def test_restarted_agent_remembers_that_it_was_up(fake: FakeAgent) -> None:
    """The memory outlives the process: the new one does not believe a lenient probe either."""

    async def main() -> None:
        await fake.resource().start()
        fake.do("monitor", LENIENT)
        fake.do("stop", "exit 0")
        again = fake.resource()
        assert (await again.monitor()).condition is Condition.FAILED
        await refused(again.stop())
        fake.behave("monitor")
        fake.behave("stop")
        assert await again.monitor() == ACTIVE
        await again.stop()

    asyncio.run(main())


@pytest.mark.parametrize("code", [2, 5, 6])
def test_unfit_node(fake: FakeAgent, code: int) -> None:
    """Hard codes: start says that it is not for here, and stop believes that it never ran."""
    fake.do("monitor", f"exit {code}")
    fake.do("start", f"echo ocf-exit-reason:no such thing >&2; exit {code}")
    resource = fake.resource()

    async def main() -> None:
        reading = await resource.monitor()
        assert reading.condition is Condition.STOPPED
        assert f"ended with {code}" in reading.detail
        error = await refused(resource.start())
        assert isinstance(error, UnfitError)
        assert "no such thing" in str(error)
        assert "it ends the same until" in str(error)
        await resource.stop()

    asyncio.run(main())


def test_start_refused_half_way(fake: FakeAgent) -> None:
    """A start that ends with a hard code after it did something is stopped like any other."""
    fake.do("start", 'echo unpromoted >"$d/role"; exit 5')
    resource = fake.resource()

    async def main() -> None:
        assert isinstance(await refused(resource.start()), UnfitError)
        fake.do("stop", "exit 0")
        await refused(resource.stop())
        fake.behave("stop")
        await resource.stop()
        assert not fake.role

    asyncio.run(main())


@pytest.mark.parametrize("code", [1, 3, 4, 9, 42])
def test_monitor_that_nobody_can_read(fake: FakeAgent, code: int) -> None:
    """Every other code: something of it may run, so it counts as failed."""
    fake.do("monitor", f"exit {code}")
    reading = asyncio.run(fake.resource().monitor())
    assert reading.condition is Condition.FAILED
    assert reading.detail


@pytest.mark.parametrize(
    ("code", "condition"), [(190, Condition.ACTIVE), (191, Condition.ACTIVE), (8, Condition.ACTIVE)]
)
def test_degraded_serves(fake: FakeAgent, code: int, condition: Condition) -> None:
    """Degraded is up, with a word about it."""
    fake.do("monitor", f"echo half speed >&2; exit {code}")
    reading = asyncio.run(fake.resource().monitor())
    assert reading.condition is condition
    assert ("degraded: half speed" in reading.detail) == (code >= 190)


def test_failed_is_stopped_before_it_is_started(fake: FakeAgent) -> None:
    """A broken one is first brought to where it can be started."""
    fake.become("unpromoted")
    fake.do("monitor", '[ "$(cat $d/role)" = broken ] && exit 1')
    fake.become("broken")
    resource = fake.resource()
    asyncio.run(resource.start())
    actions = [call.split()[0] for call in fake.calls()]
    assert actions == ["monitor", "stop", "monitor", "start", "monitor"]


def test_failed_that_cannot_be_stopped_is_not_started(fake: FakeAgent) -> None:
    """Nothing is started over something that may run."""
    fake.do("monitor", "exit 1")
    error = asyncio.run(refused(fake.resource().start()))
    assert "stop ended with 0, but it is failed" in str(error)
    assert "start" not in " ".join(fake.calls())


def test_start_that_lies(fake: FakeAgent) -> None:
    """Success without a service is none."""
    fake.do("start", "exit 0")
    error = asyncio.run(refused(fake.resource().start()))
    assert "it was started, but is stopped" in str(error)


def test_stop_that_lies(fake: FakeAgent) -> None:
    """S7: success with the service still up is none; and the next stop tries anew."""
    fake.do("stop", "exit 0")
    resource = fake.resource()

    async def main() -> None:
        await resource.start()
        assert "it is active" in str(await refused(resource.stop()))
        assert "it is active" in str(await refused(resource.stop()))
        fake.behave("stop")
        await resource.stop()
        assert not fake.role

    asyncio.run(main())


@pytest.mark.parametrize("code", [1, 5, 6])
def test_stop_that_fails(fake: FakeAgent, code: int) -> None:
    """S7: a stop that says that it failed is believed, even if a monitor sees nothing."""
    fake.do("stop", f'rm -f "$d/role"; echo ocf-exit-reason:stuck >&2; exit {code}')
    resource = fake.resource()

    async def main() -> None:
        await resource.start()
        error = await refused(resource.stop())
        assert f"stop ended with {code}" in str(error)
        assert "stuck" in str(error)
        assert not isinstance(error, UnfitError)

    asyncio.run(main())


def test_crash_is_stopped_too(fake: FakeAgent) -> None:
    """What crashed gets its stop, which tidies up behind it."""
    resource = fake.resource()

    async def main() -> None:
        await resource.start()
        (fake.state / "role").unlink()
        fake.calls()
        await resource.stop()
        assert fake.calls()[0].startswith("stop")

    asyncio.run(main())


def test_hanging_stop(fake: FakeAgent) -> None:
    """S7: after its limit the whole group is dead, TERM or not, and the stop has failed."""
    fake.do("stop", 'trap "" TERM; echo $$ >"$d/pids"; sleep 600 & echo $! >>"$d/pids"; wait; wait')
    resource = fake.resource(limits_s={"stop": 0.3})

    async def main() -> None:
        await resource.start()
        assert isinstance(await refused(resource.stop()), TimedOutError)
        pids = [int(pid) for pid in (fake.state / "pids").read_text().split()]
        assert len(pids) == 2
        assert not any(runs(pid) for pid in pids)
        assert fake.role

    asyncio.run(main())


def test_hanging_monitor(fake: FakeAgent) -> None:
    """A monitor without an answer is a failed resource, within its limit."""
    fake.do("monitor", "exec sleep 600")
    reading = asyncio.run(fake.resource(limits_s={"monitor": 0.3}).monitor())
    assert reading.condition is Condition.FAILED
    assert "0.3 s" in reading.detail


def test_cancelled_start(fake: FakeAgent) -> None:
    """Nothing of the agent is left; what it had started is known as something to stop."""
    fake.do("start", 'echo unpromoted >"$d/role"; echo $$ >"$d/pids"; sleep 600')
    resource = fake.resource()

    async def main() -> None:
        starting = asyncio.create_task(resource.start())
        while not (fake.state / "pids").exists():  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.01)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert not runs(int((fake.state / "pids").read_text()))
        await resource.stop()
        assert not fake.role
        assert "stop 0 0" in fake.calls()

    asyncio.run(main())


def test_flood(fake: FakeAgent) -> None:
    """Megabytes of output change nothing: the reason is found, and the loop keeps beating."""
    fake.do(
        "start",
        "head -c 4000000 /dev/zero | tr '\\0' x; yes flood | head -c 4000000 >&2;"
        " echo ocf-exit-reason:too much >&2; exit 1",
    )
    resource = fake.resource()

    async def main() -> tuple[str, float]:
        longest_s, starting = 0.0, asyncio.create_task(refused(resource.start()))
        while not starting.done():
            begun_s = time.monotonic()
            await asyncio.sleep(0.01)
            longest_s = max(longest_s, time.monotonic() - begun_s)
        return str(starting.result()), longest_s

    said, longest_s = asyncio.run(main())
    assert said.endswith("start ended with 1: too much")
    assert longest_s < 1.0  # Milliseconds in fact; a busy machine adds its own.


def run(*command: str | Path) -> None:
    """It takes milliseconds."""
    subprocess.run(command, check=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """For the notes, with room for little: it is full when it is filled."""
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "nr_inodes=64", "none", folder)
    try:
        yield
    finally:
        run("umount", folder)


def fill(folder: Path) -> None:
    """Until nothing more can be made in it."""
    with suppress(OSError):
        for number in count():
            (folder / str(number)).touch()


def test_nothing_starts_without_its_note(fake: FakeAgent) -> None:
    """S7: what no later agent would know of is not started; and the agent does not die of it."""
    resource = fake.resource()

    async def main() -> None:
        assert await resource.monitor() == STOPPED
        fill(fake.directory)
        assert await resource.monitor() == STOPPED, "that needs no room"
        assert "No space left" in str(await refused(resource.start()))
        assert "start 0 0" not in fake.calls()
        await resource.stop()
        fake.become("unpromoted")
        reading = await fake.resource().monitor()
        assert reading.condition is Condition.FAILED
        assert "No space left" in reading.detail

    with small_disk(fake.directory):
        asyncio.run(main())


def test_without_room_it_is_stopped_all_the_same(fake: FakeAgent) -> None:
    """S7: a stop needs no note, and even so believes no lenient probe afterwards."""
    resource = fake.resource()

    async def main() -> None:
        await resource.monitor()
        fill(fake.directory)
        fake.become("unpromoted")
        assert (await resource.monitor()).condition is Condition.FAILED
        await resource.stop()
        assert not fake.role
        fake.become("unpromoted")
        await resource.monitor()
        fake.do("monitor", LENIENT)
        fake.do("stop", "exit 0")
        assert "not installed" in str(await refused(resource.stop()))

    with small_disk(fake.directory):
        asyncio.run(main())


def test_notes_that_have_become_read_only(fake: FakeAgent) -> None:
    """What has its note is looked at and stopped as ever; from nothing nobody makes a reading."""
    resource = fake.resource()

    async def main() -> None:
        await resource.start()
        run("mount", "-o", "remount,ro", fake.directory)
        assert await resource.monitor() == ACTIVE
        await resource.stop()
        assert not fake.role
        assert await resource.monitor() == STOPPED
        assert "Read-only" in str(await refused(fake.resource(name="other").start()))

    with small_disk(fake.directory):
        asyncio.run(main())


def test_an_agent_on_a_dead_disk_holds_up_nobody(fake: FakeAgent, tmp_path: Path) -> None:
    """It is looked for beside the loop, within the action's limit; and an error of it is FAILED."""
    root = tmp_path / "dead"
    root.mkdir()
    settings = OcfSettings("db", "g", "alpha", "ocf:test:Fake", limits_s={"monitor": 0.3})

    with dead_disk(root) as disk:

        async def main() -> None:
            resource = OcfResource(settings, directory=fake.directory, root=root)
            look = asyncio.create_task(resource.monitor())
            while not disk.touched.is_set():  # noqa: ASYNC110  # another thread sets it
                await asyncio.sleep(0.01)
            assert not look.done()
            late = await look
            assert late.condition is Condition.FAILED
            assert "no end after 0.3 s" in late.detail
            assert "being loaded" in (await resource.monitor()).detail
            patient = OcfResource(
                replace(settings, limits_s={}), directory=fake.directory, root=root
            )
            look = asyncio.create_task(patient.monitor())
            await asyncio.sleep(0.1)
            await asyncio.to_thread(disk.revive)
            broken = await look
            assert broken.condition is Condition.FAILED
            assert "ocf:test:Fake" in broken.detail

        asyncio.run(main())


def test_in_a_group(fake: FakeAgent) -> None:
    """A runner starts it, notices that it has gone, restarts it in place and stops it."""
    policy = Policy(failures=1, restarts=3)
    lost: list[str] = []

    async def main() -> None:
        resource = fake.resource(interval_s=0.05)
        runner = GroupRunner([resource], policy, lost.append, lambda _name, _reading: None)
        await runner.start()
        for _ in range(2):
            (fake.state / "role").unlink()
            while not fake.role:  # noqa: ASYNC110  # another process makes it
                await asyncio.sleep(0.01)
        await runner.stop()
        await runner.close()

    asyncio.run(main())
    assert not fake.role
    assert lost == []
