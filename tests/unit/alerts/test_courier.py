# SPDX-License-Identifier: GPL-2.0-or-later
"""Notices are delivered in order, again and again if need be, and never without bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from haagent.alerts import Receiver, Severity
from haagent.alerts import courier as courier_module
from haagent.alerts import notice as notice_module
from haagent.alerts.courier import Courier
from haagent.alerts.notice import Kind, Notice, Sender, Subject, variables

LIMIT_S = 20.0
SENDER = Sender("shop", "alpha", "beta")


def notice(number: int, kind: Kind = Kind.RAISED) -> Notice:
    """One of many."""
    return Notice(kind, Subject(f"code{number}", Severity.WARNING, f"number {number}"), "now")


def receiver(script: str, timeout_s: float = LIMIT_S) -> Receiver:
    """A shell script as a receiver."""
    return Receiver("mail", ("/bin/sh", "-c", script), timeout_s=timeout_s)


async def until(true: Callable[[], bool], what: str) -> int:
    """Wait until something holds, looking every 5 ms: how often; fail with `what` at the limit."""
    end_s, looks = time.monotonic() + LIMIT_S, 0
    while not true():
        assert time.monotonic() < end_s, f"did not happen: {what}"
        await asyncio.sleep(0.005)
        looks += 1
    return looks


def lines(path: Path) -> list[str]:
    """What the commands wrote."""
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(courier_module, "RETRY_S", (0.01, 0.02))


def test_documented() -> None:
    """The module's page names every variable, and no other."""
    assert notice_module.__doc__ is not None
    words = {word for word in notice_module.__doc__.split() if word.startswith("HAAGENT_")}
    assert words == set(variables(notice(1), SENDER, "mail", 0))


def test_values_are_single_bounded_lines() -> None:
    """Whatever a device said."""
    told = Notice(Kind.RAISED, Subject("a", Severity.INFO, "x\n\0y" + "z" * 10**5), "now")
    given = variables(told, SENDER, "mail", 0)
    assert given["HAAGENT_DETAIL"].startswith("x  yz")
    assert len(given["HAAGENT_DETAIL"]) == notice_module.VALUE_CHARACTERS_MAX


def test_delivered_in_order(tmp_path: Path) -> None:
    """Each once, and whoever asked is told of it."""
    said = tmp_path / "said"
    through: list[Notice] = []

    async def main() -> None:
        courier = Courier(
            receiver(f'echo "$HAAGENT_STATE $HAAGENT_KEY $HAAGENT_TEXT" >> {said}'),
            SENDER,
            through.append,
        )
        told = [notice(1), notice(2), notice(1, Kind.CLEARED)]
        for one in told:
            courier.tell(one)
        await until(lambda: len(through) == 3, "all")
        assert through == told
        assert (courier.delivered, courier.failed, courier.dropped) == (3, 0, 0)
        await courier.close()

    asyncio.run(main())
    assert lines(said) == [
        "raised shop/alpha/code1 shop alpha: raised (warning): number 1",
        "raised shop/alpha/code2 shop alpha: raised (warning): number 2",
        "cleared shop/alpha/code1 shop alpha: cleared (warning): number 1",
    ]


def test_tried_again_until_it_gets_through(tmp_path: Path) -> None:
    """A receiver that is back gets everything that waited; the trouble was logged once."""
    said, gate = tmp_path / "said", tmp_path / "gate"
    script = f"test -e {gate} || {{ echo away >&2; exit 1; }}; echo $HAAGENT_CODE >> {said}"

    async def main() -> None:
        courier = Courier(receiver(script), SENDER, lambda _: None)
        courier.tell(notice(1))
        courier.tell(notice(2))
        await until(lambda: courier.failed >= 3, "some tries")
        assert courier.trouble == "exit status 1: away"
        gate.touch()
        await until(lambda: courier.delivered == 2, "both")
        assert courier.trouble == ""
        await courier.close()

    with capture_logs() as logged:
        asyncio.run(main())
    assert lines(said) == ["code1", "code2"]
    assert len([entry for entry in logged if entry["event"] == "alert.failed"]) == 1


def test_a_full_queue_drops_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is newest matters most; what was dropped is counted, logged, and told."""
    monkeypatch.setattr(courier_module, "QUEUE_MAX", 3)
    said, gate = tmp_path / "said", tmp_path / "gate"
    script = f"test -e {gate} || exit 1; echo $HAAGENT_CODE $HAAGENT_DROPPED >> {said}"

    async def main() -> None:
        courier = Courier(receiver(script), SENDER, lambda _: None)
        for number in range(6):
            courier.tell(notice(number))
        assert (courier.waiting, courier.dropped) == (3, 3)
        gate.touch()
        await until(lambda: courier.delivered == 3, "those that fit")
        await courier.close()

    with capture_logs() as logged:
        asyncio.run(main())
    assert [line.split()[0] for line in lines(said)] == ["code0", "code4", "code5"]
    assert sum(int(line.split()[1]) for line in lines(said)) == 3
    dropped = [entry["code"] for entry in logged if entry["event"] == "alert.dropped"]
    assert dropped == ["code1", "code2", "code3"]


@pytest.mark.parametrize(
    ("script", "give_up_s"), [("exit 65", 1000.0), ("exit 1", 0.0)], ids=["refused", "too late"]
)
def test_given_up(monkeypatch: pytest.MonkeyPatch, script: str, give_up_s: float) -> None:
    """What is refused for good, or was tried for too long, makes way; it is counted."""
    monkeypatch.setattr(courier_module, "GIVE_UP_S", give_up_s)

    async def main() -> None:
        courier = Courier(receiver(script), SENDER, lambda _: None)
        courier.tell(notice(1))
        await until(lambda: courier.dropped == 1, "given up")
        assert (courier.failed, courier.delivered) == (1, 0)
        await courier.close()

    with capture_logs() as logged:
        asyncio.run(main())
    assert "alert.dropped" in {entry["event"] for entry in logged}


def test_a_receiver_that_hangs_delays_nothing(tmp_path: Path) -> None:
    """It is killed at its limit; the loop goes on while it runs, and while it will not end."""
    pid, told = tmp_path / "pid", tmp_path / "told"
    script = f"trap 'echo > {told}' TERM; echo $$ > {pid}; while :; do sleep 0.1; done"

    async def main() -> None:
        courier = Courier(receiver(script, timeout_s=3.0), SENDER, lambda _: None)
        courier.tell(notice(1))
        await until(pid.exists, "its start")
        assert await until(told.exists, "what asks it to end") > 100
        assert await until(lambda: courier.failed == 1, "its end") > 100
        assert "no end after 3 s" in courier.trouble
        await courier.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
