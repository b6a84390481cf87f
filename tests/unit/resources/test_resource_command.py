# SPDX-License-Identifier: GPL-2.0-or-later
"""A resource of three commands: seen started, seen stopped, or said not to be."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import structlog

from haagent.resources import Condition, Reading, Resource, ResourceError, Times
from haagent.resources.command import POSITION_MAX, CommandResource, Commands

TIMES = Times(start_s=10, stop_s=10, monitor_s=5, interval_s=1)
SHORT = Times(start_s=1, stop_s=1, monitor_s=0.5, interval_s=1)


class Service:
    """A service that is a word in a file; its commands are as an operator would write them."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.calls = folder / "calls"
        self.become("stopped")
        self.start = f"echo active >{self.state}"
        self.stop = f"echo stopped >{self.state}"
        self.monitor = f"case $(cat {self.state}) in active) ;; stopped) exit 7;; *) exit 1;; esac"

    def become(self, word: str) -> None:
        """Change it from outside."""
        self.state.write_text(word + "\n")

    def is_now(self) -> str:
        """The word."""
        return self.state.read_text().strip()

    def called(self) -> list[str]:
        """Which commands were run, monitors left out."""
        words = self.calls.read_text().split() if self.calls.exists() else []
        return [word for word in words if word != "monitor"]

    def resource(self, times: Times = TIMES, *, monitored: bool = True) -> CommandResource:
        """The resource as configured."""
        note = f"echo $HAAGENT_ACTION >>{self.calls};"
        commands = Commands(
            start=("sh", "-c", note + self.start),
            stop=("sh", "-c", note + self.stop),
            monitor=("sh", "-c", note + self.monitor) if monitored else None,
        )
        return CommandResource("svc", commands, times)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """One that is stopped."""
    return Service(tmp_path)


def test_it_is_a_resource(service: Service) -> None:
    """It has everything that the protocol asks for."""
    resource: Resource = service.resource()
    assert (resource.name, resource.times) == ("svc", TIMES)


def test_start_and_stop_are_seen(service: Service) -> None:
    """Started from stopped, stopped from active, each at once and each repeatable."""
    resource = service.resource()

    async def main() -> None:
        assert await resource.monitor() == Reading(Condition.STOPPED)
        await resource.start()
        await resource.start()
        assert await resource.monitor() == Reading(Condition.ACTIVE)
        await resource.stop()
        await resource.stop()
        assert await resource.monitor() == Reading(Condition.STOPPED)
        await resource.retire()
        await resource.close()

    asyncio.run(main())
    assert service.called() == ["start", "stop"], "what is there already is not asked for again"


def test_a_broken_one_is_stopped_before_it_is_started(service: Service) -> None:
    """Something of it may run; one that cannot even be stopped is not started."""
    service.become("broken")
    asyncio.run(service.resource().start())
    assert service.called() == ["stop", "start"]
    service.become("broken")
    service.stop = "exit 1"
    with pytest.raises(ResourceError, match="stop: exit status 1"):
        asyncio.run(service.resource().start())
    assert service.called() == ["stop", "start", "stop"]


def test_a_start_may_take_its_time(service: Service) -> None:
    """A service that is on its way when the command has ended is waited for."""
    service.start = f"(sleep 0.7; echo active >{service.state}) >/dev/null 2>&1 &"
    asyncio.run(service.resource().start())
    assert service.is_now() == "active"


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("echo no license >&2; exit 4", "start: exit status 4: no license"),
        ("true", "not active in time, but stopped"),
        ("echo broken >{state}", "not active in time, but failed: monitor: exit status 1"),
        ("sleep 100", r"start: no end after (1|0\.9.*) s; it was killed"),
    ],
)
def test_a_start_that_fails_is_said(service: Service, start: str, reason: str) -> None:
    """The error tells the operator what the program said, or what was seen instead."""
    service.start = start.format(state=service.state)
    with pytest.raises(ResourceError, match=reason):
        asyncio.run(service.resource(SHORT).start())


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("true", "not stopped in time, but active"),
        ("echo broken >{state}", "not stopped in time, but failed: monitor: exit status 1"),
        ("echo stopped >{state}; echo busy >&2; exit 1", "stop: exit status 1: busy"),
        ("echo stopped >{state}; sleep 100", r"stop: no end after 0\.\d+ s; it was killed"),
    ],
)
def test_a_stop_is_not_believed(service: Service, stop: str, reason: str) -> None:
    """S7: stop() ends well only if the command did *and* the service was seen stopped."""
    service.become("active")
    service.stop = stop.format(state=service.state)
    with pytest.raises(ResourceError, match=reason):
        asyncio.run(service.resource(SHORT).stop())


@pytest.mark.parametrize("stop", [("/none/app", "stop"), ("false",)], ids=["missing", "fails"])
def test_what_never_ran_here_needs_no_stop_command(service: Service, stop: tuple[str, ...]) -> None:
    """A node whose service is certainly stopped is not powered off because it cannot stop it.

    Nothing else than "stopped for certain" will do.
    """
    monitor = ("sh", "-c", service.monitor)
    asyncio.run(CommandResource("svc", Commands(("true",), stop, monitor), TIMES).stop())
    for word in ("active", "broken"):
        service.become(word)
        with pytest.raises(ResourceError, match="stop: "):
            asyncio.run(CommandResource("svc", Commands(("true",), stop, monitor), TIMES).stop())


