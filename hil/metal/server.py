# SPDX-License-Identifier: GPL-2.0-or-later
"""One server of a lab, by the ways that its operator has: ssh, its BMC, its console."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from hil.labs import HANG, LabLacksError
from hil.metal.device import PowerDevice
from hil.metal.inventory import ServerEntry
from hil.metal.reading import Reading
from hil.processes import end, spawn
from hil.record import Entry, NotSeenError, Record
from hil.ssh import Ssh

KNOCK_EVERY_S = 1.0
LOGIN_LIMIT_S = 30.0
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Server:
    """One of the two; adds an entry `boot` to the record whenever it was seen to have booted."""

    knock_every_s = KNOCK_EVERY_S

    def __init__(
        self, entry: ServerEntry, directory: Path, record: Record, boot_limit_s: float
    ) -> None:
        self.name = entry.name
        self.mac = ""
        """Of its card in the clients' LAN; known once it was logged in to."""
        self.interface = entry.interface
        self.bmc = PowerDevice(entry.bmc, directory)
        self.mains = None if entry.mains is None else PowerDevice(entry.mains, directory)
        self.power = Reading(entry.name, self.bmc, record)
        self.touched = False
        """A scenario ran something on it in this boot: nobody knows what that left."""
        self._stopped_ns: int | None = None
        """Since when it stands still, if it was made to."""
        self._boot = ""
        """Identity of the last boot that was seen."""
        self.way = Ssh(entry.ssh, directory, options=entry.ssh_options, operator_pid=None)
        """Root's shell on it, for the lab itself."""
        self._record = record
        self._boot_limit_s = boot_limit_s
        self._console = directory / "console.log"
        self._listener: subprocess.Popen[str] | None = None
        if entry.console:
            # Through a shell, so that what it says goes to a file and not to a pipe of ours.
            command = ["sh", "-c", 'exec "$@" >"$0"', str(self._console), *entry.console]
            self._listener = spawn(command)

    @property
    def ssh(self) -> Ssh:
        """Root's shell on it, for a scenario."""
        self.touched = True
        return self.way

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on it, for a scenario."""
        return self.ssh.run(*command, check=check)

    def ask(self, *command: str) -> str:
        """What a command says that changes nothing there.

        Raises:
            RuntimeError: It failed.
        """
        return self.way.run(*command).stdout.strip()

    def path(self, inside: str) -> Path:
        """Where the door of its agent is found on this side, while one can log in there."""
        assert inside.endswith("control.sock"), inside
        with suppress(NotSeenError):  # then nobody answers at that door
            self.way.connected()
        return self.way.control_socket

    def crash(self) -> int:
        """Have its kernel panic; return when that was ordered, ns."""
        return self._stop("echo c >/proc/sysrq-trigger")

    def hang(self) -> int:
        """Have no process of it run any more, while its kernel answers; return when, ns."""
        return self._stop(HANG)

    def freeze_for_good(self) -> int:
        """Have its kernel halt without a word and without a reboot; return when, ns."""
        return self._stop("sysctl -q kernel.panic=0 && echo c >/proc/sysrq-trigger")

    def _stop(self, command: str) -> int:
        self.way.connected()  # before the time is taken
        at_ns = time.monotonic_ns()
        self.ssh.throw(command)
        self._stopped_ns = at_ns
        return at_ns

    def stands_still(self) -> bool:
        """Whether it was made to, and has had power ever since."""
        return self._stopped_ns is not None and not any(
            (e["node"], e["what"], e.get("state")) == (self.name, "power", "off")
            for e in self._record.since(self._stopped_ns)
        )

    def leave(self, verb: str) -> int:
        """Have it go in order: `poweroff` or `reboot`; return when that was ordered, ns."""
        if verb == "poweroff":
            self.power.expect_off()
        at_ns = time.monotonic_ns()
        self.ssh.throw(f"systemctl {verb}")
        return at_ns

    def boot_id(self) -> str:
        """Identity of the boot that it is in; "" while it lets nobody in."""
        try:
            return self.way.run("cat", _BOOT_ID, limit_s=LOGIN_LIMIT_S).stdout.strip()
        except (NotSeenError, RuntimeError, subprocess.TimeoutExpired):
            return ""

    def meet(self) -> None:
        """Remember the boot that it is in, so that the next one is told from it.

        Raises:
            NotSeenError: It lets nobody in.
        """
        self.way.connected()
        self._boot = self.boot_id()
        self.mac = self.ask("cat", f"/sys/class/net/{self.interface}/address")

    def wait_up(self, after_ns: int = 0, limit_s: float = 0.0) -> Entry:
        """Return when it lets us in and is in another boot than the last one that was seen.

        Raises:
            NotSeenError: It did not come up.
        """
        seen = [e for e in self._record.since(after_ns) if self._is_boot(e)]
        if seen and after_ns:
            return seen[0]
        end_s = time.monotonic() + (limit_s or self._boot_limit_s)
        while True:
            boot = self.boot_id()
            if boot and boot != self._boot:
                break
            if time.monotonic() > end_s:
                raise NotSeenError(f"{self.name} did not boot: {self.power.trouble or 'no login'}")
            threading.Event().wait(KNOCK_EVERY_S)  # a boot tells nobody that it is over
        self._boot = boot
        self.touched, self._stopped_ns = False, None
        entry: Entry = {"what": "boot", "node": self.name}
        self._record.add(entry)
        return entry

    def is_in_its_old_boot(self) -> bool:
        """Whether it lets us in, and has not booted since that was last seen."""
        return self.boot_id() == self._boot

    def console(self) -> str:
        """Everything that it said on its console so far.

        Raises:
            LabLacksError: The inventory names none.
        """
        if self._listener is None:
            raise LabLacksError(f"a serial console of {self.name}")
        return self._console.read_text(errors="replace")

    def close(self) -> None:
        """Leave it alone."""
        self.way.close()
        self.power.close()
        if self.mains is not None:
            self.mains.close()
        if self._listener is not None:
            end(self._listener)

    def _is_boot(self, entry: Entry) -> bool:
        return (entry["node"], entry["what"]) == (self.name, "boot")
