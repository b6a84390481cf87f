# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing of a lab is touched before its operator typed the cluster's name at a terminal."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).parents[3]
LIMIT_S = 120
USAGE = 4
SCENARIO = "hil/trials/test_deaths.py::test_crashed_kernel_is_fenced_and_comes_back_as_standby"
_SERVER = """\
[[server]]
name = "{name}"
ssh = "root@{name}"
interface = "eth0"
[server.bmc]
driver = "ipmi"
address = "127.0.0.1"
user = "haagent"
password_file = "password"
options = {{ port = {port} }}
"""


@dataclass(frozen=True)
class Trap:
    """A lab that notes whether anybody came near: its BMCs are one socket, its ssh a script."""

    bmc: socket.socket
    logged_in: Path
    environment: dict[str, str]
    command: tuple[str, ...]

    def was_touched(self) -> bool:
        """Whether somebody asked a BMC or logged in."""
        try:
            self.bmc.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return self.logged_in.exists()
        return True


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    """Such a lab, and the command that would run one scenario there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bmc:
        bmc.bind(("127.0.0.1", 0))
        (tmp_path / "password").touch(0o600)
        (tmp_path / "password").write_text("bench-only\n")
        head = 'cluster = "web-lab"\ngroup = "web"\naddress = "192.0.2.10"\ninterface = "lo"\n'
        port = bmc.getsockname()[1]
        servers = (_SERVER.format(name=name, port=port) for name in ("alpha", "beta"))
        (tmp_path / "lab.toml").write_text(head + "".join(servers))
        logged_in = tmp_path / "logged-in"
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/ssh").write_text(f"#!/bin/sh\ntouch {logged_in}\nexit 255\n")
        (tmp_path / "bin/ssh").chmod(0o755)
        environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        words = ("-p", "no:cacheprovider", "--bench", str(tmp_path / "lab.toml"))
        command = (sys.executable, "-m", "pytest", SCENARIO, *words)
        yield Trap(bmc, logged_in, environment, command)


@pytest.mark.parametrize(
    ("typed", "touched"),
    [("weblab", False), ("web-lab", True)],
    ids=["another-name", "the-name"],
)
def test_only_the_clusters_name_lets_a_scenario_near(
    trap: Trap, typed: str, *, touched: bool
) -> None:
    """The operator sees what would be done, to whom; another word, and nobody was near."""
    screen = pexpect.spawn(
        trap.command[0],
        list(trap.command[1:]),
        cwd=str(ROOT),
        env=trap.environment,
        encoding="utf-8",
        timeout=LIMIT_S,
    )
    screen.expect_exact("These two servers will crash, be cut off and power-cycled (scenarios: 1):")
    screen.expect_exact("alpha: ssh root@alpha, ipmi at 127.0.0.1")
    screen.expect_exact("beta: ssh root@beta, ipmi at 127.0.0.1")
    screen.expect_exact("The cluster's name (web-lab): ")
    assert not trap.was_touched()
    screen.sendline(typed)
    refusal = "nothing was changed: alpha: no login at root@alpha"
    screen.expect_exact(refusal if touched else "nothing was touched")
    screen.expect(pexpect.EOF)
    screen.close()
    assert screen.exitstatus == USAGE
    assert trap.was_touched() is touched


def test_a_pipe_is_no_operator(trap: Trap) -> None:
    """Without a terminal nothing is run, whatever stands on the standard input."""
    done = subprocess.run(
        trap.command,
        cwd=ROOT,
        env=trap.environment,
        input="web-lab\n",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == USAGE
    assert "there is no terminal" in done.stdout + done.stderr
    assert not trap.was_touched()
