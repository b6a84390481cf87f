# SPDX-License-Identifier: GPL-2.0-or-later
"""Units as resources, against a real systemd and a real D-Bus daemon in namespaces."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from systemd_bench import DEADLINE_S, LONG, SHORT, asking, condition, until

from haagent.resources import Condition, ResourceError, Times
from haagent.resources import bus as bus_module
from haagent.resources import systemctl as systemctl_module
from haagent.resources import systemd as systemd_module
from haagent.resources.boot import enabled_state, objections
from haagent.resources.pid1 import Systemd
from haagent.resources.systemd import SystemdResource
from haagent.resources.units import JobResult, Verb
from hil.namespaces import members
from hil.pid1 import SYSTEMD, Pid1, booted

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not SYSTEMD.exists(), reason="needs root and Debian's systemd"
)

SLEEP = "ExecStart=/bin/sleep infinity\n"
LOOK_CPU_S_MAX = 0.01
"""Ten times what it takes here."""
GO = "/run/go"
"""slowly.service stops and tardy.service starts once this file is there."""
WAIT = f"until [ -e {GO} ]; do sleep 0.05; done"
DEAF = "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'\n"
"""Ignores SIGTERM."""
ONESHOT = "Type=oneshot\nRemainAfterExit=yes\n"
UNITS = {
    "db.service": SLEEP,
    "other.service": SLEEP,
    "instance@.service": "ExecStart=/bin/sleep %i\n",
    "oneshot.service": ONESHOT + "ExecStart=/bin/true\n",
    "once.service": "Type=oneshot\nExecStart=/bin/true\n",
    "failing.service": ONESHOT + "ExecStart=/bin/false\n",
    "crashing.service": "Type=notify\nExecStart=/bin/false\n",
    "silent.service": "Type=notify\nTimeoutStartSec=infinity\n" + SLEEP,
    "spare.service": "KillMode=process\nExecStart=/bin/sh -c 'sleep 9999 & exec sleep 9999'\n",
    "deaf.service": "TimeoutStopSec=infinity\n" + DEAF,
    "outliving.service": "TimeoutStopSec=200ms\nSendSIGKILL=no\n" + DEAF,
    "restarting.service": "Restart=always\nRestartSec=20ms\n" + SLEEP,
    "resting.service": "Restart=always\nRestartSec=30s\n" + SLEEP,
    "slowly.service": f"ExecStop=/bin/sh -c '{WAIT}'\n" + SLEEP,
    "tardy.service": f"ExecStartPre=/bin/sh -c '{WAIT}'\n" + SLEEP,
    "woken.service": SLEEP,
    "enabled.service": SLEEP,
    "needing.service": SLEEP,
    "needed.service": SLEEP,
}
"""The [Service] sections."""
HEADS = {
    "dependent.service": ("Requires=failing.service\nAfter=failing.service\n", SLEEP),
    "conditional.service": ("ConditionPathExists=/nonexistent\n", SLEEP),
    "timed.service": ("JobRunningTimeoutSec=200ms\n", "Type=notify\n" + SLEEP),
    "needing.service": ("Requires=needed.service\n", SLEEP),
}
"""[Unit] and [Service] sections."""
OTHERS = {
    "woken.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/woken\n",
    "broken.service": "[Unit]\nDefaultDependencies=no\n[Service]\nType=simple\n",
}
INSTALL = "[Install]\nWantedBy=multi-user.target\n"


@pytest.fixture(scope="module")
def pid1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pid1]:
    """One systemd for all tests here; each uses units of its own."""
    units = tmp_path_factory.mktemp("systemd") / "units"
    units.mkdir()
    sections = {name: ("", service) for name, service in UNITS.items()} | HEADS
    for name, (unit, service) in sections.items():
        text = f"[Unit]\nDefaultDependencies=no\n{unit}[Service]\n{service}{INSTALL}"
        (units / name).write_text(text)
    for name, text in OTHERS.items():
        (units / name).write_text(text)
    (units / "masked.service").symlink_to("/dev/null")
    (units / "alias.service").symlink_to("other.service")
    with booted(units) as running:
        running.systemctl("enable", "enabled.service")
        yield running


def resource_of(ours: Systemd, unit: str, times: Times = LONG) -> SystemdResource:
    """A resource for a unit."""
    return SystemdResource("db", unit, times, ours)


def main_pid(pid1: Pid1, unit: str) -> str:
    """The unit's main process, as numbered inside; "0" for none."""
    return pid1.systemctl("show", "--property=MainPID", "--value", unit)


