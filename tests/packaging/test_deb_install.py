# SPDX-License-Identifier: GPL-2.0-or-later
"""The package on a running Debian: installed, upgraded under a group, removed and purged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from deb_bench import LIMIT_S, Debian, built, debian

from hil.package import renamed
from hil.pid1 import SYSTEMD

pytestmark = [
    pytest.mark.deb,
    pytest.mark.timeout(LIMIT_S),
    pytest.mark.skipif(
        os.geteuid() != 0 or not SYSTEMD.exists(), reason="needs root and Debian's systemd"
    ),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the checkout."""
    return built(tmp_path_factory)


def started(node: Debian) -> None:
    """Start the agent; it answers."""
    node.run("systemctl", "enable", "--now", "haagent.service")
    node.until(lambda: bool(node.status()), "answering")


def replaced(node: Debian, *command: str) -> None:
    """Run a command that has another agent take the place of this one; it answers."""
    before = node.main_pid()
    node.run(*command)
    node.until(lambda: node.main_pid() not in {"0", before}, "replaced")
    node.until(lambda: bool(node.status()), "answering")


def holding(node: Debian) -> None:
    """Start the agent, and have it hold the group: its peer is off, says the operator."""
    started(node)
    node.shell("echo beta | haagent confirm-off")
    node.until(node.has_vip, "holding the address")


def test_from_install_to_purge(package: Path, tmp_path: Path) -> None:
    """Install starts nothing; an upgrade, a restart and a crash never let go of the address.

    Removal hands over, and leaves the operator's files; a purge leaves nothing.
    """
    later = renamed(package, tmp_path, "1.1")
    with debian(tmp_path) as node:
        node.run("dpkg", "-i", str(package))
        _installed(node)
        node.configure()
        holding(node)
        _keeps_the_address(node, tmp_path, "dpkg", "-i", str(later))
        assert node.run("dpkg-query", "-W", "-f", "${Version}", "haagent") == "1.1"
        _keeps_the_address(node, tmp_path, "systemctl", "restart", "haagent.service")
        _keeps_the_address(
            node, tmp_path, "systemctl", "kill", "--signal=KILL", "--kill-who=main", "haagent"
        )
        _removed_and_purged(node)


def _installed(node: Debian) -> None:
    assert node.main_pid() == "0"
    assert node.run("dpkg", "-V", "haagent") == ""
    assert node.run("getent", "group", "haagent").startswith("haagent:")
    for folder in ("/etc/haagent", "/var/lib/haagent", "/run/haagent"):
        assert node.run("stat", "-c", "%a %U", folder) == "755 root\n"
    assert node.run("haagent", "status", check=False).startswith("haagent: the agent is not")
    assert "fence_haagent" in node.run("fence_haagent", "-o", "metadata")
    compiled = node.path("/opt/haagent/lib/python3/site-packages/haagent/__pycache__")
    assert list(compiled.glob("agent.*.pyc"))


def _keeps_the_address(node: Debian, folder: Path, *command: str) -> None:
    """The command replaces the agent, and the address never goes away."""
    with node.address_changes(folder) as changes:
        replaced(node, *command)
    assert changes == []
    assert node.has_vip()
    assert node.status()["groups"][0]["role"] == "active"


def _removed_and_purged(node: Debian) -> None:
    node.run("dpkg", "--remove", "haagent")
    assert not node.has_vip()
    assert node.run("pgrep", "-f", "/opt/haagent/bin", check=False) == ""
    assert not node.path("/opt/haagent").exists()
    assert not node.path("/usr/bin/haagent").is_symlink()
    assert node.path("/etc/haagent/key.1").exists()
    assert node.path("/var/lib/haagent/record.json").exists()
    node.run("dpkg", "--purge", "haagent")
    for left in ("/etc/haagent", "/var/lib/haagent", "/run/haagent"):
        assert not node.path(left).exists()


