# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that this node carries for a drill. Each is a lease: it ends by itself, here.

Links are silenced inside the agent, and so end with it. What is frozen is frozen by a process of
its own that lets go in time (`stopper`). Killed and crashed is done once. A new agent lifts what
its predecessor may have left.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import structlog

from haagent.drill import stopper
from haagent.errors import EdgeError
from haagent.resources.spawn import Child, spawn

LEASE_S_MAX = 600.0
SOON_S = 0.3
"""Before an agent kills, freezes or crashes itself: its answer has to leave first."""
PANIC_REBOOT_S = 10
"""A crashed kernel that nobody fences reboots by itself after so long."""
INITIAL_PID_NAMESPACE = "pid:[4026531836]"
"""Source: Linux, include/linux/proc_ns.h, PROC_PID_INIT_INO."""
_PANIC, _SYSRQ = Path("/proc/sys/kernel/panic"), Path("/proc/sysrq-trigger")

Scope = Literal["agent", "machine"]
log = structlog.get_logger()


class Faults:
    """What is wrong with this node on purpose.

    Args:
        silence: Silences these links and no others.
        folder: On a disk that does not outlive the machine's power.
    """

    def __init__(self, silence: Callable[[frozenset[int]], None], folder: Path) -> None:
        self._silence = silence
        self._note = folder / "stopper.pid"
        self._links: frozenset[int] = frozenset()
        self._until_s = 0.0
        """When the silence ends, monotonic."""
        self._timer: asyncio.TimerHandle | None = None
        self._stopper: Child | None = None

    def standing(self) -> list[dict[str, object]]:
        """What stands now, for the status."""
        left_s = self._until_s - time.monotonic()
        found: list[dict[str, object]] = []
        if self._links:
            found.append({"fault": "silence", "links": sorted(self._links), "left_s": left_s})
        if self._stopper is not None:
            found.append({"fault": "freeze"})
        return found

    def silence(self, links: frozenset[int], for_s: float) -> None:
        """Neither send nor hear on these links, for so long; takes the place of an earlier one."""
        self._until_s = time.monotonic() + _lease_s(for_s)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(for_s, self._end_silence)
        if links != self._links:
            self._links = links
            self._silence(links)
            log.warning("drill.silenced", links=sorted(links))

    async def freeze(self, scope: Scope, for_s: float) -> None:
        """Stop this agent, or all on this machine, soon and for so long.

        Raises:
            EdgeError: Something is frozen already, or the stopper did not start.
        """
        if self._stopper is not None:
            raise EdgeError("a freeze is under way already")
        pid = os.getpid() if scope == "agent" else stopper.EVERYTHING
        argv = [sys.executable, "-I", "-S", stopper.__file__, str(pid), str(SOON_S)]
        log.warning("drill.freezes", scope=scope, for_s=for_s)
        try:
            child = await asyncio.to_thread(self._start, [*argv, str(_lease_s(for_s))])
        except OSError as error:
            raise EdgeError(f"nothing can be frozen: {error.strerror}") from None
        self._stopper = child
        asyncio.get_running_loop().add_reader(child.pidfd, self._thawed, child)

    def kill(self) -> None:
        """End this agent as a bug or the kernel would, soon."""
        log.warning("drill.kills")
        asyncio.get_running_loop().call_later(SOON_S, os.kill, os.getpid(), signal.SIGKILL)

    def crash(self) -> None:
        """Crash this machine's kernel, soon.

        Raises:
            EdgeError: This is not the machine's own process space: others would be hit.
        """
        if str(Path("/proc/self/ns/pid").readlink()) != INITIAL_PID_NAMESPACE:
            raise EdgeError("this agent runs in a container: its kernel is also that of others")
        if not os.access(_SYSRQ, os.W_OK):
            raise EdgeError(f"{_SYSRQ} cannot be written: no kernel crash on purpose here")
        log.warning("drill.crashes")
        asyncio.get_running_loop().call_later(SOON_S, _crash)

    def lift(self) -> None:
        """End everything that stands, here and now; that nothing stands is no error."""
        self._end_silence()
        if self._stopper is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._stopper.pidfd, signal.SIGTERM)

    def lift_left_over(self) -> None:
        """At the agent's start: end the freeze that an earlier agent of this boot ordered."""
        with suppress(OSError, ValueError):
            pid = int(self._note.read_text())
            pidfd = os.pidfd_open(pid)
            try:
                if stopper.__file__.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
                    log.warning("drill.left_over_lifted")
            finally:
                os.close(pidfd)

    def close(self) -> None:
        """The agent ends: what it carries ends with it."""
        self.lift()
        if self._stopper is not None:
            asyncio.get_running_loop().remove_reader(self._stopper.pidfd)

    def _start(self, argv: list[str]) -> Child:
        with Path(os.devnull).open("r+b") as nowhere:
            descriptor = nowhere.fileno()
            child = spawn(argv, {}, stdout=descriptor, stderr=descriptor)
        self._note.write_text(str(child.pid))
        return child

    def _thawed(self, child: Child) -> None:
        asyncio.get_running_loop().remove_reader(child.pidfd)
        os.close(child.pidfd)
        os.waitpid(child.pid, 0)
        self._stopper = None
        log.warning("drill.thawed")

    def _end_silence(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._links:
            self._links = frozenset()
            self._silence(self._links)
            log.warning("drill.silence_ended")


def _lease_s(for_s: float) -> float:
    if not 0 < for_s <= LEASE_S_MAX:
        raise EdgeError(f"a fault stands for at most {LEASE_S_MAX:g} s")
    return for_s


def _crash() -> None:
    """Never returns if it works: sysrq "c" (Linux, Documentation/admin-guide/sysrq.rst)."""
    with suppress(OSError):
        if _PANIC.read_text().strip() == "0":
            _PANIC.write_text(str(PANIC_REBOOT_S))
        _SYSRQ.write_text("c")
