# SPDX-License-Identifier: GPL-2.0-or-later
"""OCF resources: what the agent is told, and what of a configuration is judged by it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from ocf_bench import FakeAgent, refused

from haagent.resources import Condition
from haagent.resources.ocf import OcfResource, clashes
from haagent.resources.ocf_codes import UnfitError


@pytest.fixture
def fake(tmp_path: Path) -> FakeAgent:
    """An agent whose service is stopped."""
    return FakeAgent(tmp_path)


def test_environment(fake: FakeAgent) -> None:
    """The contract: what an agent finds, and nothing of ours beside it."""
    resource = fake.resource(limits_s={"start": 12.5}, interval_s=3, check_level=20)
    os.environ["HAAGENT_TEST_LEAK"] = "1"
    try:
        asyncio.run(resource.start())
    finally:
        del os.environ["HAAGENT_TEST_LEAK"]
    start, monitor = fake.environment("start"), fake.environment("monitor")
    tools, state = str(fake.directory / "tools"), str(fake.directory / "state")
    wanted = {
        "OCF_ROOT": str(fake.root),
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": "g.db",
        "OCF_RESOURCE_TYPE": "Fake",
        "OCF_RESOURCE_PROVIDER": "test",
        "OCF_EXIT_REASON_PREFIX": "ocf-exit-reason:",
        "OCF_RESKEY_dir": str(fake.state),
        "OCF_RESKEY_CRM_meta_on_node": "alpha",
        "OCF_RESKEY_CRM_meta_name": "start",
        "OCF_RESKEY_CRM_meta_timeout": "12500",
        "OCF_RESKEY_CRM_meta_interval": "0",
        "OCF_CHECK_LEVEL": "0",
        "HA_RSCTMP": state,
        "HA_SBIN_DIR": tools,
        "HA_LOGFACILITY": "none",
    }
    assert wanted.items() <= start.items()
    assert start["PATH"].split(":")[0] == tools
    assert "HAAGENT_TEST_LEAK" not in start
    assert "OCF_RESKEY_CRM_meta_clone_max" not in start  # By that an agent would be a clone.
    assert "OCF_RESKEY_CRM_meta_promotable" not in start
    assert monitor["OCF_CHECK_LEVEL"] == "20"
    assert monitor["OCF_RESKEY_CRM_meta_interval"] == "3000"
    assert monitor["OCF_RESKEY_CRM_meta_timeout"] == "22000"


def test_parameters_are_not_shown(fake: FakeAgent) -> None:
    """A parameter may be a password: no text of ours repeats it."""
    resource = fake.resource(parameters={"dir": str(fake.state), "colour": "s3cret", "x": "s3cret"})
    assert "s3cret" not in repr(resource._settings)
    assert "s3cret" not in " ".join(asyncio.run(resource.validate()))


@pytest.mark.parametrize("interval_s", [0.0, None])
def test_advice(fake: FakeAgent, interval_s: float | None) -> None:
    """What the configuration leaves open is as the agent advises, by check level and role."""
    plain = fake.resource(interval_s=interval_s)
    deep = fake.resource(check_level=10)
    promoted = fake.resource(promotable=True)

    async def main() -> None:
        for resource in (plain, deep, promoted):
            await resource.prepare()

    assert plain.times.interval_s == (0.0 if interval_s == 0.0 else 10.0)
    asyncio.run(main())
    assert plain.times.interval_s == (0.0 if interval_s == 0.0 else 11.0)
    assert deep.times.interval_s == 12.0
    assert promoted.times.interval_s == 13.0
    assert plain._limits.action_s("stop") == 32.0
    assert deep._limits.action_s("monitor") == 22.0
    # All that a start may need: look, stop, look, start, look.
    assert plain.times.start_s >= 3 * 21 + 31 + 32
    # A service has no longer than its own start for its first answer.
    assert plain.times.answer_s == 31.0
    assert plain.times.stop_s >= 32 + 21


def test_stop_does_not_need_the_metadata(fake: FakeAgent) -> None:
    """A broken meta-data action costs the advice, never the resource."""
    fake.answer_metadata("echo no metadata today")

    async def main() -> None:
        resource = fake.resource()
        await resource.start()
        await resource.stop()
        assert not fake.role
        assert "gives no meta-data" in (await resource.validate())[0]

    asyncio.run(main())


def test_agent_that_is_not_there(fake: FakeAgent) -> None:
    """Words with the nearest name; nothing of it can run, unless it was up before."""
    resource = fake.resource(agent="ocf:test:Fakir")

    async def main() -> None:
        assert "did you mean Fake?" in (await resource.validate())[0]
        assert (await resource.monitor()).condition is Condition.STOPPED
        assert isinstance(await refused(resource.start()), UnfitError)
        await resource.stop()
        up = fake.resource()
        await up.start()
        fake.program.unlink()
        assert (await up.monitor()).condition is Condition.FAILED
        await refused(up.stop())

    asyncio.run(main())


def test_agent_of_others(fake: FakeAgent) -> None:
    """What anybody could have written is not run with root's rights."""
    fake.program.chmod(0o777)
    error = asyncio.run(refused(fake.resource().start()))
    assert "could have been changed by others" in str(error)
    fake.program.chmod(0o644)
    assert "is no program" in str(asyncio.run(refused(fake.resource().start())))


@pytest.mark.parametrize(
    "agent", ["Dummy", "ocf:Dummy", "ocf:../..:x", "ocf:..:ocf", "lsb:a:b", "ocf:a:b:c"]
)
def test_agent_names(fake: FakeAgent, agent: str) -> None:
    """Only the form of a full name is taken, and no path."""
    found = asyncio.run(fake.resource(agent=agent).validate())
    assert found == [f'{agent!r} is not written as "ocf:PROVIDER:TYPE"']


def test_validate(fake: FakeAgent) -> None:
    """Names by the meta-data, values by the agent itself."""

    def found(**settings: Any) -> list[str]:
        return asyncio.run(fake.resource(**settings).validate())

    there = {"dir": str(fake.state)}
    assert found() == []
    assert found(parameters={**there, "trace_ra": "1"}) == []
    assert found(parameters={**there, "color": "blue"}) == [
        "color is unknown; did you mean colour?"
    ]
    assert found(parameters={}) == ["dir is required"]
    fake.do("validate-all", "echo ocf-exit-reason:dir is not mine >&2; exit 6")
    assert found() == ["validate-all ended with 6 (its parameters are wrong): dir is not mine"]
    fake.do("validate-all", "exit 3")
    assert found() == []
    Path(f"{fake.program}.xml").write_text('<resource-agent name="x"/>')
    assert found(parameters={}, promotable=True) == ["ocf:test:Fake cannot be promotable"]


def test_unique_parameters(fake: FakeAgent) -> None:
    """Two resources of one agent may not share what it wants to be unique."""

    async def of(*resources: OcfResource) -> list[str]:
        for resource in resources:
            await resource.prepare()
        return clashes(resources)

    other = fake.resource(name="web", parameters={"dir": "/elsewhere"})
    assert asyncio.run(of(fake.resource(), other)) == []
    same = fake.resource(name="web")
    assert asyncio.run(of(fake.resource(), same)) == ["db and web have the same dir"]
