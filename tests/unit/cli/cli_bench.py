# SPDX-License-Identifier: GPL-2.0-or-later
"""A real control server with canned answers, and the real command in its own process."""

from __future__ import annotations

import asyncio
import copy
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from haagent.control import ControlServer, Tell

STATUS: dict[str, Any] = {
    "cluster": "shop",
    "node": "alpha",
    "peer": "beta",
    "version": "0.1.0",
    "condition": "fine",
    "takeover": {"possible": True, "reasons": []},
    "peer_state": {
        "phase": "alive",
        "since_s": 90061.5,
        "heard_ms_ago": 42.0,
        "hears_us": True,
        "blocked": [],
    },
    "groups": [
        {
            "name": "web",
            "role": "active",
            "term": 7,
            "peer_role": "standby",
            "since_s": 3700.0,
            "preferred": "alpha",
            "vips": ["192.0.2.10/24"],
            "blocked": None,
        }
    ],
    "links": [
        {
            "name": "lan",
            "interface": "eth0",
            "kind": "switched",
            "transport": "multicast",
            "state": "up",
            "heard_ms_ago": 42.0,
            "peer_hears_us": True,
            "detail": "",
        }
    ],
    "fence": [
        {
            "device": "beta-bmc",
            "node": "beta",
            "level": 1,
            "ready": True,
            "power": "on",
            "checked_s_ago": 12.0,
            "detail": "",
        }
    ],
    "alarms": [],
    "maintenance": False,
    "stall_ms_max": 3.25,
    "counters": {"frames": 5},
}

RECORD: dict[str, Any] = {
    "id": 4,
    "when": "2026-11-22T03:00:00+00:00",
    "kind": "failover",
    "group": "web",
    "node": "beta",
    "term": 8,
    "outcome": "completed",
    "reason": "alpha was silent",
    "phases": [{"name": "silence", "ms": 1000.0}, {"name": "fence", "ms": 2100.0}],
    "total_ms": 3150.0,
}


def status(**changes: object) -> dict[str, Any]:
    """The fine status with top-level values replaced."""
    return {**copy.deepcopy(STATUS), **changes}


class CannedAgent:
    """Answers on a control socket from a thread of its own; a canned answer None never comes."""

    def __init__(self, path: Path, answers: Mapping[str, dict[str, Any] | None]) -> None:
        self.path = path
        self.requests: list[dict[str, Any]] = []
        self.progress: list[dict[str, object]] = []
        """Told before each answer to a request that wants to hear of it."""
        self._answers = answers
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = ControlServer(self.path, self._answer)
        await server.start()
        self._ready.set()
        await self._end.wait()
        await server.close()

    async def _answer(self, request: Mapping[str, object], tell: Tell) -> Mapping[str, object]:
        self.requests.append(dict(request))
        for progress in self.progress:
            tell(progress)
        answer = self._answers[str(request["verb"])]
        if answer is None:
            await self._end.wait()
        return answer or {}


def good(data: object = None, message: str = "") -> dict[str, Any]:
    """A reply that grants."""
    return {"ok": True, "message": message, "data": data}


def haagent(
    *arguments: str, socket: Path | None = None, typed: str = "", prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"}
    environment.pop("HAAGENT_SOCKET", None)
    if socket is not None:
        environment["HAAGENT_SOCKET"] = str(socket)
    return subprocess.run(
        [*prefix, sys.executable, "-m", "haagent", *arguments],
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