def kill(pid1: Pid1, unit: str) -> None:
    """Have its main process die."""
    pid1.systemctl("kill", "--signal=SIGKILL", unit)


@pytest.mark.parametrize("bus", [True, False], ids=["bus", "systemctl"])
@pytest.mark.parametrize(
    "unit", ["db.service", "instance@9999.service", "oneshot.service", "alias.service"]
)
def test_starts_and_stops(pid1: Pid1, unit: str, bus: bool) -> None:  # noqa: FBT001 - a column
    """A unit is started, seen, stopped and seen stopped, twice each, with a bus and without."""

    async def scene() -> None:
        async with asking(pid1, bus=bus) as ours:
            resource = resource_of(ours, unit)
            for operation, expected in (
                (resource.start, Condition.ACTIVE),
                (resource.stop, Condition.STOPPED),
            ):
                for _ in range(2):
                    await operation()
                    assert await condition(resource) is expected
            await resource.close()

    asyncio.run(scene())
    assert main_pid(pid1, unit) == "0"


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("failing.service", "the job failed; it is failed .failed., exit-code"),
        ("crashing.service", "the job failed; it is failed .failed., (protocol|exit-code)"),
        ("dependent.service", "a unit that it needs"),
        ("conditional.service", "a condition of the unit"),
        ("timed.service", "JobTimeoutSec"),
        ("once.service", "RemainAfterExit"),
        ("masked.service", "unmask"),
        ("nonexistent.service", "no such unit"),
        ("broken.service", "refuses the unit's file"),
    ],
)
def test_start_that_fails(pid1: Pid1, unit: str, words: str) -> None:
    """Whatever keeps a unit from starting is an error that says so, and a stop follows well."""

    async def scene() -> None:
        async with asking(pid1) as ours:
            resource = resource_of(ours, unit)
            with pytest.raises(ResourceError, match=words):
                await resource.start()
            await resource.stop()

    asyncio.run(scene())


@pytest.mark.parametrize("unit", ["failing.service", "dependent.service", "nonexistent.service"])
def test_start_that_fails_without_bus(pid1: Pid1, unit: str) -> None:
    """The same through systemctl."""

    async def scene() -> None:
        async with asking(pid1, bus=False) as ours:
            with pytest.raises(ResourceError, match=r"did not start|no such unit"):
                await resource_of(ours, unit).start()

    asyncio.run(scene())


