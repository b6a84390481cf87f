# SPDX-License-Identifier: GPL-2.0-or-later
"""One machine of the pair: namespaces that are created at power on and killed at power off."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from hil.namespaces import entered, members
from hil.network import Network, Port
from hil.processes import module, run
from hil.record import ReportingProcess

BOOT_LIMIT_S = 30.0
"""From power on to a running service; takes 0.2 s on an idle machine."""
FREEZE_ROUNDS = 10

# /run is new at every boot, the disk is not. The kernel has one boot id for all namespaces, but
# an agent must see that the machine was off: so the file is covered by one of this boot.
_BOOT = """\
read -r pid _ < /proc/self/stat
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount --bind {boot_id} /proc/sys/kernel/random/boot_id
if [ -e /sys/class/dmi/id/product_uuid ]; then
  mount --bind {product_uuid} /sys/class/dmi/id/product_uuid
fi
# Shared memory goes with the power, too.
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/disk
mount --rbind {disk} /run/disk
echo "{{\\"what\\": \\"pid\\", \\"pid\\": $pid}}"
exec {init}
"""


@dataclass(frozen=True, slots=True)
class Frozen:
    """Processes that were stopped in the act."""

    at_ns: int
    """When the first one was stopped."""
    pidfds: tuple[int, ...]
    """Open references: a number could be given to another process meanwhile."""


class Machine:
    """A machine with a disk, which outlives its power, and a service that names it."""

    knock_every_s = 0.05

    def __init__(  # noqa: PLR0913  # a machine is made of these
        self,
        name: str,
        *,
        ports: tuple[Port, ...],
        identity: UUID,
        network: Network,
        directory: Path,
        agent_command: tuple[str, ...],
    ) -> None:
        self.name = name
        self.ports = ports
        self.boots = 0
        """How often its power was switched on."""
        self.agent_log = directory / "agent.log"
        """Standard error of all its agents, one after the other."""
        self._network = network
        self._directory = directory
        self._agent_command = agent_command
        self._init: ReportingProcess | None = None
        self.pid = 0
        """Of its process 1, as numbered outside; of the last one, while it is off."""
        self.disk = directory / "disk"
        """What is /run/disk in it; there also while it is off."""
        self.disk.mkdir(parents=True)
        self.before_boot: Callable[[], None] = lambda: None
        """Called each time it gets power: its disk is as it died."""
        (directory / "product_uuid").write_text(f"{identity}\n")

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._init is not None

    @property
    def mac(self) -> str:
        """Of its interface in the LAN."""
        return self.ports[0].mac

    @property
    def address(self) -> str:
        """Its own in the LAN."""
        return self.ports[0].addresses[0].partition("/")[0]

    @property
    def init(self) -> ReportingProcess:
        """Its process 1; fails when the machine is off."""
        assert self._init is not None, f"{self.name} is off"
        return self._init

    def power_on(self) -> None:
        """Boot it: returns when its service runs and its agent was started."""
        if self.is_on:
            return
        self.boots += 1
        self.before_boot()
        boot_id = self._directory / f"boot_id.{self.boots}"
        boot_id.write_text(f"{uuid4()}\n")
        files = {
            "boot_id": boot_id,
            "product_uuid": self._directory / "product_uuid",
            "disk": self.disk,
        }
        script = _BOOT.format(
            **{key: shlex.quote(str(path)) for key, path in files.items()},
            init=shlex.join(
                module(
                    "hil.node_init",
                    self.name,
                    str(self.boots),
                    str(self.agent_log),
                    *self._agent_command,
                )
            ),
        )
        namespaces = ["--net", "--pid", "--mount", "--ipc", "--fork", "--kill-child"]
        self._init = ReportingProcess(
            ["unshare", *namespaces, "sh", "-ec", script],
            self._directory / "init.jsonl",
            self._directory / "init.log",
        )
        hello = self._init.record.wait(lambda e: e["what"] == "pid", BOOT_LIMIT_S, what="init")
        self.pid = hello["pid"]
        self._network.plug(self.name, self.pid, self.ports)
        self._init.tell("boot")
        self._init.record.wait(lambda e: e["what"] == "booted", BOOT_LIMIT_S, what="boot")

    def power_off(self) -> None:
        """Cut its power: returns when everything in it is dead and its interfaces are gone."""
        if self._init is not None:
            # One that its BMC booted dies with the BMC's thread, at the end of a test.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._init.wait_end()
            self._network.unplug(self.name)
            self._init.close()
            self._init = None

    def path(self, inside: str) -> Path:
        """Where an absolute path of the machine is found from outside."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def processes(self) -> list[int]:
        """Everything that runs in it, as numbered outside."""
        if not self.is_on:
            return []
        return members(str(Path(f"/proc/{self.pid}/ns/pid").readlink()))

    def freeze(self) -> Frozen:
        """Stop all its processes, as a hung machine would be; its kernel still answers ARP."""
        at_ns = time.monotonic_ns()
        stopped: dict[int, int] = {}
        for _ in range(FREEZE_ROUNDS):
            running = [pid for pid in self.processes() if pid not in stopped]
            if not running:
                break
            for pid in running:
                try:
                    stopped[pid] = os.pidfd_open(pid)
                    os.kill(pid, signal.SIGSTOP)
                except ProcessLookupError:
                    continue
        return Frozen(at_ns, tuple(stopped.values()))

    @staticmethod
    def thaw(frozen: Frozen) -> int:
        """Let go on what is left of the frozen processes; return how many that are."""
        left = 0
        for pidfd in frozen.pidfds:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
                left += 1
            except ProcessLookupError:
                pass
            os.close(pidfd)
        return left

    def start_agent(self) -> None:
        """Start the agent, if it does not run."""
        since_ns = time.monotonic_ns()
        self.init.tell("agent")
        self.init.record.wait(
            lambda e: e["what"] == "agent_started", BOOT_LIMIT_S, after_ns=since_ns
        )

    def signal_agent(self, number: signal.Signals, *, limit_s: float = BOOT_LIMIT_S) -> int:
        """Send a signal that ends the agent; return its exit status once it has ended."""
        since_ns = time.monotonic_ns()
        self.init.tell(f"signal {int(number)}")
        ended = self.init.record.wait(
            lambda e: e["what"] == "agent_ended", limit_s, after_ns=since_ns, what="agent's end"
        )
        return int(ended["status"])

    @property
    def inside(self) -> list[str]:
        """Prefix that runs a command in the machine."""
        return entered(self.pid, "net", "pid", "mount", "ipc")

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine."""
        return run([*self.inside, *command], check=check)

    def agent_events(self) -> list[dict[str, object]]:
        """Everything its agents logged so far, oldest first."""
        events = []
        if self.agent_log.exists():
            for line in self.agent_log.read_text().splitlines():
                try:
                    events.append(json.loads(line))
                except ValueError:
                    events.append({"event": line})
        return events