def test_tidy_removes_what_this_node_does_not_hold(package: Path, tmp_path: Path) -> None:
    """An address of a group that is not held is removed by `tidy`; a held one is left alone.

    So is one under a running agent. An agent that ends in peace leaves none (ExecStopPost).
    """
    with debian(tmp_path) as node:
        node.run("dpkg", "-i", str(package))
        node.configure()
        node.run("ip", "address", "add", "192.0.2.10/24", "dev", "eth0")
        assert "removed 192.0.2.10/24 from eth0" in node.run("haagent", "tidy")
        assert not node.has_vip()
        holding(node)
        assert "an agent runs here" in node.run("haagent", "tidy", check=False)
        node.run("systemctl", "mask", "--runtime", "--now", "haagent.service", check=False)
        node.until(lambda: node.main_pid() == "0", "stopped")
        assert not node.has_vip()


def test_replaced_agent_leaves_the_tidying_to_the_next(package: Path, tmp_path: Path) -> None:
    """Whoever replaces an agent waits for one program to load, not for `tidy` as well."""
    with debian(tmp_path) as node:
        node.run("dpkg", "-i", str(package))
        node.configure()
        started(node)
        node.run("ip", "address", "add", "192.0.2.10/24", "dev", "eth0")
        replaced(node, "systemctl", "kill", "--signal=USR1", "--kill-who=main", "haagent")
        assert "removed 192.0.2.10/24" not in node.log()
        node.until(lambda: not node.has_vip(), "rid of the address")


def test_refuses_to_be_mixed_with_pip(package: Path, tmp_path: Path) -> None:
    """Over an environment that pip has made it does not install, and says what to do first."""
    with debian(tmp_path) as node:
        node.shell("mkdir -p /opt/haagent/bin; touch /opt/haagent/bin/pip")
        said = node.run("dpkg", "-i", str(package), check=False)
        assert "haagent install --remove; mv /opt/haagent" in said
        assert node.path("/opt/haagent/bin/pip").exists()
        assert not node.path("/usr/bin/haagent").is_symlink()


def test_unit_is_opened_for_programs(package: Path, tmp_path: Path) -> None:
    """With addresses alone the agent is confined; with a command it is not.

    Also when nobody told systemd of the new configuration: the agent has it told, and is replaced
    once more, and the address stays.
    """
    with debian(tmp_path) as node:
        node.run("dpkg", "-i", str(package))
        node.configure()
        holding(node)
        assert _status_of_agent(node)["NoNewPrivs"] == "1"
        assert _status_of_agent(node)["Seccomp"] == "2"
        assert int(_status_of_agent(node)["CapBnd"], 16) & CAP_SYS_ADMIN == 0
        mounts = node.path(f"/proc/{node.main_pid()}/ns/mnt").readlink()
        assert mounts != node.path("/proc/1/ns/mnt").readlink()
        node.shell(COMMAND_RESOURCE)
        _keeps_the_address(node, tmp_path, "sh", "-c", "systemctl restart haagent.service || true")
        node.until(lambda: _status_of_agent(node).get("NoNewPrivs") == "0", "opened")
        node.until(lambda: node.path("/run/started").exists(), "started")
        assert int(_status_of_agent(node)["CapBnd"], 16) & CAP_SYS_ADMIN
        assert "agent.confined" in node.log()


CAP_SYS_ADMIN = 1 << 21
"""Source: linux/capability.h."""
COMMAND_RESOURCE = """
cat >> /etc/haagent/haagent.toml <<'EOF'
[[group.resource]]
kind = "command"
name = "flag"
start = ["/usr/bin/touch", "/run/started"]
stop = ["/usr/bin/rm", "-f", "/run/started"]
stop_timeout = "3s"
EOF
haagent check-config --file-only /etc/haagent/haagent.toml
"""


def _status_of_agent(node: Debian) -> dict[str, str]:
    """What the kernel says of its process; nothing while there is none."""
    try:
        text = node.path(f"/proc/{node.main_pid()}/status").read_text()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
