# SPDX-License-Identifier: GPL-2.0-or-later
"""From the status to the receivers, across restarts of the agent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from haagent.alerts import Receiver, Severity
from haagent.alerts import courier as courier_module
from haagent.alerts import desk as desk_module
from haagent.alerts.desk import Desk
from haagent.alerts.notice import Sender, Subject
from haagent.resources.process import GRACE_S

LIMIT_S = 20.0
ALARM = {"code": "link_lan", "text": "link lan: no carrier"}


class Scene:
    """A receiver that writes down what it is told, and a status to change."""

    def __init__(self, folder: Path, script: str = "", severity: Severity = Severity.INFO) -> None:
        self.said = folder / "said"
        command = ("/bin/sh", "-c", f'{script}echo "$HAAGENT_STATE $HAAGENT_CODE" >> {self.said}')
        self.receivers = [Receiver("mail", command, severity, after_s=0.0)]
        self.file = folder / "alerts.json"
        self.alarms: list[dict[str, str]] = []

    def status(self) -> dict[str, Any]:
        """What the agent would say."""
        return {"alarms": self.alarms, "takeover": {"reasons": []}}

    def desk(self) -> Desk:
        """As a new agent makes it."""
        loop = asyncio.get_running_loop()

        def write(work: Callable[[], None]) -> asyncio.Future[None]:
            return loop.run_in_executor(None, work)

        return Desk(self.receivers, Sender("shop", "alpha", "beta"), self.file, write)

    @property
    def told(self) -> list[str]:
        """What was delivered so far."""
        return self.said.read_text().splitlines() if self.said.exists() else []

    async def until_told(self, *lines: str) -> None:
        """Wait until exactly these were delivered, and noted down."""
        end_s = time.monotonic() + LIMIT_S
        while self.told != list(lines):
            assert time.monotonic() < end_s, self.told
            await asyncio.sleep(0.005)

    async def until_kept(self, *codes: str) -> None:
        """Wait until the file has these as raised."""
        end_s = time.monotonic() + LIMIT_S
        while (kept := self._kept()) != list(codes):
            assert time.monotonic() < end_s, kept
            await asyncio.sleep(0.005)

    def _kept(self) -> list[str]:
        if not self.file.exists():
            return []
        return [row[0] for row in json.loads(self.file.read_text())["mail"]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks as often as a test can wait for."""
    monkeypatch.setattr(desk_module, "LOOK_S", 0.01)
    monkeypatch.setattr(courier_module, "RETRY_S", (0.01,))


def test_raised_once_and_cleared_once_across_restarts(tmp_path: Path) -> None:
    """The next agent does not raise it again, and clears it when it is over."""
    scene = Scene(tmp_path)

    async def first() -> None:
        desk = scene.desk()
        desk.open(scene.status)
        scene.alarms = [ALARM]
        await scene.until_told("raised link_lan")
        await scene.until_kept("link_lan")
        await desk.close()

    async def second() -> None:
        desk = scene.desk()
        desk.open(scene.status)
        await asyncio.sleep(0.2)  # nothing is to happen: no event to wait for
        assert scene.told == ["raised link_lan"]
        scene.alarms = []
        await scene.until_told("raised link_lan", "cleared link_lan")
        await scene.until_kept()
        await desk.close()

    asyncio.run(first())
    asyncio.run(second())


def test_what_was_not_delivered_is_raised_by_the_next_agent(tmp_path: Path) -> None:
    """A receiver that was dead when the agent ended still hears of what stands."""
    gate = tmp_path / "gate"
    scene = Scene(tmp_path, f"test -e {gate} || exit 1; ")
    scene.alarms = [ALARM]

    async def first() -> None:
        desk = scene.desk()
        desk.open(scene.status)
        end_s = time.monotonic() + LIMIT_S
        while not desk.undelivered:
            assert time.monotonic() < end_s
            await asyncio.sleep(0.005)
        assert desk.undelivered == {"mail": "exit status 1"}
        await desk.close()

    async def second() -> None:
        desk = scene.desk()
        desk.open(scene.status)
        await scene.until_told("raised link_lan")
        await desk.close()

    asyncio.run(first())
    gate.touch()
    asyncio.run(second())


def test_events_are_told_by_their_severity(tmp_path: Path) -> None:
    """Who wants warnings hears of no switchover."""
    scene = Scene(tmp_path, severity=Severity.WARNING)

    async def main() -> None:
        desk = scene.desk()
        desk.open(scene.status)
        desk.happened(Subject("switchover", Severity.INFO, "moved"))
        desk.happened(Subject("failover", Severity.WARNING, "taken over"))
        await scene.until_told("happened failover")
        await desk.close()

    asyncio.run(main())


