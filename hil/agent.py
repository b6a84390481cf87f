# SPDX-License-Identifier: GPL-2.0-or-later
"""What an agent says of itself: asked through its own command line, inside its machine."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hil.pair import CONTROL_SOCKET
from hil.processes import module
from hil.record import NotSeenError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from hil.pairs import Server

ASK_EVERY_S = 0.05
"""And never more than a fifth of the time: on an emulated processor an answer costs a lot."""
ANSWER_LIMIT_S = 10.0
GROUP = "web"

Status = dict[str, Any]


class Agent:
    """The agent of one machine, as its operator sees it."""

    def __init__(self, machine: Server) -> None:
        self._machine = machine

    @contextmanager
    def asking(self, verb: str, **details: object) -> Iterator[Callable[[], dict[str, Any]]]:
        """Put a request to the agent's control socket, as its command line does; quicker.

        Gives a function that waits for the reply; whoever is not interested leaves it alone.

        Raises:
            OSError: No agent answers.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(ANSWER_LIMIT_S)
            door.connect(str(self._machine.path(CONTROL_SOCKET)))
            door.sendall(json.dumps({"verb": verb, **details}).encode() + b"\n")

            def answer() -> dict[str, Any]:
                with door.makefile("rb") as reading:
                    line = reading.readline()
                if not line:
                    raise ConnectionError("the agent hung up")
                reply: dict[str, Any] = json.loads(line)
                return reply

            yield answer

    def ask(self, verb: str, **details: object) -> dict[str, Any]:
        """Put a request to the agent and return its reply.

        Raises:
            OSError: No agent answers.
        """
        with self.asking(verb, **details) as answer:
            return answer()

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one `haagent` command and return its output and exit status."""
        return self._machine.run(*module("haagent", *words), check=False)

    def status(self) -> Status | None:
        """What the agent says of itself, None while it does not answer."""
        try:
            status: Status = self.ask("status")["data"]
        except OSError:
            return None
        return status

    def history(self) -> list[dict[str, Any]]:
        """Failovers, oldest first."""
        records: list[dict[str, Any]] = self.ask("history")["data"]
        return records

    def wait(self, wanted: Callable[[Status], bool], limit_s: float, what: str) -> Status:
        """Ask until the status is as wanted; return it.

        Raises:
            NotSeenError: It was not within the limit; the message has the last status.
        """
        end_s = time.monotonic() + limit_s
        while True:
            asked_s = time.monotonic()
            status = self.status()
            if status is not None and wanted(status):
                return status
            if time.monotonic() > end_s:
                said = json.dumps(status)
                raise NotSeenError(f"{self._machine.name}: {what} within {limit_s:g} s: {said}")
            if status is None:  # Whoever asks an agent that loads delays it.
                pause_s = self._machine.knock_every_s
            else:
                pause_s = max(ASK_EVERY_S, 4 * (time.monotonic() - asked_s))
            threading.Event().wait(pause_s)  # the agent offers nothing to wait for


def group(status: Status, name: str = GROUP) -> dict[str, Any]:
    """What is said of one group."""
    found: dict[str, Any] = next(g for g in status["groups"] if g["name"] == name)
    return found


def role(status: Status, name: str = GROUP) -> str:
    """The node's part in a group: active, standby, ..."""
    return str(group(status, name)["role"])


def held_up(status: Status, name: str = GROUP) -> str:
    """The named reason for which a group is not taken, or not up, on the node; "" for none."""
    return str((group(status, name)["blocked"] or {}).get("code", ""))


def alarms(status: Status) -> set[str]:
    """Codes of what a person should look at."""
    return {alarm["code"] for alarm in status["alarms"]}


def takeover_possible(status: Status) -> bool:
    """Whether the node says that it could take over right now."""
    return bool(status["takeover"]["possible"])


def fences_ready(status: Status) -> bool:
    """Whether both answer that could cut the peer's power, its BMC and its PDU."""
    return [row["ready"] for row in status["fence"]] == [True, True]


def link_state(status: Status, name: str) -> str:
    """up, degraded or down."""
    return str(next(link["state"] for link in status["links"] if link["name"] == name))


def blocked(status: Status) -> list[str]:
    """The named reasons for which a takeover that is due is not made."""
    return [reason["code"] for reason in status["peer_state"]["blocked"]]
