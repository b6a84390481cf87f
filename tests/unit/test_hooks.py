# SPDX-License-Identifier: GPL-2.0-or-later
"""Hooks, with real commands: in order, bounded, and in nobody's way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from haagent import hooks as hooks_module
from haagent.hooks import Happening, Hook, Hooks, Occasion, variables
from hil.processes import runs

DEADLINE_S = 20.0
EVERY = {
    "HAAGENT_EVENT",
    "HAAGENT_NODE",
    "HAAGENT_PEER",
    "HAAGENT_GROUP",
    "HAAGENT_TERM",
    "HAAGENT_REASON",
    "HAAGENT_DETAIL",
    "HAAGENT_DROPPED",
}


def hook(script: str, timeout_s: float = DEADLINE_S) -> Hook:
    """A shell script as a command."""
    return Hook(("sh", "-c", script), timeout_s)


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait until something holds; fail with `what` after the deadline."""
    end_s = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end_s, f"did not happen: {what}"
        await asyncio.sleep(0.005)


def lines(path: Path) -> list[str]:
    """What the commands wrote."""
    return path.read_text().splitlines() if path.exists() else []


def test_in_order_one_after_another(tmp_path: Path) -> None:
    """Commands run in the order of what happened, also of different kinds, never two at a time."""
    said = tmp_path / "said"
    script = f"echo begin $HAAGENT_EVENT $HAAGENT_DETAIL >> {said}; sleep 0.05; echo end >> {said}"
    happened = [
        Happening(list(Occasion)[number % len(Occasion)], detail=str(number)) for number in range(8)
    ]

    async def main() -> None:
        hooks = Hooks(dict.fromkeys(Occasion, hook(script)), "alpha", "beta")
        for happening in happened:
            hooks.tell(happening)
        await until(lambda: len(lines(said)) == 16, "all commands")
        await hooks.close()

    asyncio.run(main())
    wanted = [f"begin {one.occasion} {one.detail}" for one in happened]
    assert lines(said)[0::2] == wanted
    assert set(lines(said)[1::2]) == {"end"}


def test_environment(tmp_path: Path) -> None:
    """What is documented is set, always, and nothing of the agent's own gets through."""
    said = tmp_path / "said"

    async def main() -> None:
        hooks = Hooks(
            {Occasion.ACTIVE: hook(f"env >> {said}; echo END >> {said}")}, "alpha", "beta"
        )
        hooks.tell(
            Happening(
                Occasion.ACTIVE, "web", 7, "fenced", "beta is off;\n$(reboot) \x00 'ü' \ud800"
            )
        )
        hooks.tell(Happening(Occasion.ACTIVE))
        await until(lambda: lines(said).count("END") == 2, "both commands")
        await hooks.close()

    asyncio.run(main())
    first, second = (block.splitlines() for block in said.read_text().split("END\n")[:2])
    told = dict(line.split("=", 1) for line in first)
    assert told.keys() >= EVERY
    assert told.keys() - EVERY <= {"PATH", "LANG", "PWD", "SHLVL", "_"}
    assert {name: told[name] for name in EVERY} == {
        "HAAGENT_EVENT": "on_active",
        "HAAGENT_NODE": "alpha",
        "HAAGENT_PEER": "beta",
        "HAAGENT_GROUP": "web",
        "HAAGENT_TERM": "7",
        "HAAGENT_REASON": "fenced",
        "HAAGENT_DETAIL": "beta is off; $(reboot)   'ü' ?",
        "HAAGENT_DROPPED": "0",
    }
    assert {"HAAGENT_GROUP=", "HAAGENT_TERM=", "HAAGENT_REASON=", "HAAGENT_DETAIL="} <= set(second)


def test_documented() -> None:
    """The module's page names every variable, and no other."""
    assert hooks_module.__doc__ is not None
    words = {word for word in hooks_module.__doc__.split() if word.startswith("HAAGENT_")}
    assert words == EVERY
    given = variables(Happening(Occasion.ALARM), dropped=0)
    assert given.keys() | {"HAAGENT_NODE", "HAAGENT_PEER"} == EVERY


def test_values_are_bounded() -> None:
    """A detail of any length can be passed to a program."""
    given = variables(Happening(Occasion.ALARM, detail="ä" * 10**6), dropped=3)
    assert given["HAAGENT_DETAIL"] == "ä" * hooks_module.VALUE_CHARACTERS_MAX
    assert given["HAAGENT_DROPPED"] == "3"


