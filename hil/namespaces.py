# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces without names: each lives as long as the process that holds it.

So there is nothing to remove after a run, not even after the lab itself was killed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hil.processes import end, run, spawn


def inside(pid: int) -> list[str]:
    """Prefix that runs a command in the network namespace of a process (and keeps the pid)."""
    return ["nsenter", f"--net=/proc/{pid}/ns/net"]


def entered(pid: int, *kinds: str) -> list[str]:
    """Prefix that runs a command in namespaces of a process, one with "mount" among them.

    At its root as well: the bench itself may run in a chroot, and would be outside of that.
    """
    options = [f"--{kind}" for kind in kinds]
    return ["nsenter", f"--target={pid}", *options, "--root", "--wd"]


def ip(pid: int, lines: Sequence[str], *, force: bool = False) -> None:
    """Carry out `ip` commands, one a line, in the network namespace of a process.

    Args:
        pid: A process in that namespace.
        lines: What stands after `ip`.
        force: Go on after a line that fails, and take that for no error.

    Raises:
        RuntimeError: A line failed.
    """
    options = ["-force"] if force else []
    run(
        [*inside(pid), "ip", *options, "-batch", "-"], text="\n".join(lines) + "\n", check=not force
    )


def nft(pid: int, rules: str) -> None:
    """Load nftables rules in the network namespace of a process, all or none.

    Raises:
        RuntimeError: The rules were refused.
    """
    run([*inside(pid), "nft", "-f", "-"], text=rules)


def within(pid: int, work: Callable[[], None]) -> None:
    """Do something on a thread in the network namespace of a process; its sockets stay there.

    Raises:
        OSError: There is no such namespace, or the work failed so.
    """
    with ThreadPoolExecutor(1) as thread, Path(f"/proc/{pid}/ns/net").open() as door:
        thread.submit(_enter, door.fileno()).result()
        thread.submit(work).result()


def _enter(door: int) -> None:
    """Move the calling thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(door, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


_CLONE_NEWNET = 0x40000000
"""Source: Linux, include/uapi/linux/sched.h."""


class Namespace:
    """An empty network namespace with its loopback up."""

    def __init__(self) -> None:
        self._holder = spawn(["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"])
        assert self._holder.stdout is not None
        self._holder.stdout.readline()  # the namespace is there once the shell runs in it
        self.pid = self._holder.pid
        """A process in the namespace."""
        ip(self.pid, ["link set lo up"])

    def close(self) -> None:
        """Let go of it; the kernel removes it once nobody else is in it."""
        end(self._holder)


def members(pid_namespace: str) -> list[int]:
    """Processes of a PID namespace, as we number them.

    Args:
        pid_namespace: What `/proc/PID/ns/pid` of one of them points to.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                namespace = (entry / "ns/pid").readlink()
            except OSError:
                continue  # it has just ended
            if str(namespace) == pid_namespace:
                found.append(int(entry.name))
    return found
