# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd is told, heard at a socket like its own, and by a systemd."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from haagent.notify import STATUS_CHARACTERS_MAX, Notifier
from hil.pid1 import SYSTEMD, booted

WATCHDOG_NS = 4_000_000_000
BEAT_NS = 100_000_000
S = 1_000_000_000
ROOT = Path(__file__).parents[2]
SERVICE = """[Unit]
DefaultDependencies=no
[Service]
Type=notify
NotifyAccess=main
WatchdogSec={watchdog}
TimeoutStartSec=10s
ExecStart={python} -c "{program}"
WorkingDirectory={root}
"""
PROGRAM = (
    "import time; from haagent.notify import Notifier; n = Notifier.from_environment(); "
    "n.status('two  links'); n.ready(); now = time.monotonic_ns; "
    "[(n.beat(now(), 0), time.sleep({beat})) for each in range(10**6)]"
)


class Ear:
    """The socket that systemd would listen on."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(0)

    def heard(self) -> list[str]:
        """Every datagram since the last look."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """A listening one."""
    one = Ear(str(tmp_path / "notify"))
    yield one
    one.socket.close()


@pytest.fixture
def notifier(ear: Ear) -> Iterator[Notifier]:
    """One with a watchdog to feed."""
    one = Notifier(ear.socket.getsockname(), WATCHDOG_NS)
    yield one
    one.close()


def test_says_what_systemd_understands(ear: Ear, notifier: Notifier) -> None:
    """Each word is sent in systemd's own form, and in order."""
    notifier.ready()
    notifier.reloading(5_000_001_999)
    notifier.stopping(2.5)
    assert ear.heard() == [
        "READY=1",
        "RELOADING=1\nMONOTONIC_USEC=5000001",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=2500000",
    ]


def test_status_is_one_line_and_not_repeated(ear: Ear, notifier: Notifier) -> None:
    """A status cannot smuggle in another word, has a bound, and is sent when it changes only."""
    for text in ("web active", "web active", "web\nREADY=1", "x" * 1000):
        notifier.status(text)
    assert ear.heard() == [
        "STATUS=web active",
        "STATUS=web READY=1",
        f"STATUS={'x' * STATUS_CHARACTERS_MAX}",
    ]


def test_feeds_four_times_in_each_timeout(ear: Ear, notifier: Notifier) -> None:
    """With beats on time, systemd hears a sign of life every quarter of its timeout, not more."""
    for beat in range(41):
        notifier.beat(beat * BEAT_NS, 0)
    assert ear.heard() == ["WATCHDOG=1"] * 5


@pytest.mark.parametrize("interval_ns", [BEAT_NS, 2 * S])
def test_late_loop_starves(ear: Ear, notifier: Notifier, interval_ns: int) -> None:
    """S7: a loop whose beats are all late feeds nothing, until the first that is on time."""
    gap_ns = interval_ns + S + 1
    for now_ns in range(gap_ns, 20 * gap_ns, gap_ns):
        notifier.beat(now_ns, interval_ns)
    assert ear.heard() == ["WATCHDOG=1"]
    now_ns = 19 * gap_ns + interval_ns
    notifier.beat(now_ns, interval_ns)
    assert ear.heard() == ["WATCHDOG=1"]


def test_slowest_heartbeat_feeds_in_time(ear: Ear) -> None:
    """With the longest interval that there may be, systemd still hears of it within its 5 s."""
    interval_ns = 2 * S
    notifier = Notifier(ear.socket.getsockname(), 5 * S)
    for now_ns in range(0, 10 * interval_ns, interval_ns):
        notifier.beat(now_ns, interval_ns)
        assert ear.heard() == ["WATCHDOG=1"]
    notifier.close()


def test_environment_is_read_and_removed(ear: Ear) -> None:
    """Socket and timeout come from the environment, which children then do not see."""
    environment = {
        "NOTIFY_SOCKET": ear.socket.getsockname(),
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": str(os.getpid()),
        "OTHER": "1",
    }
    notifier = Notifier.from_environment(environment)
    notifier.ready()
    assert ear.heard() == ["READY=1"]
    assert notifier.watchdog_ns == 3 * S
    assert environment == {"OTHER": "1"}
    notifier.close()


def test_timeout_of_another_process_is_not_ours() -> None:
    """A watchdog that is meant for another process is not fed."""
    environment = {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
    assert Notifier.from_environment(environment).watchdog_ns == 0


def test_abstract_address() -> None:
    """An abstract socket's name, as systemd may hand it over, is understood."""
    name = f"haagent-notify-{os.getpid()}"
    ear = Ear("\0" + name)
    notifier = Notifier("@" + name)
    notifier.ready()
    assert ear.heard() == ["READY=1"]
    notifier.close()
    ear.socket.close()


def test_nobody_listens() -> None:
    """Without systemd, or with its socket gone, nothing happens: no error, no wait."""
    for address in ("", "/nonexistent/notify"):
        notifier = Notifier(address, WATCHDOG_NS)
        notifier.ready()
        notifier.status("web active")
        notifier.beat(0, 0)
        notifier.close()
        notifier.ready()


def test_full_socket_holds_nobody_up(ear: Ear, notifier: Notifier) -> None:
    """What systemd has no room for is dropped, and a dropped sign of life is made good at once."""
    count = 0
    while notifier._send("X=1"):
        count += 1
    notifier.beat(BEAT_NS, 0)
    assert ear.heard() == ["X=1"] * count
    notifier.beat(2 * BEAT_NS, 0)
    assert ear.heard() == ["WATCHDOG=1"]


@pytest.mark.skipif(
    os.geteuid() != 0 or not SYSTEMD.exists(), reason="needs root and Debian's systemd"
)
def test_real_systemd_understands(tmp_path: Path) -> None:
    """A service is started when it says so, its status shown; one that beats too late is ended."""
    units = tmp_path / "units"
    units.mkdir()
    for name, beat, watchdog in (("fine", 0.05, "2s"), ("late", 0.3, "1s")):
        text = SERVICE.format(
            python=sys.executable, program=PROGRAM.format(beat=beat), root=ROOT, watchdog=watchdog
        )
        (units / f"{name}.service").write_text(text)
    with booted(units) as pid1:
        pid1.systemctl("start", "late.service")
        pid1.systemctl("start", "fine.service")
        assert pid1.systemctl("show", "-P", "StatusText", "fine.service") == "two links"
        # Returns when the service has ended.
        pid1.systemctl("start", "--wait", "late.service", check=False)
        assert pid1.systemctl("show", "-P", "Result", "late.service") == "watchdog"
        assert pid1.systemctl("is-active", "fine.service") == "active"