def test_a_hook_that_hangs_for_ever_delays_nothing(tmp_path: Path) -> None:
    """While it hangs the loop goes on, telling costs nothing, and its limit ends all of it."""
    pids, said = tmp_path / "pids", tmp_path / "said"
    hangs = f"trap '' TERM; sleep 1000 & echo $$ $! > {pids}; while :; do wait; done"

    async def main() -> None:
        hooks = Hooks(
            {
                Occasion.FENCE: hook(hangs, timeout_s=1.0),
                Occasion.ACTIVE: hook(f"echo ran >> {said}"),
            },
            "alpha",
            "beta",
        )
        hooks.tell(Happening(Occasion.FENCE))
        await until(lambda: bool(lines(pids)), "it to hang")
        hung = [int(pid) for pid in lines(pids)[0].split()]
        beats = 0
        hooks.tell(Happening(Occasion.ACTIVE))  # As a takeover does; it goes on at once.
        while not lines(said):
            assert runs(hung[0]) or beats, "it was to be still there when we went on"
            await asyncio.sleep(0.01)
            beats += 1
        assert beats > 20
        assert not any(runs(pid) for pid in hung)
        await until(lambda: any(e["event"] == "hook.ran" for e in logged), "the other hook's end")
        await hooks.close()

    with capture_logs() as logged:
        asyncio.run(main())
    failed = [entry for entry in logged if entry["event"] == "hook.failed"]
    assert [entry["hook"] for entry in failed] == ["on_fence"]
    assert "no end after 1 s" in failed[0]["reason"]


def test_what_does_not_fit_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded: what is dropped is in the log, and the next command is told."""
    monkeypatch.setattr(hooks_module, "QUEUE_MAX", 3)
    said, gate = tmp_path / "said", tmp_path / "gate"
    script = (
        f"while ! test -e {gate}; do sleep 0.01; done;"
        f" echo $HAAGENT_DETAIL $HAAGENT_DROPPED >> {said}"
    )

    async def main() -> None:
        hooks = Hooks({Occasion.ALARM: hook(script)}, "alpha", "beta")
        hooks.tell(Happening(Occasion.ALARM, detail="0"))
        await asyncio.sleep(0)  # The worker takes it; the queue is empty again.
        for number in range(1, 8):
            hooks.tell(Happening(Occasion.ALARM, detail=str(number)))
        assert hooks.dropped == 4
        gate.touch()
        await until(lambda: len(lines(said)) == 4, "those that fit")
        hooks.tell(Happening(Occasion.ALARM, detail="8"))
        await until(lambda: len(lines(said)) == 5, "one later")
        await hooks.close()

    with capture_logs() as logged:
        asyncio.run(main())
    assert lines(said) == ["0 0", "1 4", "2 0", "3 0", "8 0"]
    dropped = [entry["dropped"] for entry in logged if entry["event"] == "hook.dropped"]
    assert dropped == [1, 2, 3, 4]


def test_failures_stop_nothing(tmp_path: Path) -> None:
    """A command that fails, or does not exist, is in the log; the next one runs."""
    said = tmp_path / "said"

    async def main() -> None:
        hooks = Hooks(
            {
                Occasion.ACTIVE: hook("echo no mail server >&2; exit 3"),
                Occasion.FENCE: Hook(("/nowhere/notify",)),
                Occasion.ALARM: hook(f"echo ran >> {said}"),
            },
            "alpha",
            "beta",
        )
        for occasion in Occasion:  # on_standby has no command: nothing happens.
            hooks.tell(Happening(occasion))
        await until(lambda: bool(lines(said)), "the last one")
        await hooks.close()

    with capture_logs() as logged:
        asyncio.run(main())
    reasons = [entry["reason"] for entry in logged if entry["event"] == "hook.failed"]
    assert reasons[0] == "exit status 3: no mail server"
    assert "/nowhere/notify: No such file" in reasons[1]
    assert len(reasons) == 2


def test_close_ends_what_runs(tmp_path: Path) -> None:
    """The agent ends: the command is killed with its children, the waiting ones are forgotten."""
    pids, said = tmp_path / "pids", tmp_path / "said"

    async def main() -> None:
        await Hooks({}, "alpha", "beta").close()  # With nothing to do, it is harmless.
        hooks = Hooks(
            {
                Occasion.ACTIVE: hook(f"sleep 1000 & echo $$ $! > {pids}; wait"),
                Occasion.ALARM: hook(f"echo ran >> {said}"),
            },
            "alpha",
            "beta",
        )
        hooks.tell(Happening(Occasion.ACTIVE))
        hooks.tell(Happening(Occasion.ALARM))
        await until(lambda: bool(lines(pids)), "the first one")
        hung = [int(pid) for pid in lines(pids)[0].split()]
        await hooks.close()
        await hooks.close()
        assert not any(runs(pid) for pid in hung)
        hooks.tell(Happening(Occasion.ALARM))
        await asyncio.sleep(0.2)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with capture_logs() as logged:
        asyncio.run(main())
    assert lines(said) == []
    assert [entry["waiting"] for entry in logged if entry["event"] == "hook.forgotten"] == [1]


def test_reconfigured_while_events_wait(tmp_path: Path) -> None:
    """What waits gets the new command of its kind, or none if there is none any more."""
    said = tmp_path / "said"

    async def main() -> None:
        hooks = Hooks({Occasion.ACTIVE: hook("sleep 0.2")}, "alpha", "beta")
        for _ in range(2):
            hooks.tell(Happening(Occasion.ACTIVE))
        hooks.reconfigure({Occasion.FENCE: hook(f"echo fenced >> {said}")})
        hooks.tell(Happening(Occasion.FENCE))
        await until(lambda: lines(said) == ["fenced"], "the new command")
        await hooks.close()

    asyncio.run(main())
