# SPDX-License-Identifier: GPL-2.0-or-later
"""A unit as a resource, while the bus, systemd on it, or both go away and come back."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from systemd_bench import (
    DB,
    LONG,
    NO_SYSTEMCTL,
    SHORT,
    FakeBench,
    Run,
    condition,
    faking,
    player,
    until,
)

from haagent.resources import Condition, ResourceError
from haagent.resources import bus as bus_module
from haagent.resources import systemctl as systemctl_module
from haagent.resources import systemd as systemd_module
from haagent.resources.pid1 import Systemd
from haagent.resources.systemctl import ThroughSystemctl
from haagent.resources.unit_bus import OverBus
from hil.dbus import private_bus
from hil.systemd import fake_systemd


@pytest.fixture
def play(tmp_path: Path) -> Run:
    """Run one scene on a bench of its own."""
    return player(tmp_path)


def test_forged_signals(play: Run) -> None:
    """A signal that systemd did not send is not believed."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource()
        changes: list[str] = []
        await resource.start()
        resource.on_change = changes.append
        forger = await MessageBus(bench.bus.address).connect()
        ours = await _listener_of(forger)
        for destination in (None, *ours):
            await forger.send(_forged(destination, "JobRemoved", "uoss", [9, "/x", DB, "done"]))
            await forger.send(_forged(destination, "Reloading", "b", [False]))
        await forger.call(_bus_call("GetId"))  # Answered after they were passed on.
        await bench.ours.state(DB)
        assert changes == []
        forger.disconnect()
        await forger.wait_for_disconnect()  # type: ignore[no-untyped-call]  # not annotated

    play(scene)


async def _listener_of(bus: MessageBus) -> list[str]:
    """Unique names of everybody on the bus: one of them is ours."""
    reply = await bus.call(_bus_call("ListNames"))
    assert reply is not None
    return [each for each in reply.body[0] if each.startswith(":") and each != bus.unique_name]


def _bus_call(member: str) -> Message:
    name = "org.freedesktop.DBus"
    return Message(destination=name, path="/org/freedesktop/DBus", interface=name, member=member)


def _forged(destination: str | None, member: str, signature: str, body: list[Any]) -> Message:
    return Message(
        message_type=MessageType.SIGNAL,
        destination=destination,
        path="/org/freedesktop/systemd1",
        interface="org.freedesktop.systemd1.Manager",
        member=member,
        signature=signature,
        body=body,
    )


def test_reexecution_in_mid_job(play: Run) -> None:
    """A systemd that leaves the bus in mid job and comes back is asked again, and subscribed to."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource()
        changes: list[str] = []
        await resource.start()
        bench.systemd.faults.holds = True
        stopping = asyncio.create_task(resource.stop())
        await until(lambda: f"StopUnit {DB}" in bench.systemd.orders)
        await bench.systemd.leave()
        await bench.systemd.connect()
        bench.systemd.finish(DB)
        await stopping
        assert bench.systemd.subscribed == 2
        resource.on_change = changes.append
        bench.systemd.become(DB, "active", "running")
        await until(lambda: changes == ["db"])

    play(scene)


def test_bus_killed_in_mid_job(play: Run) -> None:
    """A bus that dies in mid job and comes back costs time, and no wrong belief."""

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource()
        await resource.start()
        bench.systemd.faults.holds = True
        stopping = asyncio.create_task(resource.stop())
        await until(lambda: f"StopUnit {DB}" in bench.systemd.orders)
        bench.bus.kill()
        await bench.systemd.leave()
        bench.bus.start()
        await bench.systemd.connect()
        await until(lambda: bench.systemd.orders.count(f"StopUnit {DB}") > 1)
        assert not stopping.done()
        bench.systemd.finish(DB)
        await stopping
        assert bench.unit == "inactive"
        assert await condition(resource) is Condition.STOPPED

    play(scene)


def test_nobody_to_ask(play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bus and systemctl the last reading stands for a while; no stop is ever believed."""
    monkeypatch.setattr(bus_module, "PATIENCE_S", 0.05)

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource(SHORT)
        await resource.start()
        assert await condition(resource) is Condition.ACTIVE
        bench.bus.kill()
        reading = await resource.monitor()
        assert reading.condition is Condition.ACTIVE
        assert reading.detail.startswith("as of ")
        with pytest.raises(ResourceError, match="nobody can tell"):
            await resource.stop()
        monkeypatch.setattr(systemd_module, "UNKNOWN_GRACE_S", 0.0)
        late = await resource.monitor()
        assert late.condition is Condition.FAILED
        assert late.detail.startswith("nobody can tell")

    play(scene)


def test_never_seen_is_not_assumed(tmp_path: Path) -> None:
    """Whoever never had an answer has no last reading: nobody can tell."""

    async def scene(bench: FakeBench) -> None:
        bench.bus.kill()
        assert await condition(bench.resource(SHORT)) is Condition.FAILED

    async def whole() -> None:
        async with faking(tmp_path) as bench:
            await scene(bench)

    asyncio.run(whole())


def test_deaf_systemd(play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A systemd that takes calls and never answers holds up neither us nor the next connection."""
    monkeypatch.setattr(bus_module, "CALL_S", 0.2)
    monkeypatch.setattr(bus_module, "PATIENCE_S", 0.05)
    monkeypatch.setattr(systemctl_module, "ANSWER_S", 0.2)

    async def scene(bench: FakeBench) -> None:
        resource = bench.resource(SHORT)
        await resource.start()
        bench.systemd.faults.deaf = True
        with pytest.raises(ResourceError, match="not stopped"):
            await resource.stop()
        bench.systemd.faults.deaf = False
        await bench.resource(LONG).stop()
        assert bench.unit == "inactive"

    play(scene)


def test_a_bus_that_hangs_costs_a_second(tmp_path: Path) -> None:
    """A takeover does not wait for it: systemctl is asked after the first second, then at once."""
    folder = tmp_path / "bin"
    folder.mkdir()
    systemctl = folder / "systemctl"
    systemctl.write_text(
        "#!/bin/sh\nprintf 'LoadState=loaded\\nActiveState=active\\nSubState=exited\\n'\n"
    )
    systemctl.chmod(0o755)

    async def scene() -> None:
        async with faking(tmp_path, (str(systemctl),)) as bench:
            daemon = bench.bus._daemon
            assert daemon is not None
            daemon.send_signal(signal.SIGSTOP)
            try:
                loop = asyncio.get_running_loop()
                for limit_s in (3.0, 1.0):
                    begun_s = loop.time()
                    assert (await bench.ours.state(DB)).sub == "exited", "systemctl's answer"
                    assert loop.time() - begun_s < limit_s
            finally:
                daemon.send_signal(signal.SIGCONT)
            await until(bench.ours.reachable)
            assert (await bench.ours.state(DB)).sub == "dead", "systemd's own"

    asyncio.run(scene())


def test_no_bus_at_first(tmp_path: Path) -> None:
    """An agent that is up before the bus finds it, and systemd, once they are there."""
    with private_bus(tmp_path) as bus:
        bus.kill()

        async def scene() -> None:
            ours = Systemd(OverBus(bus.address), ThroughSystemctl(NO_SYSTEMCTL))
            ours.open()
            resource = systemd_module.SystemdResource("db", DB, LONG, ours)
            changes: list[str] = []
            resource.on_change = changes.append
            assert await condition(resource) is Condition.FAILED
            bus.start()
            async with fake_systemd(bus.address, DB) as fake:
                await until(lambda: bool(changes))
                await resource.start()
                assert fake.units[DB].active == "active"
            await ours.close()

        asyncio.run(scene())
