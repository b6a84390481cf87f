# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent watch` in a real terminal of 80 columns and 24 lines, beside a running pair."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hil.agent import Agent, role
from hil.lab import Lab
from hil.machine import Machine
from hil.processes import module
from hil.terminal import Terminal, terminal
from hil.watch import TAKEOVER_LIMIT_S, ready

Roles = tuple[Machine, Machine]
LOOK_S = 20.0
COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
"""Source: ECMA-48, 8.3.117 (SGR): foregrounds and backgrounds; what is bold or dim is no colour."""


@contextmanager
def shell(machine: Machine, folder: Path) -> Iterator[Terminal]:
    """A person's shell on the machine, with a prompt that cannot be mistaken."""
    with terminal(folder, *machine.inside, "env", "PS1=ready> ", "sh", "-i") as window:
        window.wait(lambda seen: "ready>" in seen, LOOK_S, "a prompt")
        yield window


def command() -> str:
    """What is typed."""
    return shlex.join(module("haagent", "watch"))


def test_screen_of_a_healthy_pair(lab: Lab, roles: Roles, tmp_path: Path) -> None:
    """Both nodes, the group, both links with their loss, the fence device and an event: 80x24.

    A switchover is seen on it; q leaves the terminal as it was.
    """
    active, standby = roles
    with shell(active, tmp_path) as window:
        window.type("stty -a > /run/before; echo kept; ", "Enter")
        window.type(command(), "Enter")
        lines = (
            rf"Takeover possible: {standby.name} would take over",
            rf"{active.name} +this node .*web$",
            rf"{standby.name} +alive .* ms ago",
            r"web +active +standby",
            r"lan +eth0 +up +0\.0% +\d+ ms ago",
            r"ring +eth1 +up +0\.0% +\d+ ms ago",
            rf"{standby.name}-bmc +{standby.name} +1 +ready +on",
        )
        # A frame lost on a busy machine counts for the ten seconds that it is shown.
        seen = window.wait(
            lambda s: all(re.search(f"^{line}", s, re.MULTILINE) for line in lines),
            LOOK_S,
            "all of it",
        )
        assert len(seen.splitlines()) <= 24
        assert all(len(line) <= 80 for line in seen.splitlines())
        assert f"watching {active.name}" in seen
        assert "STALE" not in seen
        done = Agent(active).call("switchover")
        assert done.returncode == 0, done.stderr
        window.wait(lambda s: f"web: active on {standby.name}" in s, LOOK_S, "the switchover")
        window.type("q")
        seen = window.wait(lambda s: s.rstrip().endswith("ready>"), LOOK_S, "the prompt again")
        assert "kept" in seen
        assert "watching" not in seen
        window.type("stty -a | cmp - /run/before && echo same", "Enter")
        # A prompt that was drawn twice may stand before it.
        window.wait(
            lambda s: re.search(r"^(ready> )?same$", s, re.MULTILINE) is not None,
            LOOK_S,
            "the same settings",
        )
    ready(lab)


def test_it_outlives_its_agent(lab: Lab, roles: Roles, tmp_path: Path) -> None:
    """While the agent is away it says how old it is; then it goes on. Ctrl-C quits."""
    _, standby = roles
    with shell(standby, tmp_path) as window:
        window.type(command(), "Enter")
        window.wait(lambda s: f": {standby.name} and" in s, LOOK_S, "it")
        standby.signal_agent(signal.SIGUSR1)
        seen = window.wait(lambda s: "STALE" in s, LOOK_S, "that it is stale")
        assert "the agent is not running" in seen
        standby.start_agent()
        window.wait(lambda s: "STALE" not in s, LOOK_S, "it again")
        window.type("C-c")
        seen = window.wait(lambda s: s.rstrip().endswith("ready>"), LOOK_S, "the prompt again")
        assert "Traceback" not in seen
    Agent(standby).wait(lambda s: role(s) == "standby", TAKEOVER_LIMIT_S, "standby")
    ready(lab)


def test_without_colour(lab: Lab, roles: Roles, tmp_path: Path) -> None:
    """NO_COLOR: not one colour is used, and words still say what is wrong."""
    active, standby = roles
    with shell(active, tmp_path) as window:
        window.type(command(), "Enter")
        window.wait(lambda s: f": {active.name} and" in s, LOOK_S, "it")
        assert COLOUR.search(window.screen(escapes=True)), "in colour by itself"
        window.type("q")
        window.wait(lambda s: s.rstrip().endswith("ready>"), LOOK_S, "the prompt again")
        window.type(f"clear; NO_COLOR=1 {command()}", "Enter")
        window.wait(lambda s: f": {active.name} and" in s, LOOK_S, "it")
        lab.network.lose_from(standby.name, "ring")
        seen = window.wait(
            lambda s: re.search(r"^ring +eth1 +degraded", s, re.MULTILINE) is not None,
            LOOK_S,
            "the lost link",
        )
        assert "100.0%" in window.wait(lambda s: "100.0%" in s, LOOK_S, "its loss")
        assert "one-way" in seen
        assert COLOUR.search(window.screen(escapes=True)) is None
        lab.network.heal()


@pytest.mark.parametrize("term", ["dumb", ""])
def test_no_terminal_to_draw_on(roles: Roles, tmp_path: Path, term: str) -> None:
    """A dumb terminal is refused in one line that names `haagent status`."""
    active, _ = roles
    with shell(active, tmp_path) as window:
        window.type(f"clear; TERM={term} {command()}; echo code $?", "Enter")
        seen = window.wait(lambda s: "code 1" in s, LOOK_S, "a refusal")
        assert "`haagent status` needs none" in seen.replace("\n", "")
