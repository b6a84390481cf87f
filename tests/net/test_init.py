# SPDX-License-Identifier: GPL-2.0-or-later
"""An operator walks through `haagent init` at a terminal; a working pair comes of it."""

from __future__ import annotations

import shlex
import shutil
import signal
from collections.abc import Iterator

import pexpect
import pytest

from hil.agent import Agent
from hil.lab import Lab
from hil.machine import Machine
from hil.pair import BMC_USER, PASSWORD, Options, bmc_address
from hil.processes import module
from hil.proof import taken_over
from hil.watch import ready
from net.conftest import Bench

CONFIG = "/run/disk/etc/haagent.toml"
AGENT = shlex.join(module("haagent", "run", "--config", CONFIG, "--node", "NODE"))
RUN = ("sh", "-c", f"[ -e {CONFIG} ] || exec sleep infinity; exec {AGENT}")
"""As its unit, which is not enabled yet: something to be replaced by the agent."""
LIMIT_S = 90
"""For the next question; discovery and the doctor take seconds on a busy machine."""


@pytest.fixture
def fresh(bench: Bench) -> Iterator[Lab]:
    """Two booted machines with networks and BMCs, and no configuration."""
    bench.discard()  # A pair beside another one is slow, and this one is of another make.
    with Lab(Options(), agent_command=RUN) as lab:
        lab.power_on()
        for machine in lab.machines.values():
            own = "mkdir -p /run/disk/lib /run/disk/etc && mount --bind /run/disk/lib /var/lib"
            machine.run("sh", "-c", own)
        yield lab


def terminal(machine: Machine, *arguments: str) -> pexpect.spawn[str]:
    """The command at a terminal of 80 columns and 24 lines, as its operator sees it."""
    command = [*machine.inside, *module("haagent", *arguments)]
    return pexpect.spawn(
        command[0],
        command[1:],
        encoding="utf-8",
        timeout=LIMIT_S,
        dimensions=(24, 80),
        echo=False,
    )


def answer(screen: pexpect.spawn[str], question: str, text: str = "") -> None:
    """Wait for a question on the screen, and type."""
    screen.expect_exact(question)
    screen.expect(": ?$|: $|: ")
    screen.sendline(text)


def walk(screen: pexpect.spawn[str]) -> None:
    """The whole interview, with some slips of the operator's."""
    answer(screen, "Name of this node", "alpha")
    answer(screen, "Name of the other node", "ALPHA")
    screen.expect_exact("that is this node")
    answer(screen, "Name of the other node", "beta")
    answer(screen, "Name of the pair", "bench")
    screen.expect_exact("eth0: carrier")
    screen.expect_exact("192.0.2.11/24")
    answer(screen, "Use eth0 for the heartbeat?", "y")
    answer(screen, "This node's own address on eth0", "192.0.2.11")
    answer(screen, "Is eth0 switched, or a direct cable")
    answer(screen, "Name of the link")
    answer(screen, "Interface on the other node")
    answer(screen, "Its address there", "198.51.100.12")
    screen.expect_exact("another address in 192.0.2.0/24")
    answer(screen, "Its address there", "192.0.2.12")
    answer(screen, "Use eth1 for the heartbeat?", "y")
    answer(screen, "Is eth1 switched, or a direct cable", "direct")
    answer(screen, "Name of the link", "ring")
    answer(screen, "Interface on the other node")
    answer(screen, "Its address there", "198.51.100.12")
    answer(screen, "Use eth2 for the heartbeat?", "n")
    answer(screen, "Their addresses", "192.0.2.1")
    for node in ("alpha", "beta"):
        answer(screen, f"BMC of {node}: how it is spoken to", "ipmi")
        answer(screen, "Its address", bmc_address(node))
        answer(screen, "User there", BMC_USER)
        answer(screen, "Password", PASSWORD)
        answer(screen, "Repeat for confirmation", PASSWORD)
        answer(screen, f"Does a serial PDU feed {node}", "n")
    answer(screen, "Name of the group", "web")
    answer(screen, "Units, with blanks between")
    answer(screen, "Virtual address with its prefix", "192.0.2.11/24")
    screen.expect_exact("a node has that one for its own")
    answer(screen, "Virtual address with its prefix", "192.0.2.10/24")
    answer(screen, "Interface for it on this node")
    answer(screen, "Interface for it on the other node")


