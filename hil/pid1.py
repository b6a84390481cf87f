# SPDX-License-Identifier: GPL-2.0-or-later
"""A real systemd of its own in namespaces, with a real D-Bus daemon and only the units it is given.

It is PID 1 of a PID namespace, sees only its own control groups, and has a /run of its own. Its
units come from a folder of the caller's. Killing it ends everything in it. Needs root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hil.namespaces import entered
from hil.processes import DIE_WITH_US, run

SYSTEMD = Path("/lib/systemd/systemd")
BOOT_S = 20.0
"""It takes half a second; the rest is for a loaded machine."""
POLL_S = 0.02

ENTER = """
set -e
mount -t cgroup2 none /mnt
mkdir "/mnt/$1"
echo $$ > "/mnt/$1/cgroup.procs"
umount /mnt
exec unshare --cgroup --pid --fork --mount-proc --kill-child --ipc --uts --net sh -c "$2" sh "$3"
"""
"""In a mount namespace: our own group first, so that the group namespace begins there."""
BOOT = """
set -e
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/dbus
mount -t tmpfs tmpfs /etc/systemd/system
mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount --make-rshared /
exec env -i container=bench PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    SYSTEMD_UNIT_PATH="/etc/systemd/system:/run/systemd/system:/run/systemd/generator:$1" \
    /lib/systemd/systemd --system --unit=bench.target --log-target=console --log-level=notice \
    --show-status=no
"""
"""The host's kernel settings are read-only, as in any container, and its own units not seen; what
`systemctl enable` and the like write ends with the bench."""
CLEAR = """
mount -t cgroup2 none /mnt
while ! find "/mnt/$1" -depth -type d -exec rmdir {} + 2>/dev/null && [ -d "/mnt/$1" ]; do
    sleep 0.02
done
"""
UNITS = {
    "bench.target": "[Unit]\nDefaultDependencies=no\nWants=dbus.socket\n",
    "shutdown.target": "[Unit]\nDefaultDependencies=no\n",
    "multi-user.target": "[Unit]\nDefaultDependencies=no\n",
    "dbus.socket": (
        "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n"
    ),
    "dbus.service": (
        "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nExecStart=/usr/bin/"
        "dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation\n"
    ),
}
"""What a host has anyway, as far as it is needed."""


class Pid1:
    """One service manager at work."""

    def __init__(self, process: subprocess.Popen[bytes], pid: int) -> None:
        """Made by `booted`."""
        self._process = process
        self.pid = pid
        """Of systemd, as we number it."""
        self.root = Path(f"/proc/{pid}/root")
        """Its view of the file system."""
        self.address = f"unix:path={self.root}/run/dbus/system_bus_socket"
        self.enter = tuple(entered(pid, "mount", "pid", "net"))
        """Prefix that runs a command inside."""

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """Run systemctl inside; it talks to systemd without the bus."""
        return run([*self.enter, "systemctl", *arguments], check=check).stdout.strip()

    def freeze(self) -> None:
        """Let it answer nobody any more."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)


@contextmanager
def booted(units: Path) -> Iterator[Pid1]:
    """A systemd that knows the units in that folder; dead, with all it started, afterwards."""
    for name, text in UNITS.items():
        (units / name).write_text(text)
    group = f"haagent-bench-{os.getpid()}-{time.monotonic_ns()}"
    unshare = shutil.which("unshare")
    assert unshare is not None
    with (units.parent / "pid1.log").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # our own literals and paths
            [*DIE_WITH_US, unshare, "--mount", "sh", "-c", ENTER, "sh", group, BOOT, str(units)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Pid1(process, _wait_for_boot(process))
    finally:
        for pid in _children(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
        run(["unshare", "--mount", "sh", "-c", CLEAR, "sh", group])


def _wait_for_boot(process: subprocess.Popen[bytes]) -> int:
    """Wait until it answers; the pid of systemd."""
    limit = time.monotonic() + BOOT_S
    while time.monotonic() < limit and process.poll() is None:
        for pid in _children(process.pid):
            socket = Path(f"/proc/{pid}/root/run/dbus/system_bus_socket")
            if _name(pid) == "systemd" and socket.exists():
                return pid
        time.sleep(POLL_S)
    raise RuntimeError("systemd did not come up in its namespace")


def _name(pid: int) -> str:
    """What a process is called; "" for one that has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]
