# SPDX-License-Identifier: GPL-2.0-or-later
"""One server of the pair: a QEMU process while it has power, a disk also without."""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hil.labs import HANG
from hil.namespaces import inside
from hil.processes import end, run, spawn
from hil.qemu.bell import Bell
from hil.qemu.furniture import UP
from hil.qemu.hardware import Server
from hil.qemu.qmp import Qmp, QmpError
from hil.record import Entry, NotSeenError, Record
from hil.ssh import Ssh

BOOT_LIMIT_S = 300.0
"""20 s on two idle processors in software, a minute when they are busy."""
MIGRATE_LIMIT_S = 60.0
"""The state has about 200 MB and takes a second."""
_NO_LIMIT = 1 << 40


class Guest:
    """A server on the bench.

    Entries that it adds to the record: `power` (on, off: the QEMU process is there, or was seen
    to have ended), `qemu` (an event of QEMU, such as RESET, STOP, WATCHDOG) and `bell` (a line
    that the server wrote to the bench, such as `up`).
    """

    knock_every_s = 1.0
    """With every question sshd and the agent have work, on one emulated processor."""

    def __init__(self, server: Server, ssh: Ssh, record: Record, switches_pid: int) -> None:
        self.server = server
        self.ssh = ssh
        self.name = server.name
        self.boots = 0
        """How often its power was switched on."""
        self.resume: Path | None = None
        """What the next power on goes on with, in place of a boot; it is frozen then."""
        self.on_power: Callable[[], None] = lambda: None
        """Called whenever it has got power or has lost it."""
        self._record = record
        self._switches_pid = switches_pid
        self._process: subprocess.Popen[str] | None = None
        self._qmp: Qmp | None = None
        self._bell: Bell | None = None
        self._watcher: threading.Thread | None = None
        self._links_down: set[str] = set()
        self._switching = threading.RLock()  # its BMC, its outlets and a test all switch it
        self._retired = False

    @property
    def is_on(self) -> bool:
        """Whether it has power: a QEMU process that was not seen to have ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def mac(self) -> str:
        """Of its interface in the LAN."""
        return self.server.ports[0].mac

    @property
    def interface(self) -> str:
        """Its card in the LAN."""
        return self.server.ports[0].interface

    @property
    def pid(self) -> int:
        """Of its QEMU process; of the last one, while it is off."""
        assert self._process is not None, f"{self.name} was never on"
        return self._process.pid

    @property
    def qmp(self) -> Qmp:
        """QEMU's door; fails when the server never had power."""
        assert self._qmp is not None, f"{self.name} is off"
        return self._qmp

    def power_on(self) -> None:
        """Give it power: returns when QEMU runs, and the server boots or can be thawed.

        Raises:
            QmpError: QEMU did not start.
        """
        with self._switching:
            if self.is_on or self._retired:
                return
            self._clear()
            self.boots += 1
            self._qmp = Qmp(self.server.qmp, self._on_event)
            self._bell = Bell(self.server.bell, self._on_line)
            resume, self.resume = self.resume, None
            try:
                self._start(self._qmp, self._bell, resume)
            except (OSError, QmpError):
                if not self._retired:  # else it was to end, and has
                    raise
        self.on_power()

    def _start(self, qmp: Qmp, bell: Bell, resume: Path | None) -> None:
        command = self.server.command(wait=resume is not None)
        with (self.server.directory / "qemu.log").open("ab") as log:
            self._process = spawn([*inside(self._switches_pid), *command], stderr=log)
        self._watcher = threading.Thread(target=self._watch, args=(self._process,), daemon=True)
        self._watcher.start()
        qmp.accept()
        bell.accept()
        self._tell("power", state="on", pid=self.pid)
        for wire in self._links_down:
            qmp.order("set_link", name=wire, up=False)
        if resume is not None:
            self._migrate("migrate-incoming", f"exec:cat {shlex.quote(str(resume))}")

    def power_off(self) -> None:
        """Cut its power: returns when its QEMU process is dead and that is in the record."""
        with self._switching:
            if self._process is not None and self._watcher is not None:
                self._process.kill()
                self._watcher.join()

    def retire(self) -> None:
        """Cut its power for good, whoever is about to give it some just now."""
        self._retired = True
        for door in (self._qmp, self._bell):
            if door is not None:
                door.close()
        self.power_off()

    def freeze(self) -> int:
        """Stop its processor; nothing in it notices. Return when that was ordered, ns."""
        at_ns = time.monotonic_ns()
        self.qmp.order("stop")
        return at_ns

    def thaw(self) -> bool:
        """Let it go on; return whether there was anything left to go on."""
        try:
            self.qmp.order("cont")
        except QmpError:
            return False
        return True

    def crash(self) -> int:
        """Have its kernel panic; return when that was ordered, ns."""
        return self._stop("echo c >/proc/sysrq-trigger")

    def hang(self) -> int:
        """Have no process of it run any more, while its kernel answers; return when, ns."""
        return self._stop(HANG)

    def _stop(self, command: str) -> int:
        at_ns = time.monotonic_ns()
        self.ssh.throw(command)
        return at_ns

    def freeze_for_good(self) -> int:
        """Stop its processor, which nobody is to let go on; return when that was ordered, ns."""
        return self.freeze()

    def leave(self, verb: str) -> int:
        """Have it go in order: `poweroff` or `reboot`; return when that was ordered, ns."""
        at_ns = time.monotonic_ns()
        self.ssh.throw(f"systemctl {verb}")
        return at_ns

    def set_carrier(self, wire: str, *, up: bool) -> None:
        """Plug a cable in, or pull it out; remembered while it has no power."""
        if up:
            self._links_down.discard(wire)
        else:
            self._links_down.add(wire)
        if self.is_on:
            with suppress(QmpError):  # it went off just now
                self.qmp.order("set_link", name=wire, up=up)

    def wait_up(self, after_ns: int, limit_s: float = BOOT_LIMIT_S) -> Entry:
        """Return when it has told that it is booted, after a time, and log in.

        Raises:
            NotSeenError: It did not come up, or lets nobody in.
        """
        up = self._record.wait(
            lambda e: (e["node"], e["what"], e.get("line")) == (self.name, "bell", UP),
            limit_s,
            after_ns=after_ns,
            what=f"{self.name} booted",
        )
        self.ssh.connect()
        return up

    def path(self, inside: str) -> Path:
        """Where the door of its agent is found on this side, while one can log in there.

        It has no other files to show.
        """
        assert inside.endswith("control.sock"), inside
        with suppress(NotSeenError):  # then nobody answers at that door
            self.ssh.connected()
        return self.ssh.control_socket

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on it."""
        return self.ssh.run(*command, check=check)

    def console(self) -> str:
        """Everything that it said on its console so far."""
        path = self.server.console
        return path.read_text(errors="replace") if path.exists() else ""

    def make_disk(self, backing: Path, backing_format: str) -> None:
        """Give it a disk that is, to begin with, what another one is."""
        self.server.directory.mkdir(parents=True, exist_ok=True)
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(backing)]
        run([*create, "-F", backing_format, str(self.server.disk)])

    def save(self, path: Path) -> None:
        """Keep the memory and devices of a frozen one in a file; its disk belongs to that.

        Raises:
            NotSeenError: It could not be saved.
        """
        self.qmp.order("migrate-set-parameters", **{"max-bandwidth": _NO_LIMIT})
        self._migrate("migrate", f"exec:cat >{shlex.quote(str(path))}")

    def close(self) -> None:
        """Take it off the bench."""
        self.ssh.close()
        self.retire()
        self._clear()

    def _clear(self) -> None:
        """Forget its last life."""
        for door in (self._qmp, self._bell):
            if door is not None:
                door.close()
        self._qmp = self._bell = None
        if self._process is not None:
            end(self._process)

    def _migrate(self, order: str, uri: str) -> None:
        """Have its state written or read, to the end."""
        since_ns = time.monotonic_ns()
        events = [{"capability": "events", "state": True}]
        self.qmp.order("migrate-set-capabilities", capabilities=events)
        self.qmp.order(order, uri=uri)
        self._record.wait(
            lambda e: (
                (e["node"], e.get("event")) == (self.name, "MIGRATION")
                and e["data"]["status"] == "completed"
            ),
            MIGRATE_LIMIT_S,
            after_ns=since_ns,
            what=f"{self.name}: {order}",
        )

    def _watch(self, process: subprocess.Popen[str]) -> None:
        status = process.wait()
        self._tell("power", state="off", status=status)
        self.on_power()

    def _on_event(self, event: str, data: dict[str, Any]) -> None:
        self._tell("qemu", event=event, data=data)

    def _on_line(self, line: str) -> None:
        self._tell("bell", line=line)

    def _tell(self, what: str, **details: object) -> None:
        self._record.add({"what": what, "node": self.name, **details})
