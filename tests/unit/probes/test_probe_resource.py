# SPDX-License-Identifier: GPL-2.0-or-later
"""Probes among resources, with a service that a test speaks for and a clock that it moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from vip.netns import in_time, until

from haagent.probes import Answer
from haagent.probes.resource import ProbedResource, ProbeResource
from haagent.resources import Condition, Reading, Resource, ResourceError, Times
from haagent.resources.group import GroupRunner
from haagent.resources.health import Policy

TIMES = Times(start_s=30.0, interval_s=0.02)
NO = Answer(ok=False, detail="refused")
YES = Answer(ok=True, detail="status 200")
WAITS = Reading(Condition.ACTIVE, "has not answered yet: refused")


@dataclass
class Service:
    """A probe of a service, the time, and how often it was asked."""

    answer: Answer = NO
    now_ns: int = 10**9
    asked: int = 0

    async def answers(self) -> Answer:
        """As a probe."""
        self.asked += 1
        return self.answer

    def clock_ns(self) -> int:
        """As the monotonic clock."""
        return self.now_ns


@dataclass
class Program:
    """A resource that does what it is told, at once."""

    name: str = "web"
    times: Times = TIMES
    condition: Condition = Condition.STOPPED
    calls: list[str] = field(default_factory=list)

    async def start(self) -> None:
        """As a resource."""
        self.calls.append("start")
        self.condition = Condition.ACTIVE

    async def stop(self) -> None:
        """As a resource."""
        self.calls.append("stop")
        self.condition = Condition.STOPPED

    async def monitor(self) -> Reading:
        """As a resource."""
        return Reading(self.condition, "its own word")

    async def retire(self) -> None:
        """As a resource."""
        self.calls.append("retire")

    async def close(self) -> None:
        """As a resource."""
        self.calls.append("close")


def both(service: Service) -> tuple[ProbedResource, ProbeResource]:
    """One of each kind over the same service."""
    alone = ProbeResource("web", service, TIMES, service.clock_ns)
    return ProbedResource(Program(), service, service.clock_ns), alone


@pytest.mark.parametrize("kind", [0, 1], ids=["probed", "alone"])
def test_the_peers_service_is_not_ours(kind: int) -> None:
    """Before start and after stop it is STOPPED, although the service answers: from the peer."""

    async def main() -> None:
        service = Service(YES)
        resource: Resource = both(service)[kind]
        assert (resource.name, resource.times) == ("web", TIMES)
        assert (await resource.monitor()).condition is Condition.STOPPED
        await resource.start()
        assert await resource.monitor() == Reading(Condition.ACTIVE, "status 200")
        await resource.stop()
        assert (await resource.monitor()).condition is Condition.STOPPED
        assert service.asked == 1

    asyncio.run(main())


@pytest.mark.parametrize("kind", [0, 1], ids=["probed", "alone"])
def test_patience_until_the_first_answer(kind: int) -> None:
    """A service may take start_s to answer; after its first answer every failure is one."""

    async def main() -> None:
        service = Service()
        resource: Resource = both(service)[kind]
        await resource.start()
        service.now_ns += 29 * 10**9
        assert await resource.monitor() == WAITS
        service.now_ns += 10**9
        assert await resource.monitor() == Reading(Condition.FAILED, "refused")
        await resource.start()
        assert await resource.monitor() == WAITS
        service.answer = YES
        assert await resource.monitor() == Reading(Condition.ACTIVE, "status 200")
        service.answer = NO
        assert await resource.monitor() == Reading(Condition.FAILED, "refused")

    asyncio.run(main())


def test_the_patience_may_be_shorter_than_a_start() -> None:
    """Of an OCF agent start_s is the sum of all that a start may do; as it is when it has begun."""

    async def main() -> None:
        service, program = Service(), Program()
        probed = ProbedResource(program, service, service.clock_ns)
        program.times = Times(start_s=200.0, answer_s=60.0)
        await probed.start()
        service.now_ns += 59 * 10**9
        assert await probed.monitor() == WAITS
        service.now_ns += 10**9
        assert await probed.monitor() == Reading(Condition.FAILED, "refused")

    asyncio.run(main())


def test_taken_up_there_is_no_patience() -> None:
    """A service that ran before our restart has answered before."""

    async def main() -> None:
        service = Service()
        probed = ProbedResource(Program(condition=Condition.ACTIVE), service, service.clock_ns)
        assert await probed.monitor() == Reading(Condition.FAILED, "refused")

    asyncio.run(main())


def test_the_resource_has_the_first_word() -> None:
    """A service that answers does not make good a resource that is broken, or starts badly."""

    class Broken(Program):
        async def start(self) -> None:
            raise ResourceError("no such disk")

    async def main() -> None:
        probed = ProbedResource(Program(condition=Condition.FAILED), Service(YES))
        assert await probed.monitor() == Reading(Condition.FAILED, "its own word")
        broken = ProbedResource(Broken(), Service(YES))
        with pytest.raises(ResourceError, match="no such disk"):
            await broken.start()

    asyncio.run(main())


def test_everything_else_is_the_resources() -> None:
    """Retire and close reach it."""

    async def main() -> None:
        program = Program()
        probed = ProbedResource(program, Service())
        await probed.retire()
        await probed.close()
        assert program.calls == ["retire", "close"]

    asyncio.run(main())


def test_a_failed_probe_restarts_the_service() -> None:
    """Under the group's runner: failures in a row restart the service, then all is lost."""

    async def main() -> None:
        lost = asyncio.get_running_loop().create_future()
        service, program = Service(YES), Program()
        probed = ProbedResource(program, service, service.clock_ns)
        policy = Policy(failures=2, restarts=1)
        runner = GroupRunner([probed], policy, lost.set_result, lambda *_: None)
        await runner.start()
        await until(lambda: service.asked > 0, "the first question")
        service.answer = NO
        await until(lambda: program.calls == ["start", "stop", "start"], "the restart")
        service.now_ns += 30 * 10**9
        assert "refused" in await in_time(lost)
        await runner.stop()
        assert program.calls == ["start", "stop", "start", "stop"]

    asyncio.run(main())