@pytest.mark.parametrize("seen", ["started", "taken up", "broken"])
def test_a_stop_that_failed_must_succeed(service: Service, seen: str) -> None:
    """S7: of what ran here only stop can say that nothing is left, whatever monitor sees later."""
    resource = service.resource()

    async def main() -> None:
        if seen == "started":
            await resource.start()
        elif seen == "taken up":
            service.become("active")
            await resource.monitor()
        else:
            service.become("broken")
        service.stop, well = (
            f"echo stopped >{service.state}; exit 1",
            service.stop,
        )
        resource._commands = service.resource()._commands
        for _ in range(2):
            with pytest.raises(ResourceError, match="stop: exit status 1"):
                await resource.stop()
            assert (await resource.monitor()).condition is Condition.STOPPED
        service.stop = well
        resource._commands = service.resource()._commands
        await resource.stop()
        count = len(service.called())
        await resource.stop()
        assert len(service.called()) == count

    asyncio.run(main())


def test_what_crashed_is_tidied_up_behind(service: Service) -> None:
    """A service that was seen to run and is gone gets its stop all the same."""
    resource = service.resource()

    async def main() -> None:
        await resource.start()
        service.become("stopped")
        await resource.stop()

    asyncio.run(main())
    assert service.called() == ["start", "stop"]


def test_a_stop_waits_for_the_end_of_the_service(service: Service) -> None:
    """One that ends later than its stop command is not called stopped before."""
    service.become("active")
    service.stop = f"(sleep 0.7; echo stopped >{service.state}) >/dev/null 2>&1 &"
    asyncio.run(service.resource().stop())
    assert service.is_now() == "stopped"


def test_a_hanging_monitor_is_a_failure(service: Service) -> None:
    """It does not raise, keeps its limit, and says so; also if there is no such program."""
    service.monitor = "sleep 100"
    reading = asyncio.run(service.resource(SHORT).monitor())
    assert reading.condition is Condition.FAILED
    assert reading.detail.startswith("monitor: no end after 0.")
    absent = CommandResource("svc", Commands(("true",), ("true",), ("/no/monitor",)), SHORT)
    reading = asyncio.run(absent.monitor())
    assert reading == Reading(Condition.FAILED, "monitor: /no/monitor: No such file or directory")


def test_a_hanging_monitor_does_not_use_up_the_limits_of_others(service: Service) -> None:
    """stop() whose monitor hangs raises within its own limit, and the time to kill it.

    One that needs longer to be killed than a short limit leaves does not cost the next stop's time.
    """
    service.become("active")
    service.monitor = "trap '' TERM; sleep 100"
    resource = service.resource(Times(stop_s=1, monitor_s=50))

    async def main() -> None:
        for reason in ("no time is left", "not stopped in time, but failed: monitor: no end"):
            begun_s = time.monotonic()
            with pytest.raises(ResourceError, match=reason):
                await resource.stop()
            assert time.monotonic() - begun_s < 20

    asyncio.run(main())
    assert service.called() == ["stop"]


def test_without_a_monitor_the_stop_command_is_believed(service: Service) -> None:
    """Nobody looks: an earlier agent's service may run, until a stop has ended well."""
    resource = service.resource(monitored=False)

    async def main() -> None:
        assert (await resource.monitor()).condition is Condition.ACTIVE
        await resource.stop()
        assert (await resource.monitor()).condition is Condition.STOPPED
        await resource.start()
        assert (await resource.monitor()).condition is Condition.ACTIVE

    asyncio.run(main())
    service.stop = "exit 1"
    with pytest.raises(ResourceError, match="stop: exit status 1"):
        asyncio.run(service.resource(monitored=False).stop())


def test_commands_know_what_they_are_run_for(tmp_path: Path) -> None:
    """The documented variables arrive, and the operator's own."""
    path = tmp_path / "env"
    commands = Commands(
        start=("sh", "-c", f"env >{path}"), stop=("true",), environment={"PGDATA": "/srv/db"}
    )
    asyncio.run(CommandResource("db", commands, TIMES).start())
    variables = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert variables["HAAGENT_RESOURCE"] == "db"
    assert variables["HAAGENT_ACTION"] == "start"
    assert 0 < float(variables["HAAGENT_LIMIT_S"]) <= 10
    assert variables["PGDATA"] == "/srv/db"


@pytest.mark.parametrize(
    ("script", "position"),
    [
        ("echo 42", 42),
        ("echo noise >&2; echo 0", 0),
        (f"echo {POSITION_MAX}", POSITION_MAX),
        (f"echo {POSITION_MAX + 1}", None),
        ("yes 1 | head -c 100000 | tr -d '\\n'", None),
        ("echo 42; exit 1", None),
        ("echo -1", None),
        ("echo '\u0664\u0662'", None),
        ("echo none", None),
        ("true", None),
        ("echo 42; sleep 100", None),
    ],
)
def test_a_position_is_a_whole_number(script: str, position: int | None) -> None:
    """Anything else, and no answer, is no position; it never raises."""
    commands = Commands(("true",), ("true",), position=("sh", "-c", script))
    assert asyncio.run(CommandResource("db", commands, SHORT).position()) == position


def test_an_unknown_position_is_told_once(tmp_path: Path) -> None:
    """It is asked every second: only the change is news, with the reason, and the way back."""
    path = tmp_path / "position"
    position = ("sh", "-c", f"date >&2; cat {path}")
    resource = CommandResource("db", Commands(("true",), ("true",), position=position), TIMES)

    async def main() -> None:
        for text in ("1", "", None, "no", "2", "3", None):
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
            await resource.position()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(main())
    told = [entry["event"] for entry in logs if entry["event"] != "program.said"]
    unknown, known = "resource.position_unknown", "resource.position_known"
    assert told == [unknown, known, unknown]


def test_no_position_without_a_command(service: Service) -> None:
    """Then nobody can tell."""
    assert asyncio.run(service.resource().position()) is None
