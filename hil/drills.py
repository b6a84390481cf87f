# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills on the bench, run as an operator runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hil.agent import Agent
from hil.groups import WEB
from hil.network import VIP
from hil.node_init import SERVICE_PORT
from hil.pair import CLIENT, Options
from hil.processes import end, module, spawn
from hil.record import NotSeenError
from hil.watch import ready

if TYPE_CHECKING:
    from hil.lab import Lab
    from hil.machine import Machine

WITNESS, WITNESS_ADDRESS = "client", CLIENT[0].addresses[0].partition("/")[0]
SAID_LIMIT_S = 60.0
FAULTLESS_LIMIT_S = 90.0
"""For an agent that was killed to be back, and a drill that was killed to be forgotten (6 s)."""
READ_S = 5.0
"""A device is ready, and not read a moment ago, while its worker is held up."""
DRILLS = Options(
    timing={"max_fences": 100, "fence_retry": "1s"},
    check_every="1s",
    tables=f"""
[[group]]
name = "web"
preferred = "alpha"
max_moves = 100
[[group.vip]]
address = "{VIP}/24"
""",
    drill='stable_for = "0s"\nrest = "0s"\ncrash = "freeze"\nreturn_budget = "60s"',
    more=f"""
[[witness]]
kind = "reference"
name = "{WITNESS}"
address = "{WITNESS_ADDRESS}"
""",
)
"""A pair that may be drilled as often as there are tests."""

RESTARTED = replace(
    DRILLS,
    restarts=True,
    probe=True,
    timing={**DRILLS.timing, "serving_grace": "30s"},
    tables=f"""
[[group]]
name = "web"
preferred = "alpha"
max_moves = 100
probe = {{ tcp = "{VIP}:{SERVICE_PORT}" }}
[[group.vip]]
address = "{VIP}/24"
""",
)
"""The same with a supervisor for the agents, and a service that is asked too."""


WITH_NGINX = replace(WEB, drill=DRILLS.drill)
"""A group with a real service, a probe, and a data position."""


def drill_command(lab: Lab, machine: Machine, kind: str, *options: str) -> list[str]:
    """The command line that runs a drill on a machine."""
    where = ("--config", str(lab.configuration), "--node", machine.name)
    verb = [kind] if kind == "chaos" else ["run", kind]
    return module("haagent", "drill", *verb, "--json", *where, *options)


def drilled(lab: Lab, machine: Machine, kind: str, *options: str) -> dict[str, Any]:
    """Run a drill to its end and return its record."""
    with RunningDrill(lab, machine, kind, *options) as drill:
        return drill.record()


class RunningDrill:
    """A drill under way, which somebody watches."""

    def __init__(self, lab: Lab, machine: Machine, kind: str, *options: str) -> None:
        """Start it."""
        self._machine = machine
        self._process = spawn(
            [*machine.inside, *drill_command(lab, machine, kind, *options)],
            stderr=subprocess.PIPE,
        )
        self._said: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
        print(*self._said, sep="", end="")  # noqa: T201  # for pytest, should the test fail

    def wait_said(self, text: str) -> None:
        """Return once it has said that.

        Raises:
            NotSeenError: It did not.
        """
        end_s = time.monotonic() + SAID_LIMIT_S
        with self._more:
            while not any(text in line for line in self._said):
                if time.monotonic() > end_s:
                    raise NotSeenError(f"the drill did not say {text!r}: {self._said}")
                self._more.wait(1)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the drill itself."""
        os.kill(running(self._machine, "drill"), number)

    def typed(self, line: str) -> dict[str, Any]:
        """Type a line, and wait for the end as `record` does."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.close()
        return self.record()

    def record(self) -> dict[str, Any]:
        """Wait for its end; what it printed."""
        assert self._process.stdout is not None
        output = self._process.stdout.read()
        self._process.wait()
        assert output, f"no record: {self._said}"
        record: dict[str, Any] = json.loads(output)
        record["exit"] = self._process.returncode
        return record

    def wait_end(self) -> None:
        """Wait for its end, however it ends."""
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._more:
                self._said.append(line)
                self._more.notify_all()


def running(machine: Machine, verb: str) -> int:
    """The process of a machine that runs that command of haagent, as numbered outside.

    Raises:
        NotSeenError: There is none.
    """
    for pid in machine.processes():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[1:4] == [b"-m", b"haagent", verb.encode()]:
                return pid
    raise NotSeenError(f"no haagent {verb} runs on {machine.name}")


def fit(lab: Lab) -> None:
    """Wait until nothing speaks against a drill that a moment ago something else may have caused.

    Raises:
        NotSeenError: Something goes on to.
    """
    for machine in lab.machines.values():
        Agent(machine).wait(
            lambda s: (
                all(device["ready"] and device["checked_s_ago"] < READ_S for device in s["fence"])
                and all(
                    resource["condition"] != "failed"
                    for group in s["groups"]
                    for resource in group["resources"]
                )
            ),
            FAULTLESS_LIMIT_S,
            "every device ready and read, no resource failed",
        )


def faultless(lab: Lab) -> None:
    """Wait until neither node carries a fault, and either could take over.

    Raises:
        NotSeenError: It does not come to that.
    """
    for machine in lab.machines.values():
        Agent(machine).wait(
            lambda s: (
                s["drills"]["faults"] == []
                and s["drills"]["under_way"] is None
                and all(link["state"] == "up" for link in s["links"])
            ),
            FAULTLESS_LIMIT_S,
            "no fault and no drill is left",
        )
    ready(lab)