def test_slow_start_without_bus(pid1: Pid1, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through systemctl too, a start that takes longer than one look is joined to its end."""
    monkeypatch.setattr(systemd_module, "JOB_LOOK_S", 0.2)
    go = pid1.root / GO.lstrip("/")
    go.unlink(missing_ok=True)

    async def scene() -> None:
        async with asking(pid1, bus=False) as ours:
            resource = resource_of(ours, "tardy.service")
            starting = asyncio.create_task(resource.start())

            async def is_activating() -> bool:
                return (await ours.state("tardy.service")).active == "activating"

            await until(is_activating)
            await asyncio.sleep(0.5)  # More than two looks.
            assert not starting.done()
            go.touch()
            await starting
            assert await condition(resource) is Condition.ACTIVE
            await resource.stop()

    asyncio.run(scene())


def test_start_limit_is_ours(pid1: Pid1) -> None:
    """A unit that systemd would refuse because it was started too often is started."""

    async def scene() -> None:
        async with asking(pid1) as ours:
            resource = resource_of(ours, "db.service")
            for _ in range(7):  # The limit is 5 in 10 s.
                await resource.start()
                await resource.stop()

    asyncio.run(scene())


@pytest.mark.parametrize("bus", [True, False], ids=["bus", "systemctl"])
@pytest.mark.parametrize("unit", ["spare.service", "outliving.service"])
def test_what_a_stop_leaves_is_killed(pid1: Pid1, unit: str, bus: bool) -> None:  # noqa: FBT001
    """S7: what KillMode= spares or TimeoutStopSec= gives up is killed before it is stopped."""

    async def scene() -> None:
        async with asking(pid1, bus=bus) as ours:
            resource = resource_of(ours, unit)
            await resource.start()
            await resource.stop()
            assert await condition(resource) in {Condition.STOPPED, Condition.FAILED}

    asyncio.run(scene())
    assert not (pid1.root / f"sys/fs/cgroup/system.slice/{unit}").exists()


@pytest.mark.parametrize("bus", [True, False], ids=["bus", "systemctl"])
def test_left_process_is_seen(pid1: Pid1, bus: bool) -> None:  # noqa: FBT001 - a column
    """S7: a process in the group of a unit that is down is something of it that runs."""
    pid1.systemctl("start", "spare.service")
    pid1.systemctl("stop", "spare.service")

    async def scene() -> None:
        async with asking(pid1, bus=bus) as ours:
            resource = resource_of(ours, "spare.service")
            reading = await resource.monitor()
            assert reading.condition is Condition.FAILED
            assert "sleep" in reading.detail
            await resource.stop()
            assert await condition(resource) is Condition.STOPPED

    asyncio.run(scene())


def test_slow_stop_is_killed_in_time(pid1: Pid1) -> None:
    """A unit that would take for ever to stop is killed before the limit, and seen stopped."""

    async def scene() -> None:
        async with asking(pid1) as ours:
            resource = resource_of(ours, "deaf.service", Times(5.0, 6.0, 5.0, 0.0))
            await resource.start()
            await resource.stop()

    asyncio.run(scene())
    assert main_pid(pid1, "deaf.service") == "0"


def test_start_that_does_not_end(pid1: Pid1) -> None:
    """A start that takes too long is an error, and a stop ends what it began."""

    async def scene() -> None:
        async with asking(pid1) as ours:
            resource = resource_of(ours, "silent.service", SHORT)
            with pytest.raises(ResourceError, match="not active after 1 s"):
                await resource.start()
            assert (await resource.monitor()).detail == "still activating (start)"
            await resource.stop()

    asyncio.run(scene())
    assert main_pid(pid1, "silent.service") == "0"


def test_start_cancelled_by_somebody(pid1: Pid1) -> None:
    """A start that somebody else's stop replaces is an error that says so."""

    async def scene() -> None:
        async with asking(pid1) as ours:
            starting = asyncio.create_task(resource_of(ours, "silent.service").start())
            await until(lambda: main_pid(pid1, "silent.service") != "0")
            await asyncio.to_thread(pid1.systemctl, "stop", "silent.service")
            with pytest.raises(ResourceError, match="somebody cancelled"):
                await starting

    asyncio.run(scene())


def test_death_is_noticed_by_signal(pid1: Pid1) -> None:
    """A service that dies by itself is noticed without a look; the time is recorded."""

    async def scene() -> None:
        async with asking(pid1) as ours:
            resource = resource_of(ours, "db.service")
            died = asyncio.Event()
            await resource.start()
            resource.on_change = lambda _: died.set()
            await ours.state("db.service")  # Answered after the signals of the start.
            died.clear()
            await asyncio.to_thread(kill, pid1, "db.service")
            async with asyncio.timeout(5):
                await died.wait()
            reading = await resource.monitor()
            assert (reading.condition, reading.detail) == (Condition.FAILED, "failed: signal")
            await resource.stop()

    asyncio.run(scene())


def test_restarts_by_systemd(pid1: Pid1) -> None:
    """A death is one failure, whether systemd has repaired it or is about to."""

    async def scene() -> None:
        async with asking(pid1) as ours:
            quick = resource_of(ours, "restarting.service")
            slow = resource_of(ours, "resting.service")
            for resource in (quick, slow):
                await resource.start()
                assert await condition(resource) is Condition.ACTIVE
            before = main_pid(pid1, "restarting.service")
            for unit in ("restarting.service", "resting.service"):
                await asyncio.to_thread(kill, pid1, unit)
            await until(lambda: main_pid(pid1, "restarting.service") not in {"0", before})
            assert "Restart=" in (await quick.monitor()).detail
            assert await condition(quick) is Condition.ACTIVE
            assert "auto-restart" in (await slow.monitor()).detail
            for resource in (quick, slow):
                await resource.stop()

    asyncio.run(scene())


def test_socket_does_not_wake_it(pid1: Pid1) -> None:
    """S7: a stopped service is not started again by a client that connects."""
    pid1.systemctl("start", "woken.socket")

    async def scene() -> None:
        async with asking(pid1) as ours:
            resource = resource_of(ours, "woken.service")
            await resource.stop()  # It is down, and its socket is not.
            with pytest.raises(OSError, match=r"refused|No such file"):
                await asyncio.open_unix_connection(pid1.root / "run/woken")
            assert await condition(resource) is Condition.STOPPED

    asyncio.run(scene())


@pytest.mark.parametrize(
    "disturbance",
    [
        "daemon-reexec",
        "daemon-reload",
        "kill --signal=SIGKILL dbus.service",
        "stop dbus.socket dbus.service",
    ],
)
def test_disturbed_in_mid_stop(pid1: Pid1, disturbance: str) -> None:
    """S7: neither bus nor systemd going away in mid stop makes it a stop before it is one."""
    unit = "slowly.service"

    async def scene() -> None:
        async with asking(pid1) as ours:

            async def is_deactivating() -> bool:
                return (await ours.state(unit)).active == "deactivating"

            resource = resource_of(ours, unit)
            changes: list[str] = []
            resource.on_change = changes.append
            await resource.start()
            stopping = asyncio.create_task(resource.stop())
            await until(is_deactivating)
            await asyncio.to_thread(pid1.systemctl, *disturbance.split(), check=False)
            assert not stopping.done()
            go.touch()
            await stopping
            assert main_pid(pid1, unit) == "0"
            await asyncio.to_thread(pid1.systemctl, "start", "dbus.socket")
            await resource.start()
            assert await condition(resource) is Condition.ACTIVE
            await until(ours.reachable)
            await ours.state(unit)  # Answered after the signals of the start.
            changes.clear()
            await asyncio.to_thread(kill, pid1, unit)
            await until(lambda: bool(changes))
            await resource.stop()

    go = pid1.root / GO.lstrip("/")
    go.unlink(missing_ok=True)
    try:
        asyncio.run(scene())
    finally:
        pid1.systemctl("start", "dbus.socket")


@pytest.mark.parametrize("verb", [Verb.START, Verb.STOP])
def test_an_order_in_a_bus_that_hangs_comes_to_nothing(pid1: Pid1, verb: Verb) -> None:
    """S7: whoever gave it has asked another way since, and may have ordered the contrary.

    systemd refuses the order when the bus passes it on at last, for its sender has left the bus.
    """
    unit = "db.service"

    async def scene() -> None:
        async with asking(pid1) as ours:
            resource = resource_of(ours, unit)
            await (resource.stop if verb is Verb.START else resource.start)()
            await asyncio.to_thread(pid1.systemctl, "kill", "--signal=SIGSTOP", "dbus.service")
            assert await ours.order(verb, unit, 5.0) is JobResult.DONE
            await (resource.stop if verb is Verb.START else resource.start)()
            before = main_pid(pid1, unit)
            await asyncio.to_thread(pid1.systemctl, "kill", "--signal=SIGCONT", "dbus.service")
            await until(ours.reachable)
            await ours.state(unit)  # Answered after what had been queued before.
            await asyncio.sleep(0.5)
            assert main_pid(pid1, unit) == before
            assert (before == "0") == (verb is Verb.START)
            await resource.stop()

    try:
        asyncio.run(scene())
    finally:
        pid1.systemctl("kill", "--signal=SIGCONT", "dbus.service")


def test_frozen_systemd(pid1: Pid1, monkeypatch: pytest.MonkeyPatch) -> None:
    """S7: a systemd that does not answer keeps the last reading for a while, and stops nothing."""
    monkeypatch.setattr(bus_module, "CALL_S", 0.2)
    monkeypatch.setattr(bus_module, "PATIENCE_S", 0.05)
    monkeypatch.setattr(systemctl_module, "ANSWER_S", 0.2)

    async def scene() -> None:
        async with asking(pid1) as ours:
            resource = resource_of(ours, "db.service", SHORT)
            await resource.start()
            assert await condition(resource) is Condition.ACTIVE
            pid1.freeze()
            assert await condition(resource) is Condition.ACTIVE
            with pytest.raises(ResourceError, match="not stopped after 1 s"):
                await resource.stop()
            monkeypatch.setattr(systemd_module, "UNKNOWN_GRACE_S", 0.0)
            assert await condition(resource) is Condition.FAILED
            pid1.thaw()
            await resource_of(ours, "db.service").stop()

    try:
        asyncio.run(scene())
    finally:
        pid1.thaw()


def test_look_is_cheap(pid1: Pid1) -> None:
    """A look costs about 1 ms of our processor time, spread over several answers."""

    async def scene() -> None:
        async with asking(pid1) as ours:
            resource = resource_of(ours, "db.service")
            await resource.start()
            await resource.monitor()
            looks, worked = 100, time.process_time()
            for _ in range(looks):
                assert await condition(resource) is Condition.ACTIVE
            spent_s = time.process_time() - worked
            await resource.stop()
            assert spent_s / looks < LOOK_CPU_S_MAX, spent_s / looks

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("unit", "refused", "words"),
    [
        ("db.service", False, ""),
        ("enabled.service", True, "systemctl disable enabled.service"),
        ("masked.service", True, "masked"),
        ("nonexistent.service", True, "no such unit"),
        ("once.service", True, "RemainAfterExit=yes"),
        ("woken.service", True, "systemctl disable --now woken.socket"),
        ("needed.service", False, "needing.service"),
        ("spare.service", False, "KillMode=process"),
        ("restarting.service", False, "Restart=no"),
        ("deaf.service", False, "for ever"),
    ],
)
def test_objections(pid1: Pid1, unit: str, refused: bool, words: str) -> None:  # noqa: FBT001
    """What systemd starts by itself is refused with a remedy; what is doubtful is said."""
    for started in ("multi-user.target", "woken.socket", "needing.service"):
        pid1.systemctl("start", started)

    async def scene() -> None:
        async with asking(pid1) as ours:
            found = await objections(ours, unit, Times(60, 120, 20, 10))
            assert any(each.refuses for each in found) is refused, found
            assert words in " ".join(f"{each.text}: {each.remedy}" for each in found)
            assert len(found) == len({each.text for each in found})

    asyncio.run(scene())
    for stopped in ("needing.service", "needed.service", "enabled.service", "woken.socket"):
        pid1.systemctl("stop", stopped)


