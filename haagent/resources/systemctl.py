# SPDX-License-Identifier: GPL-2.0-or-later
"""Units through `systemctl`: for the time in which there is no D-Bus.

For root it speaks to systemd itself, without the bus (systemctl(1), `--system`), so a D-Bus daemon
that died does not keep us from stopping a service, and from proving it: a stop that cannot be
proved costs this node its power (S7). It tells of no change by itself.
"""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

from haagent.resources.process import Finished, Program, ProgramError, Programs, TimedOutError
from haagent.resources.process_table import name_of
from haagent.resources.units import AwayError, JobResult, RefusedError, UnitState, Verb

ANSWER_S = 15.0
"""It takes 10 ms, but not during a daemon-reload: seconds on a host of many units."""
CGROUPS = Path("/sys/fs/cgroup")
HIERARCHIES = ("systemd", "unified", "")
"""Where systemd's own groups are below that: legacy, hybrid, unified. Source: systemd's
docs/CGROUP_DELEGATION.md."""
PROCESSES_MAX = 20
"""As many are named; one is enough to know that it is not stopped."""
UNAVAILABLE = ("Failed to connect to", "System has not been booted with systemd")
"""What it writes when systemd cannot be asked. Source: systemd 252, bus-util.c."""
NOT_LOADED = "not loaded"


class ThroughSystemctl:
    """systemd asked by program."""

    def __init__(self, command: tuple[str, ...] = ("systemctl",), cgroups: Path = CGROUPS) -> None:
        """Nothing is run yet.

        Args:
            command: The program, with what may have to stand before it.
            cgroups: Where the control groups are mounted.
        """
        self._command = command
        self._cgroups = cgroups
        self._programs = Programs("systemctl")

    async def state(self, unit: str) -> UnitState:
        """As `Way` says."""
        found = await self.show(unit, "LoadState", "ActiveState", "SubState", "Job")
        try:
            load, active, sub = found["LoadState"], found["ActiveState"], found["SubState"]
        except KeyError as error:
            raise AwayError(f"systemctl show {unit}: no {error.args[0]} in its answer") from None
        return UnitState(load, active, sub, found.get("Job", "") not in {"", "0"})

    async def order(self, verb: Verb, unit: str, wait_s: float) -> JobResult:
        """As `Way` says."""
        try:
            done = await self._run(verb, "--no-ask-password", "--", unit, limit_s=wait_s)
        except TimedOutError:
            return JobResult.UNKNOWN  # Only systemctl was ended: the job goes on.
        except ProgramError as error:
            raise AwayError(str(error)) from error
        return JobResult.DONE if done.status == 0 else JobResult.FAILED

    async def processes(self, unit: str) -> tuple[str, ...]:
        """As `Way` says."""
        found = await self.show(unit, "ControlGroup", "MainPID", "ControlPID")
        pids = {found.get(name, "0") for name in ("MainPID", "ControlPID")} - {"0", ""}
        try:
            return await asyncio.to_thread(self._named, pids, found.get("ControlGroup", ""))
        except RuntimeError as error:
            raise AwayError(f"nobody to look at its processes: {error}") from error

    async def kill(self, unit: str) -> None:
        """As `Way` says."""
        # Its exit status does not tell "no process" from other refusals: the next look does.
        await self._answer("kill", "--signal=SIGKILL", "--", unit)

    async def reset_failed(self, unit: str) -> None:
        """As `Way` says."""
        done = await self._answer("reset-failed", "--", unit)
        if done.status != 0 and NOT_LOADED not in str(done):
            raise RefusedError("", f"systemctl reset-failed: {done}")

    async def show(self, unit: str, *names: str) -> dict[str, str]:
        """As `Way` says."""
        done = await self._answer("show", f"--property={','.join(names)}", "--", unit)
        if done.status != 0:  # It shows even units that do not exist.
            raise AwayError(f"systemctl show: {done}")
        pairs = (line.partition("=") for line in done.answer.splitlines())
        return {name: value for name, _, value in pairs}

    async def _answer(self, *arguments: str) -> Finished:
        try:
            return await self._run(*arguments, limit_s=ANSWER_S)
        except ProgramError as error:
            raise AwayError(str(error)) from error

    async def _run(self, *arguments: str, limit_s: float) -> Finished:
        program = Program(
            (*self._command, "--no-pager", *arguments),
            action=f"systemctl {arguments[0]}",
            quiet=True,
            answers=arguments[0] == "show",
        )
        done = await self._programs.run(program, limit_s)
        if done.status != 0 and any(word in line for word in UNAVAILABLE for line in done.tail):
            raise AwayError(f"systemctl: {done}")
        return done

    def _named(self, pids: set[str], group: str) -> tuple[str, ...]:
        """These processes and those of the control group; blocks for milliseconds.

        Raises:
            AwayError: as `_members`.
        """
        found = pids | (self._members(group) if group else set())
        return tuple(f"{pid} {name_of(pid)}".rstrip() for pid in sorted(found))

    def _members(self, group: str) -> set[str]:
        """Processes of a control group and all groups below it.

        Raises:
            AwayError: The groups cannot be read, so nobody can tell.
        """
        for hierarchy in HIERARCHIES:
            root = self._cgroups / hierarchy
            if (root / "cgroup.procs").exists():
                break
        else:
            raise AwayError(f"no control groups at {self._cgroups}")
        found: set[str] = set()
        for directory, _, _ in os.walk(root / group.lstrip("/"), onerror=_unless_gone):
            try:
                found.update(Path(directory, "cgroup.procs").read_text().split())
            except OSError as error:
                _unless_gone(error)
            if len(found) >= PROCESSES_MAX:
                break
        return found


def _unless_gone(error: OSError) -> None:
    """A group that was removed meanwhile was empty: only such can be.

    Raises:
        AwayError: It is there and cannot be read, or is in use after all.
    """
    if error.errno not in {errno.ENOENT, errno.ENODEV}:
        raise AwayError(f"{error.filename}: {error.strerror}") from error
