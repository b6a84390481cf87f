# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench itself: a server is a server, its BMC cuts its power, and nothing is left of it all."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from hil.pair import identity
from hil.processes import ROOT, runs
from hil.qemu.accelerator import EMULATED, boots
from hil.qemu.image import Image
from hil.qemu.lab import DIRECTORY_PREFIX, VirtualLab
from hil.trials.conftest import VirtualRoles, ipmitool

pytestmark = pytest.mark.virtual("the virtual bench itself")

LIMIT_S = 60.0
FEWEST_PROCESSES = 6
"""Of a bench that starts: namespaces, client, observer, two BMCs."""


@pytest.mark.smoke
def test_bmc_cuts_the_power_and_gives_it_back(lab: VirtualLab) -> None:
    """Off by IPMI, the QEMU process is gone when the BMC says so; on, there is another one."""
    guest = lab.machines["beta"]
    before = guest.pid
    assert ipmitool(lab, "beta", "status") == "Chassis Power is on"
    at_ns = time.monotonic_ns()
    ipmitool(lab, "beta", "off")
    assert ipmitool(lab, "beta", "status") == "Chassis Power is off"
    assert not runs(before)
    ipmitool(lab, "beta", "on")
    on = lab.power.wait(
        lambda e: e["node"] == "beta" and e["what"] == "power" and "pid" in e,
        LIMIT_S,
        after_ns=at_ns,
    )
    assert on["pid"] == guest.pid != before


@pytest.mark.smoke
def test_server_has_what_a_server_has(lab: VirtualLab, roles: VirtualRoles) -> None:
    """systemd, the package, its own BMC over KCS, hardware watchdogs, its system UUID."""
    _, standby = roles
    assert lab.machines[standby.name] is standby
    assert standby.run("cat", "/proc/1/comm").stdout == "systemd\n"
    assert standby.run("dpkg-query", "-W", "-f", "${db:Status-Status}", "haagent").stdout == (
        "installed"
    )
    uuid = standby.run("cat", "/sys/class/dmi/id/product_uuid").stdout.strip()
    assert uuid == str(identity(standby.name))
    watchdogs = standby.run("sh", "-c", "cat /sys/class/watchdog/*/identity").stdout
    assert watchdogs == "i6300ESB timer\n"
    assert "Get Device ID" not in standby.run("ipmitool", "mc", "info").stderr
    assert "Watchdog Timer Use" in standby.run("ipmitool", "mc", "watchdog", "get").stdout


def test_disk_survives_a_power_cycle(lab: VirtualLab) -> None:
    """What was written and flushed is there after the power was cut; what is in memory is not."""
    guest = lab.machines["beta"]
    guest.run("sh", "-c", "echo kept >/var/lib/kept; sync; echo lost >/run/lost")
    off_ns = lab.power_off("beta")
    lab.power_on("beta")
    guest.wait_up(off_ns)
    assert guest.run("cat", "/var/lib/kept").stdout == "kept\n"
    assert guest.run("cat", "/run/lost", check=False).returncode != 0


def test_hardware_watchdog_resets_the_server(lab: VirtualLab) -> None:
    """A watchdog that was armed and is not fed resets the machine, with its power on."""
    guest = lab.machines["beta"]
    guest.run("systemctl", "mask", "--runtime", "--now", "haagent.service")
    since_ns = time.monotonic_ns()
    guest.ssh.throw("echo >/dev/watchdog; exec sleep infinity")
    for event in ("WATCHDOG", "RESET"):
        lab.power.wait(
            lambda e, event=event: (e["node"], e.get("event")) == ("beta", event),  # type: ignore[misc]
            LIMIT_S,
            after_ns=since_ns,
            what=event,
        )
    assert guest.is_on


def test_trial_boot_tells_what_works(servers: Image, tmp_path: Path) -> None:
    """Emulation boots the kernel; a processor that QEMU cannot make, and a hang, do not pass."""
    kernel, initrd = servers.kernel, servers.initrd
    assert boots(EMULATED, kernel, initrd, tmp_path / "good", limit_s=LIMIT_S)
    unknown = ("-accel", "none-such")
    assert not boots(unknown, kernel, initrd, tmp_path / "unknown", limit_s=LIMIT_S)
    halted = (*EMULATED, "-S")
    assert not boots(halted, kernel, initrd, tmp_path / "halted", limit_s=1.0)


SHELL = ("-m", "hil.qemu.shell")
SCENARIO = ("-m", "pytest", "-v", "-p", "no:cacheprovider", "hil", "-k", "busy_servers")


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("what", "number", "line"),
    [
        (SHELL, signal.SIGINT, b"The servers get power."),
        (SHELL, signal.SIGTERM, b"The pair runs."),
        (SHELL, signal.SIGKILL, b"The pair runs."),
        (SCENARIO, signal.SIGINT, b"collecting"),
    ],
    ids=["ctrl-c-while-it-starts", "term", "kill", "ctrl-c-in-a-scenario"],
)
def test_nothing_is_left(
    servers: Image, what: tuple[str, ...], number: signal.Signals, line: bytes
) -> None:
    """However it is ended, no process is left, and so no namespace; nor a file, if not killed."""
    assert servers
    shell = subprocess.Popen(  # noqa: S603  # our own literals
        [sys.executable, *what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        assert shell.stdout is not None
        while not shell.stdout.readline().startswith(line):
            assert shell.poll() is None, "the bench did not start"
        while what is SCENARIO and not both_servers(shell.pid):
            assert shell.poll() is None, "the scenario did not start"
            time.sleep(0.05)  # a process of another program: no event to wait for
        ours = doors(shell.pid)
        directory = directory_of(shell.pid)
        shell.send_signal(number)
        shell.wait(LIMIT_S)
    finally:
        shell.kill()
        shell.communicate()
    assert len(ours) > FEWEST_PROCESSES
    for name, door in ours:
        assert select.select([door], [], [], LIMIT_S)[0], f"{name} is left"
        os.close(door)
    if number is not signal.SIGKILL:
        assert not directory.exists()
    shutil.rmtree(directory, ignore_errors=True)


def descendants(root: int) -> dict[int, str]:
    """All processes below one, with their names; any of them may have ended since."""
    found: dict[int, str] = {}
    wanted = children(root)
    while wanted:
        pid = wanted.pop()
        with suppress(OSError):  # it has just ended
            found[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
            wanted += children(pid)
    return found


def children(pid: int) -> list[int]:
    """What the threads of a process have started.

    Raises:
        OSError: It has just ended.
    """
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # so has one of its threads
            found += map(int, (task / "children").read_text().split())
    return found


def doors(root: int) -> list[tuple[str, int]]:
    """All processes below one, each with its name and what says when it has ended."""
    found: list[tuple[str, int]] = []
    for pid, name in descendants(root).items():
        with suppress(ProcessLookupError):  # it has just ended
            found.append((name, os.pidfd_open(pid)))
    return found


def both_servers(root: int) -> bool:
    """Whether two servers have power below a process."""
    return sum(name.startswith("qemu-system") for name in descendants(root).values()) > 1


def directory_of(pid: int) -> Path:
    """Where a running bench has its files, by what it has open."""
    for door in Path(f"/proc/{pid}/fd").iterdir():
        place = door.readlink().parent
        if place.name.startswith(DIRECTORY_PREFIX):
            return place
    raise AssertionError("the bench has no directory")
