# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent watch`, driven by textual's own pilot against a real control server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from cli_bench import RECORD, STATUS, CannedAgent, good, status
from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import Static

from haagent.cli.feed import Feed, Happened
from haagent.cli.panels import events
from haagent.cli.screen import Screen

LIMIT_S = 20.0
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def agent(path: Path, **changes: Any) -> CannedAgent:
    """One that answers what `watch` asks."""
    answers = {"status": good(status(**changes)), "history": good([RECORD])}
    return CannedAgent(path, answers)


def tallied(received: int, lost: int) -> dict[str, Any]:
    """The usual status, whose one link has counted so much."""
    link = STATUS["links"][0] | {"received": received, "lost": lost}
    return status(links=[link])


def told(feed: Feed) -> list[str]:
    """The words of its events."""
    return [one.text for one in feed.events]


def test_changes_are_told_once() -> None:
    """Roles of both nodes, the peer's state, and alarms that come and go; nothing else."""
    feed = Feed()
    feed.take(status(), 0.0, NOON)
    feed.take(status(), 1.0, NOON)
    assert told(feed) == ["watching alpha"]
    group = STATUS["groups"][0] | {"role": "standby", "peer_role": "active"}
    alarm = {"code": "late", "text": "this agent was late"}
    feed.take(status(groups=[group], alarms=[alarm]), 2.0, NOON)
    feed.take(status(groups=[group]), 3.0, NOON)
    peer = STATUS["peer_state"] | {"phase": "silent"}
    feed.take(status(groups=[group], peer_state=peer), 4.0, NOON)
    assert told(feed)[1:] == [
        "web: standby on alpha (was active)",
        "web: active on beta (was standby)",
        "ALARM this agent was late",
        "over: this agent was late",
        "beta is silent",
    ]
    assert [one.bad for one in feed.events][-3:] == [True, False, True]


def test_an_agent_that_goes_away_is_told_once() -> None:
    """What was shown stays, with its trouble, until it answers again."""
    feed = Feed()
    feed.miss("nobody answers", NOON)
    feed.miss("nobody answers", NOON)
    assert feed.status is None
    feed.take(status(), 2.0, NOON)
    feed.miss("gone", NOON)
    assert (feed.trouble, feed.answered_s) == ("gone", 2.0)
    assert feed.status == status()
    assert told(feed) == ["nobody answers", "the agent answers again", "gone"]


def test_history_comes_first() -> None:
    """What the agent remembers stands before what is seen; a time that is none is left out."""
    feed = Feed()
    feed.remember([RECORD, RECORD | {"when": "yesterday"}])
    assert told(feed) == [f"failover of web to beta: {RECORD['outcome']}"]
    assert feed.events[0].at == datetime(2026, 11, 22, 3, tzinfo=UTC)


def test_loss_is_of_the_last_seconds() -> None:
    """Lost frames of the window, as a part; unknown before two answers, and after a restart."""
    feed = Feed()
    feed.take(tallied(100, 50), 0.0, NOON)
    assert feed.loss("lan") is None
    feed.take(tallied(190, 60), 5.0, NOON)
    assert feed.loss("lan") == 0.1
    assert feed.loss("other") is None
    feed.take(tallied(290, 60), 14.0, NOON)
    assert feed.loss("lan") == 0.0
    feed.take(tallied(10, 0), 15.0, NOON)
    assert feed.loss("lan") is None


def test_a_silent_link_beside_a_live_one_loses_all() -> None:
    """Losses are counted with the next frame that comes; where none does, the other links tell."""
    feed = Feed()
    for at_s, frames in ((0.0, 10), (5.0, 60)):
        both = [
            STATUS["links"][0] | {"name": "lan", "received": frames, "lost": 0},
            STATUS["links"][0] | {"name": "ring", "received": 10, "lost": 0},
        ]
        feed.take(status(links=both), at_s, NOON)
    assert (feed.loss("lan"), feed.loss("ring")) == (0.0, 1.0)


def piloted(socket: Path, scene: Callable[[Screen, Pilot[None]], Awaitable[None]]) -> Screen:
    """Play a scene on a screen of 80x24."""
    screen = Screen(socket)

    async def main() -> None:
        async with screen.run_test(size=(80, 24)) as pilot:
            async with asyncio.timeout(LIMIT_S):
                await scene(screen, pilot)

    asyncio.run(main())
    return screen


async def until(pilot: Pilot[None], wanted: Callable[[], bool]) -> None:
    """Let the screen work until something holds."""
    while not wanted():
        await pilot.pause(0.05)


def shown(screen: Screen, part: str) -> str:
    """The words that stand in a part of the screen."""
    lines = screen.query_one(part, Static).render_lines(screen.query_one(part).size.region)
    return "\n".join(line.text.rstrip() for line in lines)


def test_pilot_sees_every_part_and_quits(tmp_path: Path) -> None:
    """Within 80x24 stand the verdict, both nodes, group, link, fence device and events; q quits."""

    async def scene(screen: Screen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: screen.feed.status is not None)
        await pilot.pause(1.0)
        assert "Takeover possible: beta would take over from alpha" in shown(screen, "#head")
        body = shown(screen, "#state")
        for words in (
            "alpha  this node",
            "beta   alive",
            "web    active",
            "lan   eth0",
            "beta-bmc",
        ):
            assert words in body, body
        assert "watching alpha" in shown(screen, "#events")
        assert screen.query_one("#keys").region.bottom == 24
        await pilot.press("q")

    with agent(tmp_path / "s"):
        screen = piloted(tmp_path / "s", scene)
    assert screen.return_code == 0


def test_pilot_without_an_agent(tmp_path: Path) -> None:
    """It says that nobody answers, and shows the pair as soon as somebody does; Ctrl-C quits."""

    async def scene(screen: Screen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "not running" in shown(screen, "#head"))
        with agent(tmp_path / "s"):
            await until(pilot, lambda: "shop: alpha and beta" in shown(screen, "#head"))
        await until(pilot, lambda: "STALE" in shown(screen, "#head"))
        await pilot.press("ctrl+c")

    assert piloted(tmp_path / "s", scene).return_code == 0


def test_more_than_a_screen_is_scrolled(tmp_path: Path) -> None:
    """Sixteen groups and as many alarms: head and events keep their places, the rest moves."""
    groups = [STATUS["groups"][0] | {"name": f"g{number}"} for number in range(16)]

    async def scene(screen: Screen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: screen.feed.status is not None)
        await pilot.pause(1.0)
        body = screen.query_one("#body")
        assert body.max_scroll_y > 0
        assert body.region.height + 9 == 24
        await pilot.press("end")
        await until(pilot, lambda: body.scroll_y == body.max_scroll_y)

    with agent(tmp_path / "s", groups=groups):
        piloted(tmp_path / "s", scene)


def test_events_of_another_day_have_their_date() -> None:
    """Yesterday's "03:00:00" must not look like today's."""
    console = Console(width=80, record=True, file=StringIO())
    console.print(events([Happened(NOON - timedelta(days=1), "x"), Happened(NOON, "y")], NOON))
    assert console.export_text().split() == ["11-21", "12:00", "x", "12:00:00", "y"]


def test_the_agent_does_not_load_it() -> None:
    """Textual is large: neither the agent nor a command but `watch` imports it."""
    code = (
        "import sys, haagent.agent, haagent.cli.app;"
        "sys.exit(any(name.partition('.')[0] == 'textual' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