def test_its_own_failure_is_told_to_others_only(tmp_path: Path) -> None:
    """A receiver that cannot be reached is not told so when it is back."""
    scene = Scene(tmp_path)
    scene.alarms = [{"code": "alert_mail", "text": "does not get through"}, ALARM]

    async def main() -> None:
        desk = scene.desk()
        desk.open(scene.status)
        await scene.until_told("raised link_lan")
        await desk.close()

    asyncio.run(main())


@pytest.mark.parametrize("text", ["", "[]", '{"mail": 1}', '{"mail": [["a", "LOUD", "b"]]}'])
def test_a_file_that_is_broken_is_no_file(tmp_path: Path, text: str) -> None:
    """A power cut in the middle of it keeps no agent from its start."""
    scene = Scene(tmp_path)
    scene.file.write_text(text)
    scene.alarms = [ALARM]

    async def main() -> None:
        desk = scene.desk()
        desk.open(scene.status)
        await scene.until_told("raised link_lan")
        await desk.close()

    asyncio.run(main())


def test_nobody_to_tell_costs_nothing(tmp_path: Path) -> None:
    """Without [[alert]] there is no task, and no status is made."""
    scene = Scene(tmp_path)
    scene.receivers = []

    async def main() -> None:
        desk = scene.desk()
        desk.open(scene.status)
        desk.happened(Subject("failover", Severity.CRITICAL, "taken over"))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await desk.close()

    asyncio.run(main())


def test_another_configuration(tmp_path: Path) -> None:
    """Who stays knows what it was told, who is new is told of it, who is gone of nothing."""
    scene = Scene(tmp_path)
    scene.alarms = [ALARM]
    other = tmp_path / "other"
    new = Receiver("new", ("/bin/sh", "-c", f"echo $HAAGENT_CODE >> {other}"), after_s=0.0)

    async def main() -> None:
        desk = scene.desk()
        mail = scene.receivers[0]
        desk.open(scene.status)
        await scene.until_told("raised link_lan")
        desk.reconfigure([mail, new])
        end_s = time.monotonic() + LIMIT_S
        while not (other.exists() and other.read_text() == "link_lan\n"):
            assert time.monotonic() < end_s
            await asyncio.sleep(0.005)
        desk.reconfigure([new])
        desk.happened(Subject("failover", Severity.CRITICAL, "taken over"))
        while other.read_text() != "link_lan\nfailover\n":
            assert time.monotonic() < end_s
            await asyncio.sleep(0.005)
        assert list(desk.couriers) == ["new"]
        desk.reconfigure([replace(mail, timeout_s=9.0)])
        while desk.couriers["mail"].delivered == 0:
            assert time.monotonic() < end_s
            await asyncio.sleep(0.005)
        assert scene.told == ["raised link_lan", "raised link_lan"]
        desk.reconfigure([replace(mail, timeout_s=8.0)])
        await asyncio.sleep(0.2)  # nothing is to happen: no event to wait for
        scene.alarms = []
        await scene.until_told("raised link_lan", "raised link_lan", "cleared link_lan")
        await desk.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_the_first_receiver_may_come_later(tmp_path: Path) -> None:
    """An agent that had nobody to tell begins to look when there is somebody."""
    scene = Scene(tmp_path)
    scene.alarms = [ALARM]
    receivers, scene.receivers = scene.receivers, []

    async def main() -> None:
        desk = scene.desk()
        desk.open(scene.status)
        desk.reconfigure(receivers)
        await scene.until_told("raised link_lan")
        await desk.close()

    asyncio.run(main())


def test_receivers_that_hang_are_ended_at_once(tmp_path: Path) -> None:
    """An agent that restarts does not wait for one after the other."""
    scene = Scene(tmp_path)
    script = f"trap '' TERM; echo up >> {scene.said}; while :; do sleep 0.1; done"
    command = ("/bin/sh", "-c", script)
    scene.receivers = [Receiver(name, command) for name in ("one", "two", "three")]

    async def main() -> float:
        desk = scene.desk()
        desk.open(scene.status)
        desk.happened(Subject("failover", Severity.CRITICAL, "taken over"))
        await scene.until_told("up", "up", "up")
        began_s = time.monotonic()
        await desk.close()
        return time.monotonic() - began_s

    assert asyncio.run(main()) < 2 * GRACE_S
