# SPDX-License-Identifier: GPL-2.0-or-later
"""Pacemaker's own fencing daemon, alone and in namespaces of its own, and its command line."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Self

from hil.namespaces import entered
from hil.processes import DIE_WITH_US

START_LIMIT_S = 10.0
"""It answers within 0.1 s on an idle machine; the rest is for a busy one."""
COMMAND_LIMIT_S = 60.0
_POLL_S = 0.02

# Its sockets are abstract ones, so they belong to the network namespace; its shared memory and the
# folder of the agents are mounted for it alone.
_START = """\
ip link set lo up &&
mount -t tmpfs tmpfs /dev/shm &&
mount -t overlay overlay -o "lowerdir=$0:/usr/sbin" /usr/sbin &&
exec /usr/lib/pacemaker/pacemaker-fenced --stand-alone --logfile="$1"
"""


class PacemakerFenced:
    """One `pacemaker-fenced`; a context manager, which starts and stops it.

    Args:
        agents: A folder, whose programs it finds beside those of /usr/sbin.
        directory: For its log.
    """

    def __init__(self, agents: Path, directory: Path) -> None:
        self._agents = agents
        self.log = directory / "fenced.log"
        """What it logs."""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [*DIE_WITH_US, "unshare", "--net", "--mount", "sh", "-c", _START]
        self._process = subprocess.Popen(  # noqa: S603  # our own literals and paths
            [*command, str(self._agents), str(self.log)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._await_answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _await_answer(self) -> None:
        assert self._process is not None
        end_s = time.monotonic() + START_LIMIT_S
        while self.admin("--list-registered").returncode != 0:
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"pacemaker-fenced did not start: see {self.log}")
            time.sleep(_POLL_S)

    @property
    def prefix(self) -> tuple[str, ...]:
        """Put before a command line that is to run where it does; it execs."""
        assert self._process is not None, "not started"
        return tuple(entered(self._process.pid, "net", "mount"))

    def admin(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `stonith_admin`, to its end."""
        return subprocess.run(  # noqa: S603  # our own literals and paths
            [*self.prefix, "stonith_admin", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_LIMIT_S,
        )
