# SPDX-License-Identifier: GPL-2.0-or-later
"""Promotable OCF resources: two roles, notifications, and the score as data position."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ocf_bench import FakeAgent, refused

from haagent.resources import Condition, Reading

STANDBY = Reading(Condition.STANDBY)
ACTIVE = Reading(Condition.ACTIVE)


@pytest.fixture
def fake(tmp_path: Path) -> FakeAgent:
    """An agent whose service is stopped."""
    return FakeAgent(tmp_path)


def actions(fake: FakeAgent) -> list[str]:
    """What was asked of the agent, monitors and notifications left out."""
    words = [call.split()[0] for call in fake.calls()]
    return [word for word in words if word not in ("monitor", "notify")]


def test_roles(fake: FakeAgent) -> None:
    """start() promotes, stop() leaves it running unpromoted, retire() stops it."""
    resource = fake.resource(promotable=True)

    async def main() -> None:
        await resource.start()
        assert actions(fake) == ["start", "promote"]
        assert await resource.monitor() == ACTIVE
        await resource.stop()
        assert actions(fake) == ["demote"]
        assert await resource.monitor() == STANDBY
        await resource.stop()
        await resource.start()
        assert actions(fake) == ["promote"]
        await resource.retire()
        assert actions(fake) == ["demote", "stop"]
        assert not fake.role
        await resource.retire()
        assert actions(fake) == []

    asyncio.run(main())


@pytest.mark.parametrize("role", ["", "unpromoted", "promoted"])
def test_standing_by_from_any_role(fake: FakeAgent, role: str) -> None:
    """Started or demoted as need be; what stands by already is left alone."""
    if role:
        fake.become(role)
    resource = fake.resource(promotable=True)
    asyncio.run(resource.stand_by())
    assert fake.role == "unpromoted"
    expected = {"": ["start"], "unpromoted": [], "promoted": ["demote"]}
    assert actions(fake) == expected[role]


def test_standing_by_is_seen_not_believed(fake: FakeAgent) -> None:
    """A start that ends with 0 and brings up nothing is an error."""
    fake.do("start", "exit 0")
    error = asyncio.run(refused(fake.resource(promotable=True).stand_by()))
    assert "is to stand by, but is stopped" in str(error)


def test_retire_from_standby(fake: FakeAgent) -> None:
    """What an earlier agent left unpromoted is found and stopped."""
    fake.become("unpromoted")
    resource = fake.resource(promotable=True)
    asyncio.run(resource.retire())
    assert actions(fake) == ["stop"]
    assert not fake.role


def test_demote_that_fails(fake: FakeAgent) -> None:
    """Then it is stopped altogether: that is harmless as well."""
    fake.do("demote", "exit 1")
    resource = fake.resource(promotable=True)

    async def main() -> None:
        await resource.start()
        await resource.stop()
        assert not fake.role

    asyncio.run(main())


@pytest.mark.parametrize("lie", ["exit 0", "exit 1", "sleep 600"])
def test_demote_and_stop_that_fail(fake: FakeAgent, lie: str) -> None:
    """S7: what is still promoted is not given back."""
    fake.do("demote", lie)
    fake.do("stop", "exit 0")
    resource = fake.resource(promotable=True, limits_s={"demote": 0.5})

    async def main() -> None:
        await resource.start()
        await refused(resource.stop())
        assert fake.role == "promoted"

    asyncio.run(main())


def test_promote_that_lies(fake: FakeAgent) -> None:
    """Running unpromoted is not serving."""
    fake.do("promote", "exit 0")
    error = asyncio.run(refused(fake.resource(promotable=True).start()))
    assert "it was started, but is standby" in str(error)


def test_failed_promoted_is_demoted_before_it_is_stopped(fake: FakeAgent) -> None:
    """Agents refuse to stop what is promoted."""
    fake.become("promoted")
    fake.do("monitor", '[ "$(cat $d/role 2>&1)" = promoted ] && exit 9')
    fake.do("stop", '[ "$(cat $d/role)" = promoted ] && exit 8')
    fake.do("promote", 'rm "$d/do.monitor"')
    resource = fake.resource(promotable=True)
    asyncio.run(resource.start())
    assert actions(fake) == ["demote", "stop", "start", "promote"]
    assert fake.role == "promoted"


def test_degraded_roles(fake: FakeAgent) -> None:
    """190 is the unpromoted, 191 the promoted role, both with less than they should have."""
    resource = fake.resource(promotable=True)
    fake.do("monitor", "exit 190")
    assert asyncio.run(resource.monitor()).condition is Condition.STANDBY
    fake.do("monitor", "exit 191")
    assert asyncio.run(resource.monitor()).condition is Condition.ACTIVE


def test_notifications(fake: FakeAgent) -> None:
    """Before and after, as long as it runs; the lists tell what was before."""
    resource = fake.resource(promotable=True)
    meta = "OCF_RESKEY_CRM_meta_notify_"

    async def main() -> None:
        await resource.start()
        told = fake.environment("notify")
        assert told[f"{meta}promote_resource"] == "g.db:0"
        assert told[f"{meta}promote_uname"] == "alpha"
        assert told[f"{meta}unpromoted_uname"] == told[f"{meta}slave_uname"] == "alpha"
        assert told[f"{meta}active_uname"] == "alpha"
        assert told[f"{meta}promoted_uname"] == told[f"{meta}demote_uname"] == ""
        await resource.retire()
        told = fake.environment("notify")
        assert told[f"{meta}stop_uname"] == "alpha"
        assert told[f"{meta}inactive_resource"] == ""

    asyncio.run(main())
    wanted = ["post start", "pre promote", "post promote", "pre demote", "post demote", "pre stop"]
    assert fake.notifications() == wanted


def test_notification_cannot_fail(fake: FakeAgent) -> None:
    """Its end means nothing, not even a limit that it overran."""
    fake.do("notify", "sleep 600")
    resource = fake.resource(promotable=True, limits_s={"notify": 0.1})
    asyncio.run(resource.start())
    assert fake.role == "promoted"


def test_no_notifications_without_roles(fake: FakeAgent) -> None:
    """A resource that is not promotable is told nothing."""
    asyncio.run(fake.resource().start())
    assert not (fake.state / "notified").exists()


def test_clone(fake: FakeAgent) -> None:
    """By old names and new ones an agent finds that it is promotable, once in a pair."""
    asyncio.run(fake.resource(promotable=True).start())
    found = fake.environment("promote")
    meta = "OCF_RESKEY_CRM_meta_"
    assert found[f"{meta}promotable"] == "true"
    assert (found[f"{meta}clone_max"], found[f"{meta}clone"]) == ("2", "0")
    assert found[f"{meta}master_max"] == found[f"{meta}promoted_max"] == "1"


@pytest.mark.parametrize(
    ("score", "position"), [("17", 17), ("INFINITY", 1_000_000), ("-INFINITY", 0), ("-3", 0)]
)
def test_score_is_the_position(fake: FakeAgent, score: str, position: int) -> None:
    """What the agent says by crm_master; a negative score is the oldest data."""
    resource = fake.resource(promotable=True)
    fake.do("start", f'crm_master -Q -l reboot -v {score} || echo "$?" >"$d/trouble"')
    fake.do("stop", '"$HA_SBIN_DIR/crm_attribute" -p -D')

    async def main() -> None:
        assert await resource.position() is None
        await resource.start()
        assert await resource.position() == position
        restarted = fake.resource(promotable=True)
        assert await restarted.position() is None, "not seen to run: a score of another day"
        await restarted.monitor()
        assert await restarted.position() == position
        role = fake.role
        (fake.state / "role").unlink()
        await restarted.monitor()
        assert await restarted.position() is None
        fake.become(role)
        assert await fake.resource(name="other").position() is None
        await resource.retire()
        assert await resource.position() is None

    asyncio.run(main())
    assert not (fake.state / "trouble").exists()