@pytest.mark.parametrize(
    ("unit", "state"),
    [
        ("enabled.service", "enabled"),
        ("db.service", "disabled"),
        ("instance@7.service", "disabled"),
        ("masked.service", "masked"),
        ("woken.socket", "static"),
        ("alias.service", "disabled"),
        ("nonexistent.service", ""),
    ],
)
def test_enabled_state(pid1: Pid1, unit: str, state: str) -> None:
    """The state of a unit's file is told as `systemctl is-enabled` tells it."""

    async def scene(*, bus: bool) -> None:
        async with asking(pid1, bus=bus) as ours:
            assert await enabled_state(ours, unit) == state

    for bus in (True, False):
        asyncio.run(scene(bus=bus))


def test_nothing_is_left(tmp_path: Path) -> None:
    """The bench's own promise: a systemd that is killed leaves no process and no group."""
    units = tmp_path / "units"
    units.mkdir()
    (units / "db.service").write_text("[Unit]\nDefaultDependencies=no\n[Service]\n" + SLEEP)
    with booted(units) as running:
        running.systemctl("start", "db.service")
        inside = Path(f"/proc/{running.pid}/ns/pid").readlink()
    limit = time.monotonic() + DEADLINE_S
    while members(str(inside)) and time.monotonic() < limit:
        time.sleep(0.05)  # Killed, but not yet reaped by the host's init.
    assert members(str(inside)) == []