def test_from_nothing_to_a_failover(fresh: Lab) -> None:
    """Questions, files, `doctor` and the second node's steps; then the pair that this makes."""
    alpha, beta = fresh.machines["alpha"], fresh.machines["beta"]
    screen = terminal(alpha, "init", "--config", CONFIG)
    seen: list[str] = []
    screen.logfile_read = Recorder(seen)
    walk(screen)
    answer(screen, f"Write {CONFIG}", "y")
    screen.expect_exact("What is to be done now")
    screen.expect_exact("root@beta:/run/disk/etc/")
    screen.expect_exact("The doctor says")
    screen.expect_exact("agent: the agent is not running")
    screen.expect(r"\d+ ok, \d+ unknown, \d+ warning, 1 BAD")
    screen.expect(pexpect.EOF)
    screen.close()
    assert screen.exitstatus == 0
    whole = "".join(seen)
    assert PASSWORD not in whole
    assert "fence beta-bmc: " in whole
    folder = alpha.disk / "etc"
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
        ("haagent.toml", "key.1", "alpha-bmc.password", "beta-bmc.password"), 0o600
    )
    checked = alpha.run(*module("haagent", "check-config", CONFIG, "--node", "alpha"))
    assert "warning" not in checked.stderr, checked.stderr
    # The bench must not arm a watchdog of the machine that it runs on.
    file = folder / "haagent.toml"
    file.write_text(file.read_text().replace('mode = "preferred"', 'mode = "off"'))
    shutil.copytree(folder, beta.disk / "etc", dirs_exist_ok=True)
    for machine in (alpha, beta):
        machine.signal_agent(signal.SIGKILL)
        machine.start_agent()
    active, standby = ready(fresh)
    for machine in (alpha, beta):
        screen = terminal(machine, "doctor", "--config", CONFIG, "--node", machine.name)
        screen.expect_exact("takeover: would work right now")
        screen.expect(r"\d+ ok, \d+ unknown, \d+ warning, 0 BAD")
        screen.expect(pexpect.EOF)
        screen.close()
        assert screen.exitstatus == 1
    frozen = active.freeze()
    taken_over(fresh, active, standby, frozen.at_ns)
    Agent(standby).wait(lambda s: s["groups"][0]["role"] == "active", LIMIT_S, "active")


def test_an_interview_that_is_broken_off_leaves_nothing(fresh: Lab) -> None:
    """Ctrl-C before the last question, or "no" to it: no file, and an exit code that says so."""
    alpha = fresh.machines["alpha"]
    screen = terminal(alpha, "init", "--config", CONFIG)
    walk(screen)
    answer(screen, f"Write {CONFIG}", "n")
    screen.expect_exact("nothing was written")
    screen.expect(pexpect.EOF)
    screen.close()
    assert screen.exitstatus == 1
    screen = terminal(alpha, "init", "--config", CONFIG)
    screen.expect_exact("Name of this node")
    screen.sendintr()
    screen.expect(pexpect.EOF)
    screen.close()
    assert screen.exitstatus not in {0, None} or screen.signalstatus is not None
    assert list((alpha.disk / "etc").iterdir()) == []


def test_nothing_is_overwritten(fresh: Lab) -> None:
    """Where a configuration or a key is, init says so and asks nothing."""
    alpha = fresh.machines["alpha"]
    (alpha.disk / "etc" / "key.1").write_text("precious")
    done = alpha.run(*module("haagent", "init", "--config", CONFIG), check=False)
    assert done.returncode == 1
    assert "key.1 is there already" in done.stderr
    assert (alpha.disk / "etc" / "key.1").read_text() == "precious"


class Recorder:
    """Keeps everything that was on the screen."""

    def __init__(self, kept: list[str]) -> None:
        self._kept = kept

    def write(self, text: str) -> int:
        """As a file."""
        self._kept.append(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
