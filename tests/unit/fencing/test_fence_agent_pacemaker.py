# SPDX-License-Identifier: GPL-2.0-or-later
"""fence_haagent as Pacemaker's own daemon uses it, which is not told of any of this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fence_bench import PASSWORD, simulator
from haagent_bench import Entry, configuration, program

from hil.bmc import IpmiSim
from hil.fence_agent import BenchAgent
from hil.pacemaker import PacemakerFenced

TIMEOUT = ("--timeout", "30")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's fencing with our agent for two nodes: of alpha's BMC, of an agent for beta."""

    fenced: PacemakerFenced
    alpha: IpmiSim
    beta: BenchAgent
    file: Path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """It knows our agent by the folder, and is told of its configuration alone."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "sbin").mkdir()
    program(folder / "sbin")
    beta = BenchAgent(folder / "beta")
    with PacemakerFenced(folder / "sbin", folder) as fenced:
        alpha = simulator(folder / "alpha")
        alpha.prefix = fenced.prefix
        with alpha:
            file = configuration(folder, Entry("alpha", alpha), Entry("beta", beta, deadline="3s"))
            _register(fenced, "both", f"config={file}")
            yield Cluster(fenced, alpha, beta, file)
    assert PASSWORD not in fenced.log.read_text()


@pytest.fixture(autouse=True)
def _healthy(cluster: Cluster) -> None:
    cluster.alpha.power = cluster.beta.power = "on"
    cluster.alpha.fault = cluster.beta.fault = "none"


def _register(fenced: PacemakerFenced, name: str, *options: str) -> None:
    arguments = ["--register", name, "--agent", "fence_haagent"]
    for option in options:
        arguments += ["--option", option]
    done = fenced.admin(*arguments)
    assert done.returncode == 0, done.stderr


def test_found(cluster: Cluster) -> None:
    """Pacemaker finds the agent and reads its metadata."""
    assert "fence_haagent" in cluster.fenced.admin("--list-installed").stdout.split()
    done = cluster.fenced.admin("--metadata", "--agent", "fence_haagent")
    assert done.returncode == 0
    assert 'name="fence_haagent"' in done.stdout


def test_validate(cluster: Cluster) -> None:
    """A configuration can be validated before it is used."""
    arguments = ("--validate", "--agent", "fence_haagent", "--option")
    good = cluster.fenced.admin(*arguments, f"config={cluster.file}")
    assert good.returncode == 0, good.stdout + good.stderr
    assert cluster.fenced.admin(*arguments, "config=/nowhere").returncode != 0


def test_targets(cluster: Cluster) -> None:
    """By our list Pacemaker knows which nodes we can fence, and no others."""
    lines = cluster.fenced.admin("--list-targets", "both").stdout.splitlines()
    assert lines[:-1] == ["alpha", "beta"]
    assert lines[-1].startswith("2 ")
    assert "both" in cluster.fenced.admin("--list", "alpha").stdout
    assert "both" not in cluster.fenced.admin("--list", "gamma").stdout


def test_fence(cluster: Cluster) -> None:
    """A node with a BMC is fenced, and unfenced."""
    done = cluster.fenced.admin("--fence", "alpha", *TIMEOUT)
    assert done.returncode == 0, done.stderr
    assert cluster.alpha.power == "off"
    assert cluster.beta.power == "on"
    done = cluster.fenced.admin("--unfence", "alpha", *TIMEOUT)
    assert done.returncode == 0, done.stderr
    assert cluster.alpha.power == "on"


def test_reboot(cluster: Cluster) -> None:
    """A reboot, which is what a cluster asks for, is off and then on."""
    before = len(cluster.alpha.log)
    done = cluster.fenced.admin("--reboot", "alpha", *TIMEOUT)
    assert done.returncode == 0, done.stderr
    orders = [line for line in cluster.alpha.log[before:] if line.startswith("set power")]
    assert [line.split()[2] for line in orders] == ["0", "1"]


def test_not_proved(cluster: Cluster) -> None:
    """S3: what is not proved off is not fenced for the cluster either, and it is told why."""
    cluster.beta.fault = "ack_only"
    done = cluster.fenced.admin("--fence", "beta", *TIMEOUT)
    assert done.returncode != 0
    assert "not proved off" in cluster.fenced.log.read_text()
    assert cluster.beta.power == "on"


def test_monitor(cluster: Cluster) -> None:
    """A cluster's monitor fails as soon as one device could not be counted on, and it says which.

    stonith_admin asks for the list when monitor fails, so the daemon's log is looked at.
    """
    assert cluster.fenced.admin("--query", "both").returncode == 0
    assert "fence_haagent_monitor" not in cluster.fenced.log.read_text()
    cluster.beta.fault = "fail Connection timed out"
    cluster.fenced.admin("--query", "both")
    failed = [line for line in cluster.fenced.log.read_text().splitlines() if "_monitor_" in line]
    assert "beta: device-2: unreachable" in failed[0]


def test_status_as_host_check(cluster: Cluster) -> None:
    """With the host check "status" a node is ours if its power can be read, on or off."""
    _register(cluster.fenced, "by-status", f"config={cluster.file}", "pcmk_host_check=status")
    try:
        for power in ("on", "off"):
            cluster.beta.power = power
            assert "by-status" in cluster.fenced.admin("--list", "beta").stdout
        cluster.beta.fault = "mute"
        assert "by-status" not in cluster.fenced.admin("--list", "beta").stdout
    finally:
        cluster.fenced.admin("--deregister", "by-status")
