# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian to install on: this machine's own, of which everything that is written is forgotten.

It is a real systemd in namespaces (hil.pid1) whose /usr, /etc, /var and /opt are overlays.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hil.pid1 import Pid1, booted
from hil.processes import run

ROOT = Path(__file__).parents[2]
BUILD_S = 480.0
"""Half a minute on a machine of its own; four and a half on one that has five others to serve."""
LIMIT_S = 900.0
"""Of a test that may have to wait for that."""
WAIT_S = 30.0
POLL_S = 0.05
ENVIRONMENT = (
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL=C.UTF-8",
    "DEBIAN_FRONTEND=noninteractive",
)
OVERLAYS = ("usr", "etc", "var", "opt")
LOG = "/run/haagent.log"
LOG_SHOWN = 4000
VIP = "192.0.2.10/24"
PASSWORDS = ("alpha-bmc.password", "beta-bmc.password")
MARK = "203.0.113.99/32"

OVERLAY = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir -p /opt
for part in {parts}; do
    mkdir "/mnt/$part" "/mnt/$part.work"
    mount -t overlay overlay "/$part" \
        -o "lowerdir=/$part,upperdir=/mnt/$part,workdir=/mnt/$part.work"
done
"""
NETWORK = """
for number in 0 1; do
    ip link add "eth$number" type veth peer name "switch$number"
    ip link set "switch$number" up
    ip link set "eth$number" up
done
ip address add 192.0.2.11/24 dev eth0
ip address add 198.51.100.11/24 dev eth1
ip link set lo up
"""


def built(factory: pytest.TempPathFactory) -> Path:
    """The package of the checkout; built once in a run, by whichever worker is first."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "deb"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("*.deb")):
            _build(folder)
    (package,) = folder.glob("*.deb")
    return package


def _build(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "packaging/build_deb.py", folder],
        env=os.environ | {"VERSION": "1.0"},
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


class Debian:
    """One node of a pair that has no other, on a throw-away Debian."""

    def __init__(self, pid1: Pid1) -> None:
        """Give it its overlays, a name and its network."""
        self.pid1 = pid1
        self.shell(OVERLAY.format(parts=" ".join(OVERLAYS)))
        run(["nsenter", f"--target={pid1.pid}", "--uts", "hostname", "alpha"])
        self.shell(NETWORK)
        # Nobody looks for a page here, and the index takes seconds at each installation.
        self.path("/var/lib/man-db/auto-update").unlink(missing_ok=True)
        # There is no journal here.
        drop_in = self.path("/run/systemd/system/haagent.service.d/log.conf")
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(f"[Service]\nStandardOutput=append:{LOG}\nStandardError=append:{LOG}\n")

    def run(self, *command: str, check: bool = True) -> str:
        """Run a program inside; what it writes to either output."""
        done = subprocess.run(
            [*self.pid1.enter, "--uts", "env", "-i", *ENVIRONMENT, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}\n{self.log()}"
        return done.stdout

    def shell(self, text: str) -> str:
        """Run a script inside."""
        return self.run("sh", "-ec", text)

    def path(self, name: str) -> Path:
        """A path inside, as seen from here."""
        return self.pid1.root / name.lstrip("/")

    def log(self) -> str:
        """The end of what the agent has written."""
        path = self.path(LOG)
        return path.read_text(errors="replace")[-LOG_SHOWN:] if path.exists() else ""

    def configure(self) -> None:
        """Configure it as an operator would: the example, a key and passwords."""
        self.shell(
            "cd /etc/haagent; umask 077; haagent keygen key.1; "
            "cp /usr/share/doc/haagent/examples/haagent.toml .; "
            + "".join(f"echo secret > {name}; " for name in PASSWORDS)
        )

    def status(self) -> dict[str, Any]:
        """What the agent says of itself."""
        answer = self.run("haagent", "status", "--json", check=False)
        try:
            found = json.loads(answer)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def has_vip(self) -> bool:
        """The virtual address is here."""
        return f"inet {VIP} " in self.run("ip", "address", "show", "eth0")

    def main_pid(self) -> str:
        """The agent's process, "0" for none."""
        return self.pid1.systemctl("show", "--property=MainPID", "--value", "haagent.service")

    def until(self, condition: Callable[[], bool], words: str) -> None:
        """Wait for it, within a bound."""
        limit = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < limit, f"not {words}:\n{self.log()}"
            time.sleep(POLL_S)

    @contextmanager
    def address_changes(self, folder: Path) -> Iterator[list[str]]:
        """The kernel's own account of every address that came or went meanwhile.

        Not those that a card gives itself, seconds after it went up.
        """
        account = folder / "addresses"
        with account.open("w") as file:
            process = subprocess.Popen(
                [*self.pid1.enter, "ip", "-o", "monitor", "address"], stdout=file
            )
        try:
            self._mark(account)
            begin = len(account.read_text().splitlines())
            seen: list[str] = []
            yield seen
            self._mark(account)
            lines = account.read_text().splitlines()[begin:]
            seen += [line for line in lines if MARK not in line and " scope link " not in line]
        finally:
            process.kill()
            process.wait()

    def _mark(self, account: Path) -> None:
        """Change an address of no meaning until the account has it: all before is in it as well."""
        before = account.read_text().count(MARK)

        def marked() -> bool:
            self.shell(f"ip address add {MARK} dev eth1; ip address del {MARK} dev eth1")
            return account.read_text().count(MARK) > before

        self.until(marked, "an address seen to change")


@contextmanager
def debian(folder: Path) -> Iterator[Debian]:
    """A running one; everything of it is gone afterwards."""
    units = folder / "units"
    units.mkdir()
    for target in ("sysinit.target", "basic.target"):
        (units / target).write_text("[Unit]\nDefaultDependencies=no\n")
    # Where the package lays its units; nothing else of the machine's is seen.
    names = ("haagent.service", "haagent-observer.service", "haagent-drill.service")
    for name in (*names, "haagent-drill.timer"):
        (units / name).symlink_to(f"/usr/lib/systemd/system/{name}")
    with booted(units) as pid1:
        yield Debian(pid1)
